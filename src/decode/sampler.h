// Picks the next token of one sequence from its logits (order of steps: lull/request.h).
// One Sampler per sequence; not thread-safe. The choice depends on the logits, the tokens accepted
// so far and (seed, position) alone.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/exec_context.h"
#include "base/work_meter.h"
#include "decode/logits.h"
#include "lull/request.h"
#include "lull/status.h"

namespace lull {

// kUsage naming the field, its value and its range.
Status CheckSampling(const SamplingParams& params, int64_t vocab_size);

class Sampler {
 public:
  // Requires: CheckSampling(params, vocab size of the logits) is ok.
  explicit Sampler(const SamplingParams& params);

  // Every token of the sequence in order, prompt included: what the penalties look back on.
  void Accept(int32_t token);
  void AcceptAll(const ExecContext& ctx, std::span<const int32_t> tokens);
  // As the destructor, but checkpointed: freeing the counts of a long prompt takes milliseconds.
  void Forget(const ExecContext& ctx);

  // The token for absolute position `position`. logits are changed in between and restored.
  // allowed: a bit for each token, as TokenConstraint fills it; empty: all are. kInternal where no
  // logit is usable (all NaN or -inf), kInvalidInput where none that is allowed is.
  Result<int32_t> Sample(const ExecContext& ctx, std::span<float> logits, int64_t position,
                         std::span<const uint32_t> allowed = {});

 private:
  bool penalises() const;
  std::span<float> Masked(const ExecContext& ctx, std::span<const float> logits,
                          std::span<const uint32_t> allowed);
  void Adjust(WorkMeter* meter, std::span<float> logits);
  void Restore(WorkMeter* meter, std::span<float> logits);
  void Set(std::span<float> logits, int32_t id, double value);
  int32_t Draw(const ExecContext& ctx, std::span<const float> logits, float max, double uniform);
  int32_t DrawFromCandidates(WorkMeter* meter, float max, float floor, double uniform);
  int32_t DrawFromAll(const ExecContext& ctx, std::span<const float> logits, float max, float floor,
                      double uniform);
  void CutCandidatesToTopP(WorkMeter* meter, float max);
  double inverse_temperature() const;

  SamplingParams params_;
  std::vector<std::pair<int32_t, double>> bias_;  // one entry per id, ascending
  std::vector<int32_t> history_;                  // kept only where a penalty is on
  // Of the window of history_. A tree: it never rehashes a whole prompt in one step.
  std::map<int32_t, int64_t> counts_;
  std::vector<std::pair<int32_t, float>> saved_;  // logits to restore, in order of change
  std::vector<float> masked_;                     // logits where allowed, else -inf
  std::vector<Candidate> candidates_;
  std::vector<double> block_sums_;
};

}  // namespace lull
