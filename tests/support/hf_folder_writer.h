// A tiny model's GGUF file as the folder of config.json, tokenizer.json and safetensors that it
// would have been converted from. On purpose not by the tables of src/convert, which it tests.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "formats/gguf.h"
#include "lull/status.h"

namespace lull {

struct HfFolderSpec {
  int files = 1;          // more: with an index
  nlohmann::json config;  // merged over what the file says; null removes
  bool images = false;    // gemma3: beside a model that reads images
};

// gguf: llama, smollm3, granite, granitemoe, olmo2, qwen2, qwen3, qwen3moe, lfm2moe, gemma2, gemma3
// or gemma4 (without experts) with matrices of F32, F16 or BF16 and a "gpt2" tokenizer of pre "smollm". folder: exists.
Status WriteHfFolder(const GgufFile& gguf, const HfFolderSpec& spec, const std::string& folder);

}  // namespace lull
