// OLMo 2 and 3: no norms before the half-blocks but behind them, and norms of Q and K over all
// heads together. OLMo 3 has sliding windows, which rotate without scaling, in three of four
// layers.
#include "model/arch/windows.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kWindowSpec,
    kWindowPatternSpec,
    {"rope.freq_base_swa", &Hparams::rope_base_local, false, 1, 1e12},
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kQ,
    kK,
    kV,
    kO,
    {"blk.%d.attn_q_norm.weight", When::kAttention, true, &L::q_norm, {QDim}},
    {"blk.%d.attn_k_norm.weight", When::kAttention, true, &L::k_norm, {KvDim}},
    kAttnPostNorm,
    kGate,
    kUp,
    kDown,
    kFfnPostNorm,
};

constexpr int64_t kDefaultPeriod = 4;

Status Plan(Hparams& h) {
  if (h.rope_base_local == 0.0f) h.rope_base_local = h.rope_base;
  PlanWindows(h, kDefaultPeriod, /*local_rope=*/true);
  return Status::Ok();
}

}  // namespace

extern const Architecture olmo2 = {
    .name = "olmo2",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .whole_head_norms = true,
    .gate = GateFn::kSilu,
    .plan = Plan,
};

}  // namespace lull::arch
