// LFM2-MoE: as LFM2, with a sigmoid router after the leading dense layers; a bias steers the
// selection of experts but not their weights.
#include "model/arch/lfm2_common.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kConvTapsSpec,       kLfmWindowSpec,
    kExpertCount,        kExpertsUsed,
    kExpertFfn,          {"expert_gating_func", &Hparams::expert_gating, true, 1, 2},
    kExpertWeightsScale, {"leading_dense_block_count", &Hparams::leading_dense, false, 0, 1024},
};

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kLfmOutputNorm,
    kAttnNorm,
    kQ,
    kK,
    kV,
    kO,
    kQNorm,
    kKNorm,
    kConvKernel,
    kConvIn,
    kConvOut,
    kFfnNorm,
    kGate,
    kUp,
    kDown,
    kRouter,
    kGateExps,
    kUpExps,
    kDownExps,
    {"blk.%d.exp_probs_b.bias", When::kMoe, true, &L::router_bias, {Experts}},
};

Status Plan(Hparams& h) {
  LULL_RETURN_IF_ERROR(PlanConvLayers(h));
  PlanExperts(h, h.leading_dense);
  return Status::Ok();
}

}  // namespace

extern const Architecture lfm2moe = {
    .name = "lfm2moe",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .gate = GateFn::kSilu,
    .router = RouterFn::kSigmoid,
    .plan = Plan,
};

}  // namespace lull::arch
