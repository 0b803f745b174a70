#include "cache/kv_layout.h"

namespace lull {

KvLayout::KvLayout(KvType type, const std::vector<KvLayerShape>& layers)
    : type_(type), places_(layers.size()) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const KvLayerShape& layer = layers[i];
    KvLayerPlace& place = places_[i];
    if (layer.kind == KvLayerShape::Kind::kRecurrent) {
      place.state_offset = state_floats_;
      state_floats_ += layer.state_floats;
      continue;
    }
    if (layer.kind == KvLayerShape::Kind::kShared) {
      place = places_[layer.source];
      continue;
    }
    const int64_t window = layer.kind == KvLayerShape::Kind::kWindow ? layer.window : 0;
    size_t g = 0;
    while (g < groups_.size() && groups_[g].window != window) ++g;
    if (g == groups_.size()) groups_.push_back({window, 0, {}});
    KvGroup& group = groups_[g];
    place.group = static_cast<int>(g);
    place.head_bytes = KvHeadBytes(type, layer.head_dim);
    place.offset = group.page_bytes;
    group.page_bytes += 2 * layer.kv_heads * place.head_bytes;
    group.layers.push_back(i);
  }
}

}  // namespace lull
