// Natural log-softmax of unmodified logits.
#pragma once

#include <span>
#include <vector>

#include "base/exec_context.h"
#include "lull/request.h"

namespace lull {

struct Logprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // the k highest, ties to the lowest id
};

// log sum exp of the logits (NaN carries no weight), summed in a fixed order. -inf where no logit
// is usable.
double LogSumExp(const ExecContext& ctx, std::span<const float> logits);

double LogprobOf(const ExecContext& ctx, std::span<const float> logits, int32_t token);
Logprobs ComputeLogprobs(const ExecContext& ctx, std::span<const float> logits, int32_t chosen,
                         int k);

}  // namespace lull
