// A LoRA adapter as the hub's PEFT library saves it (adapter_config.json,
// adapter_model.safetensors) as one GGUF adapter. Format:
// https://huggingface.co/docs/peft/developer_guides/checkpoint
#pragma once

#include <string>

#include "convert/convert.h"
#include "formats/gguf.h"
#include "lull/status.h"

namespace lull {

// What such a folder is read from: the configuration, then the factors.
inline constexpr const char* kPeftFiles[] = {"adapter_config.json", "adapter_model.safetensors"};

// Whether a path is a folder that has an adapter_config.json.
bool IsPeftFolder(const std::string& path);

// base: the model that it adapts, whose architecture and heads say how names and rows translate.
// Factors become F32; r, alpha and their patterns, rsLoRA too, come to one alpha and the values of
// lora_b. kUnsupported for what is no plain LoRA of matrices (DoRA, biases, modules_to_save,
// embeddings, experts), by name.
Result<ConvertSummary> ConvertPeftFolder(const std::string& folder, const GgufFile& base,
                                         const std::string& path, const ConvertOptions& options);

}  // namespace lull
