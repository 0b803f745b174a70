#include "model/rope.h"

#include "base/exact_math.h"

namespace lull {
namespace {

constexpr int64_t kLow = 64;

}  // namespace

RopeTable::RopeTable(double base, double factor, const float* factors, size_t dims,
                     int64_t max_positions)
    : half_(dims / 2),
      low_(static_cast<size_t>(kLow) * half_),
      high_(static_cast<size_t>(max_positions / kLow + 1) * half_) {
  for (size_t i = 0; i < half_; ++i) {
    double frequency =
        exact::Pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dims)) / factor;
    if (factors != nullptr) frequency /= static_cast<double>(factors[i]);
    for (size_t p = 0; p < low_.size() / half_; ++p) {
      Angle& a = low_[p * half_ + i];
      exact::SinCos(static_cast<double>(p) * frequency, &a.sin, &a.cos);
    }
    for (size_t p = 0; p < high_.size() / half_; ++p) {
      Angle& a = high_[p * half_ + i];
      exact::SinCos(static_cast<double>(p) * static_cast<double>(kLow) * frequency, &a.sin, &a.cos);
    }
  }
}

void RopeTable::Row(int64_t position, float* cos, float* sin) const {
  const Angle* low = &low_[static_cast<size_t>(position % kLow) * half_];
  const Angle* high = &high_[static_cast<size_t>(position / kLow) * half_];
  for (size_t i = 0; i < half_; ++i) {
    cos[i] = static_cast<float>(high[i].cos * low[i].cos - high[i].sin * low[i].sin);
    sin[i] = static_cast<float>(high[i].sin * low[i].cos + high[i].cos * low[i].sin);
  }
}

}  // namespace lull
