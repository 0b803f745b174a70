// What loading a model file would come to, without its weights: for people who want to know before
// they wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "kernels/kernels.h"
#include "lull/status.h"
#include "model/model_plan.h"

namespace lull {

// The tensors of one type.
struct TensorTypeUse {
  std::string type;  // "Q4_1"
  int64_t tensors = 0;
  int64_t bytes = 0;
  // How the instruction set multiplies matrices of it: "int8 tiles", ...; "" where the type is not
  // supported.
  std::string product;
};

struct Examination {
  std::string kind;  // "model", "adapter", ...: what FileKindName says
  // Whether Model::Load takes it, and with which error it does not; budget and packs left out.
  Status verdict;
  // Each by itself, whatever the others are. Weights: keys, shapes and types. Ok where a file of
  // the kind has none: weights of a vocabulary, all three of an adapter.
  Status tokenizer, chat_template, weights;
  bool has_chat_template = false;
  std::string tokenizer_model, pretokenizer;  // as the file names them
  std::vector<TensorTypeUse> types;           // most bytes first
  std::optional<ModelPlan> plan;              // where weights is ok
};

// Reads keys and shapes; points into the file.
Examination Examine(const GgufFile& file, const Kernels& kernels);

}  // namespace lull
