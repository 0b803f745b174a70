// What the KV cache of a model looks like, in plain numbers: the cache knows no model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace lull {

struct KvLayerShape {
  enum class Kind { kFull, kWindow, kRecurrent, kShared };
  Kind kind = Kind::kFull;
  int64_t window = 0;  // kWindow: positions a query sees, its own included
  size_t kv_heads = 0;
  size_t head_dim = 0;
  size_t state_floats = 0;  // kRecurrent: f32 values of one sequence
  size_t source = 0;        // kShared: the earlier layer whose K and V it reads
};

// Layers with the same reach share pages: one page holds 64 positions of K and V of them all.
struct KvGroup {
  int64_t window = 0;  // 0: full attention
  size_t page_bytes = 0;
  std::vector<size_t> layers;
};

// Where a layer lies.
struct KvLayerPlace {
  int group = -1;  // -1: recurrent
  // In a page; for each KV head K [head_dim][64], then V [64][head_dim]: what attention reads of a
  // page is one stream.
  size_t offset = 0;
  size_t head_bytes = 0;    // of K, and of V
  size_t state_offset = 0;  // recurrent: floats into the sequence's state
};

class KvLayout {
 public:
  KvLayout(KvType type, const std::vector<KvLayerShape>& layers);

  KvType type() const { return type_; }
  const std::vector<KvGroup>& groups() const { return groups_; }
  const KvLayerPlace& place(size_t layer) const { return places_[layer]; }
  size_t state_floats() const { return state_floats_; }  // of one sequence, all layers

 private:
  KvType type_;
  std::vector<KvGroup> groups_;
  std::vector<KvLayerPlace> places_;
  size_t state_floats_ = 0;
};

}  // namespace lull
