// What may stand behind `lull pull`: a model of the catalogue, of a hub, or a well-known name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/catalog.h"

namespace lull {

// A model in a repository of a hub: "hf:org/repo[@revision][:QUANT]" or "hf:org/repo/file.gguf".
struct HubRef {
  std::string repo;      // "org/name"
  std::string revision;  // "": the main one
  std::string quant;     // "Q4_K_M"; "": none named
  std::string file;      // path in the repository; "": none named

  std::string Name() const;  // canonical: "hf:org/repo@rev:QUANT"
  bool operator==(const HubRef&) const = default;
};

// A path within a repository: relative, no empty component, no "." or "..", no control characters.
bool IsHubFilePath(const std::string& path);
inline constexpr size_t kMaxHubPathBytes = 240;  // longer ones are not pulled

// "hf:", "hf.co/", "huggingface.co/", the same as https address.
bool LooksLikeHubRef(const std::string& text);
// kUsage names what is wrong. Nothing in the parts needs escaping but for the file's path, which
// has no "..", no control characters, no empty component.
Result<HubRef> ParseHubRef(const std::string& text);

// What a name means: the catalogue's entry or the hub's model.
struct ModelSource {
  const CatalogEntry* entry = nullptr;
  HubRef hub;        // where entry is null
  std::string name;  // in the store; "" where the hub's answer completes it
};

// Names with and without ":latest" are one. kNotFound says what may be typed.
Result<ModelSource> FindModelSource(const std::string& text);

// "smollm2:latest" -> "smollm2"; "hf.co/o/r:q4_0" -> "hf:o/r:Q4_0"; others as they are.
std::string StoreName(const std::string& text);
// A name that `cp` may give: letters, digits, . _ - : / within, and none that means something else.
Status CheckNewName(const std::string& name);

// A name of Ollama's library and the repository that carries the same weights.
struct KnownModel {
  const char* model;  // "llama3.2"
  const char* tag;    // "1b"; the first of a model is its "latest"
  const char* repo;
};
const std::vector<KnownModel>& KnownModels();

}  // namespace lull
