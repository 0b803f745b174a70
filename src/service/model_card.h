// What a model file says of itself, read from its header alone: for lists and details of models
// that are not loaded.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/exec_context.h"
#include "lull/status.h"
#include "service/json_request.h"
#include "service/model_catalog.h"

namespace lull {

struct ModelCard {
  std::string architecture;   // "llama"
  std::string file_type;      // "Q4_K_M": formats/file_type.h
  std::string chat_template;  // "" where the file has none
  std::string license;
  int64_t parameters = 0;
  int64_t context_tokens = 0;
  bool takes_tools = false;  // the template knows of tools
  Json metadata;             // key to value; arrays are null
};

// arrays: with their elements instead of null. Checkpoints ctx.
Result<ModelCard> ReadModelCard(const std::string& path, bool arrays, const ExecContext& ctx);

// Cards by path, read again where the file has changed. Thread-safe.
class ModelCards {
 public:
  Result<ModelCard> Get(const AvailableModel& model, const ExecContext& ctx);

 private:
  struct Entry {
    int64_t bytes = 0;
    int64_t modified_unix_s = 0;
    ModelCard card;
  };
  std::mutex mutex_;
  std::map<std::string, Entry> cards_;
};

}  // namespace lull
