// Rotary angles: cos and sin of position * frequency, the same bits on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/hparams.h"
#include "model/weights.h"

namespace lull {

// What turns by how much. Linear: angle(p, i) = p * base^(-2 i / dims) / factors[i] / factor.
struct RopeAngles {
  double base = 10000.0;
  size_t dims = 0;
  double factor = 1.0;
  const float* factors = nullptr;  // [dims / 2] or null
  double magnitude = 1.0;          // cosines and sines are multiplied by it
  // YaRN: a pair that turns more than beta_fast times in the original context is not divided by
  // `factor`, one that turns less than beta_slow times is, and between them it is a mix.
  bool yarn = false;
  double original_context = 0.0;
  double beta_fast = 32.0, beta_slow = 1.0;
};

// Of a model's layers; LongRoPE takes its long factors where the context of a runner may grow
// beyond the one of training.
RopeAngles GlobalRope(const Hparams& h, const ModelWeights& weights, int64_t max_context_tokens);
RopeAngles LocalRope(const Hparams& h);

// Kept as two tables in double precision, for multiples of 64 and for the 64 remainders, joined by
// the addition theorem: a long context costs context / 64 rows of memory, a row of angles two
// multiplications per value.
class RopeTable {
 public:
  // Costs about max_positions / 64 * dims * 50 ns.
  RopeTable(const RopeAngles& angles, int64_t max_positions);
  static size_t Bytes(const RopeAngles& angles, int64_t max_positions);

  size_t half() const { return half_; }
  // Requires: 0 <= position < max_positions. cos, sin: [half].
  void Row(int64_t position, float* cos, float* sin) const;

 private:
  struct Angle {
    double cos, sin;
  };
  size_t half_;
  std::vector<Angle> low_;   // [64, half]
  std::vector<Angle> high_;  // [max_positions / 64 + 1, half]
};

}  // namespace lull
