// A model folder as the hub's Python library saves it: config.json, tokenizer.json, one or more
// safetensors. Immutable after Open, so thread-safe.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "lull/status.h"

namespace lull {

struct HfFolder {
  std::string path;
  std::string name;                                                       // of the folder
  nlohmann::json config, tokenizer, tokenizer_config, generation_config;  // null where missing
  std::string chat_template;                                              // "": none
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::map<std::string, const SafetensorsTensor*> tensors;  // of all files

  static Result<std::unique_ptr<HfFolder>> Open(const std::string& path);
};

// Whether a path is a folder that has a config.json.
bool IsHfFolder(const std::string& path);
// The JSON file at path; null where there is none.
Result<nlohmann::json> ReadHfJson(const std::string& path);
// A hash of the names, sizes and times of a folder's files and of its path: another one where what
// they convert to may be another.
Result<std::string> HfFolderKey(const std::string& path);

}  // namespace lull
