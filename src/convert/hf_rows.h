// Which rows of a folder's matrix become rows of a GGUF tensor, and in which order: of weights, and
// of the factors of adapters, whose rows and columns are those of the weights.
#pragma once

#include <cstdint>

#include "convert/hf_architecture.h"
#include "convert/passage.h"
#include "lull/status.h"

namespace lull {

// The heads that rows belong to, each number below 2^31; 0 where a model has none of the kind.
struct HfHeads {
  uint64_t heads = 0, kv_heads = 0, head_dim = 0;
  // Of gated delta nets: heads of K and of V, and the width of one of K.
  uint64_t delta_keys = 0, delta_values = 0, delta_key_width = 0;
};

// passage: has units_all, and units the same. kInvalidModel, without a place, where the heads do
// not make up the rows. Not for kLatentK and kLatentV.
Status SetHfRows(const HfHeads& heads, HfTensor::Rows rows, Passage* passage);

}  // namespace lull
