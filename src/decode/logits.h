// Selections over one row of logits: linear time, deterministic to the bit, checkpointed in blocks.
// NaN never wins and carries no weight; ties go to the lowest id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/exec_context.h"

namespace lull {

// Entries between two checkpoints: well under 0.2 ms even where each costs an exp.
constexpr size_t kLogitBlock = 8192;  // part of the arithmetic: sums are by block

struct Candidate {
  int32_t id = 0;
  float logit = 0.0f;
};

// Index of the highest logit, -1 where every one is NaN or -inf.
int32_t ArgMax(const ExecContext& ctx, std::span<const float> logits);

// The k highest (fewer where NaN leaves fewer), in descending order, ties by ascending id.
void TopK(const ExecContext& ctx, std::span<const float> logits, size_t k,
          std::vector<Candidate>* out);

// logit - max, and 0 where both are the same infinity.
inline double Below(float logit, float max) {
  return logit == max ? 0.0 : static_cast<double>(logit) - static_cast<double>(max);
}

// sum over i of exp((logits[i] - max) * inverse_temperature) for logits[i] >= floor, in the fixed
// order of 8 lanes. Requires: max is the highest logit, inverse_temperature finite.
double ExpSum(std::span<const float> logits, float max, double inverse_temperature, float floor);

// The smallest set of highest logits whose share of the softmax is at least top_p, as candidates in
// ascending id. Linear: three counting passes over the ordered bits of the floats, no sort.
void TopP(const ExecContext& ctx, std::span<const float> logits, float max, double top_p,
          std::vector<Candidate>* out);

}  // namespace lull
