// What a GGUF file holds, where it is not a model that answers.
#pragma once

#include "formats/gguf.h"
#include "lull/status.h"

namespace lull {

enum class FileKind {
  kModel,
  kVocabulary,  // keys, and no tensors
  kAdapter,     // general.type "adapter"
  kImportance,  // general.type "imatrix"
  kOther,       // another general.type
};
FileKind KindOf(const GgufFile& file);
const char* FileKindName(FileKind kind);  // "model", "vocabulary", "adapter", "importance matrix"

// Which kind it is and what it is good for, where it is not a model: kUnsupported, for a vocabulary
// kInvalidModel.
Status CheckIsModel(const GgufFile& file);

}  // namespace lull
