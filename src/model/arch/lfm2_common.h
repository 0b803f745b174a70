// What LFM2 and its mixture-of-experts variant share: gated short convolutions in the layers that
// have no KV heads.
#pragma once

#include "model/arch/common.h"

namespace lull::arch {

inline constexpr HparamSpec kConvTapsSpec = {"shortconv.l_cache", &Hparams::conv_taps, true, 2, 64};
inline constexpr HparamSpec kLfmWindowSpec = {"attention.sliding_window", &Hparams::window, false,
                                              0, 1 << 20};

inline constexpr TensorSpec kLfmOutputNorm = {
    "token_embd_norm.weight", When::kModel, true, &M::output_norm, {Embd}};
inline constexpr TensorSpec kConvKernel = {
    "blk.%d.shortconv.conv.weight", When::kRecurrent, true, &L::conv, {Taps, Embd}};
inline constexpr TensorSpec kConvIn = {
    "blk.%d.shortconv.in_proj.weight", When::kRecurrent, true, &L::conv_in, {Embd, Embd3}};
inline constexpr TensorSpec kConvOut = {
    "blk.%d.shortconv.out_proj.weight", When::kRecurrent, true, &L::conv_out, {Embd, Embd}};

inline Status PlanConvLayers(Hparams& h) {
  for (LayerPlan& layer : h.layers) {
    const bool conv = layer.kv_heads == 0;
    if (conv) layer.mixer = Mixer::kShortConv;
    layer.window = conv ? 0 : h.window;
  }
  return Status::Ok();
}

}  // namespace lull::arch
