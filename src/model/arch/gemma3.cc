// Gemma 3: five sliding-window layers with a local rotary base, then one full layer; norms before
// and after each half of the block; embeddings scaled by sqrt(embedding).
#include <cmath>

#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    {"attention.sliding_window", &Hparams::window, false, 0, 1 << 20},
    {"attention.sliding_window_pattern", &Hparams::window_layers, false, 0, 1024},
    {"rope.freq_base_swa", &Hparams::rope_base_local, false, 1, 1e12},
    {"final_logit_softcapping", &Hparams::final_softcap, false, 0, 1e6},
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kAttnNorm,
    kQ,
    kK,
    kV,
    kO,
    kQNorm,
    kKNorm,
    {"blk.%d.post_attention_norm.weight", When::kEveryLayer, true, &L::attn_post_norm, {Embd}},
    kFfnNorm,
    kGate,
    kUp,
    kDown,
    {"blk.%d.post_ffw_norm.weight", When::kEveryLayer, true, &L::ffn_post_norm, {Embd}},
};

constexpr int64_t kDefaultPeriod = 6;
constexpr int64_t k27bLayers = 62;  // the one size that scales by embedding / heads

Status Plan(Hparams& h) {
  h.embedding_scale = std::sqrt(static_cast<float>(h.embedding));
  if (h.attention_scale == 0.0f && h.num_layers == k27bLayers)
    h.attention_scale = 1.0f / std::sqrt(static_cast<float>(h.embedding / h.num_heads));
  if (h.window == 0) return Status::Ok();
  const int64_t period = h.window_period > 0 ? h.window_period : kDefaultPeriod;
  for (int64_t i = 0; i < h.num_layers; ++i) {
    LayerPlan& layer = h.layers[i];
    const bool local = h.window_layers.empty() ? i % period != period - 1 : h.window_layers[i] != 0;
    layer.window = local ? h.window : 0;
    layer.local_rope = local;
  }
  return Status::Ok();
}

}  // namespace

extern const Architecture gemma3 = {
    .name = "gemma3",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kGelu,
    .plan = Plan,
};

}  // namespace lull::arch
