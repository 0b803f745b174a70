// Rotary angles: cos and sin of position * frequency, the same bits on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lull {

// angle(p, i) = p / factor * base^(-2 i / dims) / factors[i]. Kept as two tables in double
// precision, for multiples of 64 and for the 64 remainders, joined by the addition theorem: a long
// context costs context / 64 rows of memory, a row of angles two multiplications per value.
class RopeTable {
 public:
  // factors: [dims / 2] or null. Costs about context / 64 * dims * 50 ns.
  RopeTable(double base, double factor, const float* factors, size_t dims, int64_t max_positions);

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
