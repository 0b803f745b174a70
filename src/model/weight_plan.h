// Where each tensor of a model file goes in the weight memory: the layout that loading fills, and
// that a pack file holds as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "formats/gguf.h"
#include "lull/status.h"
#include "model/architecture.h"
#include "quant/quant_format.h"

namespace lull {

enum FloatType : uint32_t { kTypeF32 = 0, kTypeF16 = 1, kTypeBf16 = 30 };  // ids in GGUF files

// One tensor of the file and where it goes. Vectors become f32.
struct WeightPlacement {
  const TensorSpec* spec = nullptr;
  const GgufTensor* tensor = nullptr;
  int64_t layer = -1;
  const QuantFormat* format = nullptr;   // matrices
  size_t offset = 0;                     // in the weight memory
  size_t k = 0, rows = 0, slices = 1;    // slices: experts
  size_t file_begin = 0, file_rows = 0;  // rows of a slice in the file: all, and the first of these
  size_t group_bytes = 0;                // matrices

  size_t groups() const { return (rows + 15) / 16; }
  size_t slice_bytes() const;
  size_t bytes() const;
};

struct WeightPlan {
  std::vector<WeightPlacement> placements;
  size_t total_bytes = 0;

  // Of every name, type, place and size.
  Sha256Digest Digest() const;
};

// Matches the architecture's tensor table against the file, every shape and type. The plan points
// into both.
Result<WeightPlan> PlanWeights(const GgufFile& file, const Architecture& architecture,
                               const Hparams& hparams);

// A matrix that lies in the tensor of a name, in whole or in part.
struct MatrixRole {
  const TensorSpec* spec = nullptr;
  int64_t layer = -1;  // -1: the model's
  size_t k = 0, rows = 0;
  size_t file_begin = 0, file_rows = 0;  // as of WeightPlacement

  const PackedMatrix* In(const ModelWeights& weights) const;
};
// By the architecture's tensor table, whatever the file has. Experts and embeddings are none.
std::vector<MatrixRole> FindMatrixRoles(const Architecture& architecture, const Hparams& hparams,
                                        const std::string& name);

// Whether it is a tensor that files may have and nobody reads.
bool IsUnread(const Architecture& architecture, const Hparams& hparams, const std::string& name);

}  // namespace lull
