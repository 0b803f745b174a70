// A hub of models, by its public API: which files a repository has, and which of them a model is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/content_key.h"
#include "store/fetch.h"
#include "store/model_ref.h"

namespace lull {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";  // without a slash at its end
  std::string token;                                // "": none
  FetchOptions fetch;
};

struct HubFile {
  std::string path;  // in the repository, relative, of sound components
  uint64_t bytes = 0;
  ContentKey key;
};

// One page of a listing (api/models/REPO/tree): files are appended, folders left out. kInvalidInput
// for what is no such listing, a path that leaves the folder, a file without a hash, and more than
// 100,000 files.
Status ParseHubTree(const std::string& text, std::vector<HubFile>* files);

struct HubRevision {
  std::string commit;   // 40 hexadecimal digits
  std::string license;  // "apache-2.0"; "" where it does not say
};
Result<HubRevision> ParseHubRevision(const std::string& text);

enum class ModelKind { kGguf, kSafetensors };

// The files that are one model.
struct HubSelection {
  ModelKind kind = ModelKind::kGguf;
  HubRef ref;                  // completed: its quant or file says which
  std::vector<HubFile> files;  // the parts of a split file in their order
  std::string note;            // what was chosen where the name left it open; "" elsewhere
};

// quant, file or neither as ref has it: then Q4_K_M, or what comes closest; of a repository without
// GGUF files the safetensors with what belongs to them. kNotFound lists what there is.
Result<HubSelection> SelectHubFiles(const HubRef& ref, const std::vector<HubFile>& files);
// "Q4_K_M" of "x/Model-Q4_K_M-00001-of-00002.gguf"; "" where the name says none.
std::string QuantOfFileName(const std::string& path);

struct HubPlan {
  HubSelection selection;
  std::string commit;
  std::string license;
};

// For one thread.
class Hub {
 public:
  Hub(const HubOptions& options, HttpClient& http) : options_(options), http_(http) {}

  // Asks for revision and listing, and selects.
  Result<HubPlan> Plan(const HubRef& ref, const FetchProgressFn& progress);
  std::string FileUrl(const HubRef& ref, const std::string& commit, const std::string& path) const;
  // The options' token, or "" where the endpoint is neither https nor on this machine.
  std::string TokenToSend() const;

 private:
  Result<std::vector<HubFile>> List(const HubRef& ref, const std::string& commit,
                                    const FetchProgressFn& progress);

  const HubOptions& options_;
  HttpClient& http_;
};

// "https://hub.example/" -> without the slash; kUsage for what is no http(s) address.
Result<std::string> CheckedEndpoint(std::string endpoint);
// kUsage for a token with blanks or control characters in it.
Status CheckToken(const std::string& token);

}  // namespace lull
