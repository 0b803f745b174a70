#include "decode/logprobs.h"

#include <algorithm>
#include <limits>

#include "base/exact_math.h"
#include "base/work_meter.h"
#include "decode/exact_exp.h"
#include "decode/logits.h"
#include "lull/decoder.h"

namespace lull {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Below(x, max) - log(sum / exp(max)), where the first two are kept apart so that nothing cancels.
struct Normalizer {
  float max = 0.0f;
  double log_sum = 0.0;  // of exp(x - max)
  bool usable = false;

  double operator()(float logit) const {
    if (!usable || !(logit >= -std::numeric_limits<float>::infinity())) return -kInf;
    return Below(logit, max) - log_sum;
  }
};

Normalizer MakeNormalizer(const ExecContext& ctx, std::span<const float> logits) {
  const int32_t best = ArgMax(ctx, logits);
  if (best < 0) return {};
  const float max = logits[static_cast<size_t>(best)];
  double sum = 0.0;
  for (size_t begin = 0; begin < logits.size(); begin += kLogitBlock) {
    const size_t size = std::min(kLogitBlock, logits.size() - begin);
    sum += ExpSum(logits.subspan(begin, size), max, 1.0, -std::numeric_limits<float>::infinity());
    ctx.Checkpoint();
  }
  return {max, exact::Log(sum), true};
}

}  // namespace

double LogSumExp(const ExecContext& ctx, std::span<const float> logits) {
  const Normalizer normalizer = MakeNormalizer(ctx, logits);
  return normalizer.usable ? normalizer.max + normalizer.log_sum : -kInf;
}

Logprobs ComputeLogprobs(const ExecContext& ctx, std::span<const float> logits, int32_t chosen,
                         int k) {
  const Normalizer normalizer = MakeNormalizer(ctx, logits);
  Logprobs result;
  if (chosen >= 0 && static_cast<size_t>(chosen) < logits.size()) {
    result.chosen = {chosen, static_cast<float>(normalizer(logits[static_cast<size_t>(chosen)]))};
  }
  std::vector<Candidate> top;
  TopK(ctx, logits, static_cast<size_t>(std::max(k, 0)), &top);
  WorkMeter meter(ctx);
  result.top.reserve(top.size());
  for (const Candidate& c : top) {
    meter.Spend(1);
    result.top.push_back({c.id, static_cast<float>(normalizer(c.logit))});
  }
  FreePaced(&meter, &top);
  return result;
}

std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int k) {
  return ComputeLogprobs(ExecContext{}, logits, -1, k).top;
}

double LogprobOf(const ExecContext& ctx, std::span<const float> logits, int32_t token) {
  if (token < 0 || static_cast<size_t>(token) >= logits.size()) return -kInf;
  return MakeNormalizer(ctx, logits)(logits[static_cast<size_t>(token)]);
}

double LogprobOf(std::span<const float> logits, int32_t token) {
  return LogprobOf(ExecContext{}, logits, token);
}

}  // namespace lull
