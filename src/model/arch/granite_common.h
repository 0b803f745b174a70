// What the Granite family shares: scales of embeddings, of what each half-block adds, of attention
// and of logits, and a switch for rotation.
#pragma once

#include "model/arch/common.h"

namespace lull::arch {

inline constexpr HparamSpec kGraniteLogits = {"logit_scale", &Hparams::logit_divisor, true, 1e-6,
                                              1e6};
inline constexpr HparamSpec kGraniteResidual = {"residual_scale", &Hparams::residual_scale, false,
                                                1e-6, 1e6};
inline constexpr HparamSpec kGraniteEmbedding = {"embedding_scale", &Hparams::embedding_scale,
                                                 false, 1e-6, 1e6};
inline constexpr HparamSpec kGraniteRope = {"rope.scaling.finetuned", &Hparams::rope_enabled, false,
                                            0, 1};
inline constexpr HparamSpec kGraniteSharedFfn = {"expert_shared_feed_forward_length",
                                                 &Hparams::shared_ffn_length, false, 0, 1 << 20};

inline void PlanGraniteLayers(Hparams& h) {
  for (LayerPlan& layer : h.layers) {
    layer.rope = h.rope_enabled != 0;
    layer.moe = h.num_experts > 0;
    layer.shared_expert = layer.moe && h.shared_ffn_length > 0;
  }
}

}  // namespace lull::arch
