// Types with one scale for a block. The layouts are drawn in src/quant/types.
#include <cstring>

#include "quantize/block_quantizers.h"

namespace lull::quantize {
namespace {

void PutF16(uint8_t* out, float value) {
  const uint16_t half = F32ToF16(value);
  memcpy(out, &half, 2);
}

// Low nibbles codes 0..15, high nibbles 16..31.
void PutNibbles(uint8_t* out, const uint8_t* codes) {
  for (size_t i = 0; i < 16; ++i)
    out[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

// The fifth bits of 32 codes, code 0's lowest.
void PutFifthBits(uint8_t* out, const uint8_t* codes) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 32; ++i) bits |= uint32_t{codes[i] >> 4u & 1u} << i;
  memcpy(out, &bits, 4);
}

// d as f16 and the codes that go with it as rounded.
template <typename Grid>
void ScaledCodes(const WeightRun& run, uint8_t* d, uint8_t* codes) {
  const float scale = RoundF16(BestScale<Grid>(run));
  PutF16(d, scale);
  Assign<Grid>(run, scale, 0.0f, codes);
}

template <int kTop>
void AffineCodes(const WeightRun& run, uint8_t* d, uint8_t* codes) {
  const AffineFit fit = BestAffine<kTop, false>(run);
  const float scale = RoundF16(fit.scale), min = RoundF16(fit.min);
  PutF16(d, scale);
  PutF16(d + 2, min);
  Assign<LinearGrid<0, kTop>>(run, scale, min, codes);
}

}  // namespace

void QuantizeQ4_0(const WeightRun& run, uint8_t* block) {
  uint8_t codes[32];
  ScaledCodes<LinearGrid<-8, 7>>(run, block, codes);
  PutNibbles(block + 2, codes);
}

void QuantizeQ4_1(const WeightRun& run, uint8_t* block) {
  uint8_t codes[32];
  AffineCodes<15>(run, block, codes);
  PutNibbles(block + 4, codes);
}

void QuantizeQ5_0(const WeightRun& run, uint8_t* block) {
  uint8_t codes[32];
  ScaledCodes<LinearGrid<-16, 15>>(run, block, codes);
  PutFifthBits(block + 2, codes);
  PutNibbles(block + 6, codes);
}

void QuantizeQ5_1(const WeightRun& run, uint8_t* block) {
  uint8_t codes[32];
  AffineCodes<31>(run, block, codes);
  PutFifthBits(block + 4, codes);
  PutNibbles(block + 8, codes);
}

// Of so many integers clipping gains nothing: the largest takes the outermost.
void QuantizeQ8_0(const WeightRun& run, uint8_t* block) {
  const float scale = RoundF16(std::fabs(LargestMagnitude(run)) / 127.0f), inverse = Inverse(scale);
  PutF16(block, scale);
  for (size_t i = 0; i < 32; ++i) {
    const float q = LinearGrid<-127, 127>::Nearest(run.x[i] * inverse);
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(q));
  }
}

void QuantizeIQ4_NL(const WeightRun& run, uint8_t* block) {
  uint8_t codes[32];
  ScaledCodes<Iq4Grid>(run, block, codes);
  PutNibbles(block + 2, codes);
}

// Powers of two: those around the largest weight over the largest code are tried.
void QuantizeMXFP4(const WeightRun& run, uint8_t* block) {
  const float largest = std::fabs(LargestMagnitude(run));
  const int from = largest > 0.0f ? std::ilogb(largest / Mxfp4Grid::kHigh) + 127 : 0;
  int best = 0;
  double least = HUGE_VAL;
  for (int e = from; e <= from + 2; ++e) {
    const int bounded = std::clamp(e, 0, 254);
    const double error = ErrorOf<Mxfp4Grid>(run, std::ldexp(1.0f, bounded - 128), 0.0f);
    if (error < least) {
      least = error;
      best = bounded;
    }
  }
  uint8_t codes[32];
  Assign<Mxfp4Grid>(run, std::ldexp(1.0f, best - 128), 0.0f, codes);
  block[0] = static_cast<uint8_t>(best);
  PutNibbles(block + 1, codes);
}

// The signs; their least-squares scale is the mean magnitude.
void QuantizeQ1_0(const WeightRun& run, uint8_t* block) {
  double magnitudes = 0.0, weights = 0.0;
  memset(block + 2, 0, 16);
  for (size_t i = 0; i < 128; ++i) {
    magnitudes += double{run.w[i]} * std::fabs(run.x[i]);
    weights += run.w[i];
    const int bit = std::signbit(run.x[i]) ? 0 : 1;
    block[2 + i / 8] = static_cast<uint8_t>(block[2 + i / 8] | bit << (i % 8));
  }
  PutF16(block, static_cast<float>(magnitudes / weights));
}

void QuantizeQ2_0(const WeightRun& run, uint8_t* block) {
  uint8_t codes[64];
  ScaledCodes<LinearGrid<-1, 2>>(run, block, codes);
  for (size_t i = 0; i < 16; ++i) {
    const uint8_t* code = codes + 4 * i;
    block[2 + i] = static_cast<uint8_t>(code[0] | code[1] << 2 | code[2] << 4 | code[3] << 6);
  }
}

void QuantizeTQ2_0(const WeightRun& run, uint8_t* block) {
  uint8_t codes[256];
  ScaledCodes<LinearGrid<-1, 1>>(run, block + 64, codes);
  for (size_t i = 0; i < 64; ++i) {
    const uint8_t* code = codes + 128 * (i / 32) + i % 32;
    block[i] = static_cast<uint8_t>(code[0] | code[32] << 2 | code[64] << 4 | code[96] << 6);
  }
}

void QuantizeTQ1_0(const WeightRun& run, uint8_t* block) {
  uint8_t codes[256];
  ScaledCodes<LinearGrid<-1, 1>>(run, block + 52, codes);
  // `trits` codes, `stride` apart, as the highest digits of a number of five.
  const auto byte_of = [](const uint8_t* code, size_t stride, size_t trits) {
    uint32_t number = 0;
    for (size_t n = 0; n < 5; ++n) number = 3 * number + (n < trits ? code[n * stride] : 0u);
    return static_cast<uint8_t>((256 * number + 242) / 243);
  };
  for (size_t i = 0; i < 32; ++i) block[i] = byte_of(codes + i, 32, 5);
  for (size_t i = 0; i < 16; ++i) block[32 + i] = byte_of(codes + 160 + i, 16, 5);
  for (size_t i = 0; i < 4; ++i) block[48 + i] = byte_of(codes + 240 + i, 4, 4);
}

}  // namespace lull::quantize
