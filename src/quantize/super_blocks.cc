// Types of 256 weights under one float scale, in sub-blocks with integer scales. The layouts are
// drawn in src/quant/types.
#include <cstring>

#include "quantize/block_quantizers.h"

namespace lull::quantize {
namespace {

constexpr size_t kWeights = 256, kMaxSubs = 16;

struct SuperCodes {
  float d = 0.0f, dmin = 0.0f;  // as their f16
  int scales[kMaxSubs] = {}, mins[kMaxSubs] = {};
  uint8_t codes[kWeights] = {};

  float Scale(size_t sub) const { return d * static_cast<float>(scales[sub]); }
  float Min(size_t sub) const { return 0.0f - dmin * static_cast<float>(mins[sub]); }
};

void PutF16(uint8_t* out, float value) {
  const uint16_t half = F32ToF16(value);
  memcpy(out, &half, 2);
}

double SumOfWeights(const WeightRun& run) {
  double sum = 0.0;
  for (size_t i = 0; i < run.n; ++i) sum += run.w[i];
  return sum;
}

template <typename Grid, size_t kSubs>
double ErrorOfAll(const WeightRun& run, const SuperCodes& s) {
  constexpr size_t kLength = kWeights / kSubs;
  double error = 0.0;
  for (size_t sub = 0; sub < kSubs; ++sub)
    error += ErrorOf<Grid>(run.Part(sub * kLength, kLength), s.Scale(sub), s.Min(sub));
  return error;
}

// Takes the integers next to a sub-block's scale and min where they are better.
template <typename Grid, int kLow, int kHigh, int kMinHigh>
void ImproveSub(const WeightRun& run, size_t sub, SuperCodes* s) {
  const int scale = s->scales[sub], min = s->mins[sub];
  double least = ErrorOf<Grid>(run, s->Scale(sub), s->Min(sub));
  int best_scale = scale, best_min = min;
  for (int a = std::max(kLow, scale - 1); a <= std::min(kHigh, scale + 1); ++a) {
    for (int b = std::max(0, min - 1); b <= std::min(kMinHigh, min + 1); ++b) {
      s->scales[sub] = a;
      s->mins[sub] = b;
      const double error = ErrorOf<Grid>(run, s->Scale(sub), s->Min(sub));
      if (error >= least) continue;
      least = error;
      best_scale = a;
      best_min = b;
    }
  }
  s->scales[sub] = best_scale;
  s->mins[sub] = best_min;
}

// The least squares of d and dmin, all integers given; kept where it is better once rounded.
template <typename Grid, size_t kSubs>
void RefitSuper(const WeightRun& run, SuperCodes* s) {
  constexpr size_t kLength = kWeights / kSubs;
  double aa = 0.0, ab = 0.0, bb = 0.0, ax = 0.0, bx = 0.0;  // a = scale * code, b = -min
  for (size_t sub = 0; sub < kSubs; ++sub) {
    const float inverse = Inverse(s->Scale(sub)), min = s->Min(sub);
    const double b = -s->mins[sub];
    for (size_t i = sub * kLength; i < (sub + 1) * kLength; ++i) {
      const double w = run.w[i], x = run.x[i];
      const double a = double{Grid::Nearest((run.x[i] - min) * inverse)} * s->scales[sub];
      aa += w * a * a;
      ab += w * a * b;
      bb += w * b * b;
      ax += w * a * x;
      bx += w * b * x;
    }
  }
  SuperCodes fitted = *s;
  const double det = aa * bb - ab * ab;
  if (det > 1e-9 * aa * bb) {
    fitted.d = RoundF16(static_cast<float>((bb * ax - ab * bx) / det));
    fitted.dmin = RoundF16(static_cast<float>((aa * bx - ab * ax) / det));
  } else if (aa > 0.0) {
    fitted.d = RoundF16(static_cast<float>((ax - ab * s->dmin) / aa));
  }
  if (ErrorOfAll<Grid, kSubs>(run, fitted) < ErrorOfAll<Grid, kSubs>(run, *s)) *s = fitted;
}

// From first scales and mins of the sub-blocks (mins as positive numbers, or none) to the codes.
template <typename Grid, size_t kSubs, int kLow, int kHigh, int kMinHigh>
SuperCodes FitSuper(const WeightRun& run, const float* scales, const float* mins,
                    const float* weights) {
  constexpr size_t kLength = kWeights / kSubs;
  SuperCodes s;
  s.d = RoundF16(BestScale<LinearGrid<kLow, kHigh>>({scales, weights, kSubs}));
  if (kMinHigh > 0) s.dmin = RoundF16(BestScale<LinearGrid<0, kMinHigh>>({mins, weights, kSubs}));
  for (size_t sub = 0; sub < kSubs; ++sub) {
    s.scales[sub] = static_cast<int>(LinearGrid<kLow, kHigh>::Nearest(scales[sub] * Inverse(s.d)));
    if (kMinHigh > 0)
      s.mins[sub] = static_cast<int>(LinearGrid<0, kMinHigh>::Nearest(mins[sub] * Inverse(s.dmin)));
  }
  for (int round = 0; round < 2; ++round) {
    for (size_t sub = 0; sub < kSubs; ++sub)
      ImproveSub<Grid, kLow, kHigh, kMinHigh>(run.Part(sub * kLength, kLength), sub, &s);
    RefitSuper<Grid, kSubs>(run, &s);
  }
  for (size_t sub = 0; sub < kSubs; ++sub)
    Assign<Grid>(run.Part(sub * kLength, kLength), s.Scale(sub), s.Min(sub),
                 s.codes + sub * kLength);
  return s;
}

// Weights scale * (0..kTop) - min, scales and mins 0..kScaleTop.
template <int kTop, size_t kSubs, int kScaleTop>
SuperCodes AffineSuper(const WeightRun& run) {
  constexpr size_t kLength = kWeights / kSubs;
  float scales[kMaxSubs], mins[kMaxSubs], weights[kMaxSubs];
  for (size_t sub = 0; sub < kSubs; ++sub) {
    const WeightRun part = run.Part(sub * kLength, kLength);
    const AffineFit fit = BestAffine<kTop, true>(part);
    scales[sub] = fit.scale;
    mins[sub] = -fit.min;
    weights[sub] = static_cast<float>(SumOfWeights(part));
  }
  return FitSuper<LinearGrid<0, kTop>, kSubs, 0, kScaleTop, kScaleTop>(run, scales, mins, weights);
}

// Weights scale * Grid, scales kLow..kHigh.
template <typename Grid, size_t kSubs, int kLow, int kHigh>
SuperCodes SignedSuper(const WeightRun& run) {
  constexpr size_t kLength = kWeights / kSubs;
  float scales[kMaxSubs], weights[kMaxSubs];
  for (size_t sub = 0; sub < kSubs; ++sub) {
    const WeightRun part = run.Part(sub * kLength, kLength);
    scales[sub] = BestScale<Grid>(part);
    weights[sub] = static_cast<float>(SumOfWeights(part));
  }
  return FitSuper<Grid, kSubs, kLow, kHigh, 0>(run, scales, nullptr, weights);
}

// Of each 128 weights four sub-blocks of 32 lie in the pairs of bits of 32 bytes.
void PutPairs(uint8_t* out, const uint8_t* codes) {
  for (size_t i = 0; i < 64; ++i) {
    const uint8_t* code = codes + 128 * (i / 32) + i % 32;
    out[i] = static_cast<uint8_t>((code[0] & 3) | (code[32] & 3) << 2 | (code[64] & 3) << 4 |
                                  (code[96] & 3) << 6);
  }
}

// Bit `bit` of the codes: bit j of byte i is weight i of sub-block j of 32.
void PutPlane(uint8_t* out, const uint8_t* codes, int bit) {
  for (size_t i = 0; i < 32; ++i) {
    int byte = 0;
    for (size_t sub = 0; sub < 8; ++sub) byte |= (codes[32 * sub + i] >> bit & 1) << sub;
    out[i] = static_cast<uint8_t>(byte);
  }
}

// Four chunks of 32 bytes, low nibbles one sub-block, high the next.
void PutKNibbles(uint8_t* out, const uint8_t* codes) {
  for (size_t i = 0; i < 128; ++i) {
    const uint8_t* code = codes + 64 * (i / 32) + i % 32;
    out[i] = static_cast<uint8_t>((code[0] & 15) | (code[32] & 15) << 4);
  }
}

// Eight 6-bit scales and mins in 12 bytes.
void PutKScales(uint8_t* out, const SuperCodes& s) {
  for (size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<uint8_t>(s.scales[j] | s.scales[j + 4] >> 4 << 6);
    out[j + 4] = static_cast<uint8_t>(s.mins[j] | s.mins[j + 4] >> 4 << 6);
    out[j + 8] = static_cast<uint8_t>((s.scales[j + 4] & 15) | (s.mins[j + 4] & 15) << 4);
  }
}

}  // namespace

void QuantizeQ2_K(const WeightRun& run, uint8_t* block) {
  const SuperCodes s = AffineSuper<3, 16, 15>(run);
  for (size_t i = 0; i < 16; ++i) block[i] = static_cast<uint8_t>(s.scales[i] | s.mins[i] << 4);
  PutPairs(block + 16, s.codes);
  PutF16(block + 80, s.d);
  PutF16(block + 82, s.dmin);
}

void QuantizeQ3_K(const WeightRun& run, uint8_t* block) {
  const SuperCodes s = SignedSuper<LinearGrid<-4, 3>, 16, -32, 31>(run);
  PutPlane(block, s.codes, 2);
  PutPairs(block + 32, s.codes);
  memset(block + 96, 0, 12);
  for (size_t i = 0; i < 16; ++i) {
    const int scale = s.scales[i] + 32;
    uint8_t* low = block + 96 + i % 8;
    uint8_t* top = block + 104 + i % 4;
    *low = static_cast<uint8_t>(*low | (scale & 15) << (4 * (i / 8)));
    *top = static_cast<uint8_t>(*top | (scale >> 4) << (2 * (i / 4)));
  }
  PutF16(block + 108, s.d);
}

void QuantizeQ4_K(const WeightRun& run, uint8_t* block) {
  const SuperCodes s = AffineSuper<15, 8, 63>(run);
  PutF16(block, s.d);
  PutF16(block + 2, s.dmin);
  PutKScales(block + 4, s);
  PutKNibbles(block + 16, s.codes);
}

void QuantizeQ5_K(const WeightRun& run, uint8_t* block) {
  const SuperCodes s = AffineSuper<31, 8, 63>(run);
  PutF16(block, s.d);
  PutF16(block + 2, s.dmin);
  PutKScales(block + 4, s);
  PutPlane(block + 16, s.codes, 4);
  PutKNibbles(block + 48, s.codes);
}

void QuantizeQ6_K(const WeightRun& run, uint8_t* block) {
  const SuperCodes s = SignedSuper<LinearGrid<-32, 31>, 16, -128, 127>(run);
  for (size_t i = 0; i < 128; ++i) {  // sub-blocks 0 and 2, or 1 and 3, of a half of 128
    const uint8_t* code = s.codes + 128 * (i / 64) + i % 64;
    block[i] = static_cast<uint8_t>((code[0] & 15) | (code[64] & 15) << 4);
  }
  for (size_t i = 0; i < 64; ++i) {
    const uint8_t* code = s.codes + 128 * (i / 32) + i % 32;
    block[128 + i] = static_cast<uint8_t>(code[0] >> 4 | code[32] >> 4 << 2 | code[64] >> 4 << 4 |
                                          code[96] >> 4 << 6);
  }
  for (size_t i = 0; i < 16; ++i) block[192 + i] = static_cast<uint8_t>(s.scales[i]);
  PutF16(block + 208, s.d);
}

void QuantizeIQ4_XS(const WeightRun& run, uint8_t* block) {
  const SuperCodes s = SignedSuper<Iq4Grid, 8, -32, 31>(run);
  PutF16(block, s.d);
  uint16_t tops = 0;
  memset(block + 4, 0, 4);
  for (size_t sub = 0; sub < 8; ++sub) {
    const int scale = s.scales[sub] + 32;
    tops = static_cast<uint16_t>(tops | (scale >> 4) << (2 * sub));
    uint8_t* low = block + 4 + sub / 2;
    *low = static_cast<uint8_t>(*low | (scale & 15) << (4 * (sub % 2)));
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t* code = s.codes + 32 * sub + i;
      block[8 + 16 * sub + i] = static_cast<uint8_t>(code[0] | code[16] << 4);
    }
  }
  memcpy(block + 2, &tops, 2);
}

}  // namespace lull::quantize
