#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/exact_math.h"

namespace lull {
namespace {

constexpr int64_t kLow = 64;

// The pair, as a real number, that turns `turns` times in the original context.
double PairOfTurns(const RopeAngles& angles, double turns) {
  const double wave = angles.original_context / (turns * 2.0 * std::numbers::pi);
  return static_cast<double>(angles.dims) * exact::Log(wave) / (2.0 * exact::Log(angles.base));
}

// The share of the undivided frequency in pair i.
double KeptShare(const RopeAngles& angles, size_t i) {
  const double last = static_cast<double>(angles.dims - 1);
  const double low = std::max(0.0, std::floor(PairOfTurns(angles, angles.beta_fast)));
  const double high = std::min(last, std::ceil(PairOfTurns(angles, angles.beta_slow)));
  const double along = (static_cast<double>(i) - low) / std::max(0.001, high - low);
  return 1.0 - std::clamp(along, 0.0, 1.0);
}

double Frequency(const RopeAngles& angles, size_t i) {
  const double whole =
      exact::Pow(angles.base, -2.0 * static_cast<double>(i) / static_cast<double>(angles.dims));
  double frequency = whole / angles.factor;
  if (angles.yarn) {
    const double kept = KeptShare(angles, i);
    frequency = frequency * (1.0 - kept) + whole * kept;
  }
  if (angles.factors != nullptr) frequency /= static_cast<double>(angles.factors[i]);
  return frequency;
}

// Attention over a stretched context is sharpened by this (YaRN, section 3.4).
double Sharpening(double factor, double multiplier) {
  return factor <= 1.0 ? 1.0 : 1.0 + 0.1 * multiplier * exact::Log(factor);
}

}  // namespace

RopeAngles GlobalRope(const Hparams& h, const ModelWeights& weights, int64_t max_context_tokens) {
  RopeAngles angles;
  angles.base = h.rope_base;
  angles.dims = static_cast<size_t>(h.rope_dims);
  angles.factor = h.rope_factor;
  angles.factors = weights.rope_factors;
  angles.magnitude = h.rope_attn_factor;
  // Whatever rope.scaling.type says: converters of Phi 3 leave it out.
  if (weights.rope_factors_long != nullptr && max_context_tokens > h.rope_original_context)
    angles.factors = weights.rope_factors_long;
  if (h.rope_scaling != RopeScaling::kYarn) return angles;
  angles.yarn = true;
  angles.original_context = static_cast<double>(h.rope_original_context);
  angles.beta_fast = h.yarn_beta_fast;
  angles.beta_slow = h.yarn_beta_slow;
  const double all = h.yarn_log_multiplier;
  angles.magnitude *= Sharpening(angles.factor, 1.0);
  if (all != 0.0) angles.magnitude /= Sharpening(angles.factor, all);
  return angles;
}

RopeAngles LocalRope(const Hparams& h) {
  RopeAngles angles;
  angles.base = h.rope_base_local;
  angles.dims = static_cast<size_t>(h.rope_dims_local > 0 ? h.rope_dims_local : h.rope_dims);
  return angles;
}

namespace {

size_t HighRows(int64_t max_positions) { return static_cast<size_t>(max_positions / kLow + 1); }

}  // namespace

size_t RopeTable::Bytes(const RopeAngles& angles, int64_t max_positions) {
  return (static_cast<size_t>(kLow) + HighRows(max_positions)) * (angles.dims / 2) * sizeof(Angle);
}

RopeTable::RopeTable(const RopeAngles& angles, int64_t max_positions)
    : half_(angles.dims / 2),
      low_(static_cast<size_t>(kLow) * half_),
      high_(HighRows(max_positions) * half_) {
  for (size_t i = 0; i < half_; ++i) {
    const double frequency = Frequency(angles, i);
    for (size_t p = 0; p < low_.size() / half_; ++p) {
      Angle& a = low_[p * half_ + i];
      exact::SinCos(static_cast<double>(p) * frequency, &a.sin, &a.cos);
      a.cos *= angles.magnitude;
      a.sin *= angles.magnitude;
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
