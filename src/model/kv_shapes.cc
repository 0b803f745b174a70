#include "model/kv_shapes.h"

#include "model/mixer_sizes.h"
#include "ops/attention.h"

namespace lull {

std::vector<KvLayerShape> KvShapes(const Hparams& h) {
  std::vector<KvLayerShape> shapes;
  for (const LayerPlan& layer : h.layers) {
    KvLayerShape shape;
    if (IsRecurrent(layer.mixer)) {
      shape.kind = KvLayerShape::Kind::kRecurrent;
      shape.state_floats = MixerStateFloats(h, layer.mixer);
    } else if (layer.kv_source >= 0) {
      shape.kind = KvLayerShape::Kind::kShared;
      shape.source = static_cast<size_t>(layer.kv_source);
    } else {
      shape.kind = layer.window > 0 ? KvLayerShape::Kind::kWindow : KvLayerShape::Kind::kFull;
      shape.window = layer.window;
      shape.kv_heads = static_cast<size_t>(layer.kv_heads);
      shape.head_dim = PaddedHeadDim(static_cast<size_t>(layer.head_dim));
    }
    shapes.push_back(shape);
  }
  return shapes;
}

}  // namespace lull
