// Scales for a run of weights: the weighted squared error of nearest integers is searched over
// scales, and each candidate refined to the least squares of the integers it gave.
//
// Sums are kept in eight lanes and lengths are multiples of eight, so that loops vectorise without
// changing a bit between machines.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/f16.h"
#include "quant/codebooks.h"

namespace lull::quantize {

// Weights x with the weight w of each one's squared error.
struct WeightRun {
  const float* x;
  const float* w;
  size_t n;  // a multiple of 8

  WeightRun Part(size_t begin, size_t count) const { return {x + begin, w + begin, count}; }
};

// To nearest even, for |v| < 2^22.
inline float RoundNear(float v) { return v + 12582912.0f - 12582912.0f; }

inline float RoundF16(float v) { return F16ToF32(F32ToF16(std::clamp(v, -65504.0f, 65504.0f))); }

// Reciprocal, or 0 of what has none that is finite.
inline float Inverse(float v) { return std::fabs(v) > 1e-37f ? 1.0f / v : 0.0f; }

// The integers lo..hi. kReach: how far beyond the outermost integers a scale search goes, relative
// to them: the fewer integers, the more is gained by clipping.
template <int kLo, int kHi>
struct LinearGrid {
  static constexpr float kLow = kLo, kHigh = kHi;
  static constexpr float kReach = 3.0f / std::max(1.0f, std::max(-kLow, kHigh));
  static float Nearest(float v) { return RoundNear(std::min(std::max(v, kLow), kHigh)); }
  static uint8_t Code(float value) { return static_cast<uint8_t>(value - kLow); }
};

// The codebooks of 16.
struct Iq4Grid {
  static constexpr float kLow = -127, kHigh = 113, kReach = 0.3f;
  static float Nearest(float v) {
    float nearest = kLow;
    for (size_t i = 1; i < 16; ++i) {
      const float below = kIq4Codes[i - 1] - 128.0f, value = kIq4Codes[i] - 128.0f;
      nearest = v > 0.5f * (below + value) ? value : nearest;
    }
    return nearest;
  }
  static uint8_t Code(float value) {
    return static_cast<uint8_t>(
        std::find(kIq4Codes, kIq4Codes + 16, static_cast<uint8_t>(value + 128.0f)) - kIq4Codes);
  }
};
struct Mxfp4Grid {
  static constexpr float kLow = -12, kHigh = 12;
  static float Nearest(float v) {
    const float a = std::fabs(v);
    float nearest = 0.0f;
    for (size_t i = 1; i < 8; ++i) {
      const float below = kMxfp4Codes[i - 1] - 12.0f, value = kMxfp4Codes[i] - 12.0f;
      nearest = a > 0.5f * (below + value) ? value : nearest;
    }
    return std::copysign(nearest, v);
  }
  static uint8_t Code(float value) {
    return static_cast<uint8_t>(
        std::find(kMxfp4Codes, kMxfp4Codes + 16, static_cast<uint8_t>(value + 12.0f)) -
        kMxfp4Codes);
  }
};

struct Lanes {
  float v[8] = {};
  double Sum() const {
    double sum = 0.0;
    for (const float lane : v) sum += lane;
    return sum;
  }
};

// Of the integers nearest to x * inverse: their least-squares scale, and what it takes off the
// error.
struct ScaleFit {
  double scale = 0.0, gain = 0.0;
};
template <typename Grid>
ScaleFit FitScale(const WeightRun& run, float inverse) {
  Lanes xq, qq;
  for (size_t i = 0; i < run.n; i += 8) {
    for (size_t j = 0; j < 8; ++j) {
      const float x = run.x[i + j], q = Grid::Nearest(x * inverse), wq = run.w[i + j] * q;
      xq.v[j] += wq * x;
      qq.v[j] += wq * q;
    }
  }
  const double a = xq.Sum(), b = qq.Sum();
  return b > 0.0 ? ScaleFit{a / b, a * a / b} : ScaleFit{};
}

inline float LargestMagnitude(const WeightRun& run) {
  float largest = 0.0f;
  for (size_t i = 0; i < run.n; ++i) {
    if (std::fabs(run.x[i]) > std::fabs(largest)) largest = run.x[i];
  }
  return largest;
}

// The scale of least error of integers of Grid.
template <typename Grid>
float BestScale(const WeightRun& run) {
  constexpr int kSteps = 12;
  const float largest = LargestMagnitude(run), one = Inverse(largest);
  if (one == 0.0f) return 0.0f;
  ScaleFit best;
  for (const float end : {Grid::kLow, Grid::kHigh}) {
    const bool seen = end == 0.0f || (end == Grid::kHigh && end == -Grid::kLow);
    for (int step = 0; step < kSteps && !seen; ++step) {
      const float reach = 0.9f + (0.1f + Grid::kReach) * static_cast<float>(step) / (kSteps - 1);
      const ScaleFit fit = FitScale<Grid>(run, end * reach * one);
      if (fit.gain > best.gain) best = fit;
    }
  }
  for (int round = 0; round < 4; ++round) {
    const ScaleFit fit = FitScale<Grid>(run, Inverse(static_cast<float>(best.scale)));
    if (fit.gain <= best.gain) break;
    best = fit;
  }
  return static_cast<float>(best.scale);
}

// Error of x against scale * nearest + min.
template <typename Grid>
double ErrorOf(const WeightRun& run, float scale, float min) {
  const float inverse = Inverse(scale);
  Lanes error;
  for (size_t i = 0; i < run.n; i += 8) {
    for (size_t j = 0; j < 8; ++j) {
      const float x = run.x[i + j] - min, off = x - scale * Grid::Nearest(x * inverse);
      error.v[j] += run.w[i + j] * off * off;
    }
  }
  return error.Sum();
}

// x as scale * (0..kTop) + min.
struct AffineFit {
  float scale = 0.0f, min = 0.0f;
  double error = 0.0;
};

// One step: the integers of a given fit, and the least squares of these. kNegative: the min is at
// most 0.
template <int kTop, bool kNegative>
AffineFit RefineAffine(const WeightRun& run, float scale, float min) {
  const float inverse = Inverse(scale);
  Lanes w, wx, wq, wqq, wxq;
  for (size_t i = 0; i < run.n; i += 8) {
    for (size_t j = 0; j < 8; ++j) {
      const float x = run.x[i + j], weight = run.w[i + j];
      const float q = LinearGrid<0, kTop>::Nearest((x - min) * inverse), weighted = weight * q;
      w.v[j] += weight;
      wx.v[j] += weight * x;
      wq.v[j] += weighted;
      wqq.v[j] += weighted * q;
      wxq.v[j] += weighted * x;
    }
  }
  const double sw = w.Sum(), sx = wx.Sum(), sq = wq.Sum(), sqq = wqq.Sum(), sxq = wxq.Sum();
  const double det = sw * sqq - sq * sq;
  double a = scale, b = min;
  if (det > 1e-9 * sw * sqq) {
    a = (sw * sxq - sx * sq) / det;
    b = (sqq * sx - sq * sxq) / det;
  }
  if (kNegative && b > 0.0) {
    b = 0.0;
    a = sqq > 0.0 ? sxq / sqq : 0.0;
  }
  AffineFit fit = {static_cast<float>(a), static_cast<float>(b), 0.0};
  fit.error = ErrorOf<LinearGrid<0, kTop>>(run, fit.scale, fit.min);
  return fit;
}

template <int kTop, bool kNegative>
AffineFit BestAffine(const WeightRun& run) {
  constexpr int kSteps = 6;
  float low = run.x[0], high = run.x[0];
  for (size_t i = 1; i < run.n; ++i) {
    low = std::min(low, run.x[i]);
    high = std::max(high, run.x[i]);
  }
  if (kNegative) low = std::min(low, 0.0f);
  AffineFit best = {0.0f, low, 0.0};
  best.error = ErrorOf<LinearGrid<0, kTop>>(run, 0.0f, low);
  if (high <= low) return best;
  for (int step = 0; step < kSteps; ++step) {
    // From a little more than the whole range to a part of it: its middle, and either end.
    const float part = 1.05f - (0.05f + 0.9f / kTop) * static_cast<float>(step) / (kSteps - 1);
    for (const float align : {0.0f, 0.5f, 1.0f}) {
      if (align != 0.5f && part >= 1.0f) continue;
      const float min = low + align * (1.0f - part) * (high - low);
      const AffineFit fit = RefineAffine<kTop, kNegative>(run, part * (high - low) / kTop, min);
      if (fit.error < best.error) best = fit;
    }
  }
  for (int round = 0; round < 4; ++round) {
    const AffineFit fit = RefineAffine<kTop, kNegative>(run, best.scale, best.min);
    if (fit.error >= best.error) break;
    best = fit;
  }
  return best;
}

// Codes of x against scale * nearest + min.
template <typename Grid>
void Assign(const WeightRun& run, float scale, float min, uint8_t* codes) {
  const float inverse = Inverse(scale);
  for (size_t i = 0; i < run.n; ++i)
    codes[i] = Grid::Code(Grid::Nearest((run.x[i] - min) * inverse));
}

}  // namespace lull::quantize
