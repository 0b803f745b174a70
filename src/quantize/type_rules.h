// Which tensors of a model file are quantised, and to which type each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "lull/status.h"
#include "quant/quant_format.h"

namespace lull {

struct TypeRules {
  // A mix of types by llama.cpp's name ("Q4_K_M"; "Q4_K" means it too) or a type; in any case.
  std::string type;
  bool pure = false;             // the mix's main type for every matrix
  std::string output_type{};     // of the output head; "": the mix's
  std::string embedding_type{};  // of embeddings; "": the mix's
  struct ForNames {
    std::string pattern;  // ECMAScript, found anywhere in the tensor's name
    std::string type;
  };
  std::vector<ForNames> for_names{};  // the first that fits decides, before all else
};

// One tensor of a file and what it becomes.
struct TensorChoice {
  const GgufTensor* tensor = nullptr;
  const QuantFormat* format = nullptr;  // null: its bytes are kept
  std::string note;                     // why it is not what the rules say; "" otherwise
  uint64_t result_bytes = 0;
};

struct TypeChoices {
  std::vector<TensorChoice> tensors;  // in file order
  uint32_t file_type = 0;             // general.file_type
};

// Matrices are quantised; vectors, norms, routers, convolutions and position embeddings stay as
// they are. Rows that a type's blocks do not divide take a type that does. That one, and what a mix
// adds to its main type, are left out where they are wider than what the file has.
//
// kUsage for unknown types, and patterns that are none or that no tensor's name fits; kUnsupported
// where a matrix has a type that cannot be read.
Result<TypeChoices> ChooseTypes(const GgufFile& file, const TypeRules& rules);

// All names that TypeRules::type may have, for help and messages.
std::string TypeMixNames();

}  // namespace lull
