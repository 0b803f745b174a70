// SmolLM 3: Llama's block; every fourth layer does not rotate Q and K (NoPE).
#include "model/arch/common.h"

namespace lull::arch {
namespace {

constexpr int64_t kNoRopePeriod = 4;

constexpr TensorSpec kTensors[] = {
    kTokenEmbd, kOutput, kOutputNorm, kAttnNorm, kQ,       kK,  kV,    kO,
    kQBias,     kKBias,  kVBias,      kOBias,    kFfnNorm, kUp, kGate, kDown,
};

Status Plan(Hparams& h) {
  for (int64_t i = 0; i < h.num_layers; ++i) h.layers[i].rope = (i + 1) % kNoRopePeriod != 0;
  return Status::Ok();
}

}  // namespace

extern const Architecture smollm3 = {
    .name = "smollm3",
    .hparams = {},
    .tensors = kTensors,
    .rope_neox = false,
    .gate = GateFn::kSilu,
    .plan = Plan,
};

}  // namespace lull::arch
