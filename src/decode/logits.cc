#include "decode/logits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "base/work_meter.h"
#include "decode/exact_exp.h"

namespace lull {
namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 8;
// Above this the heap of TopK loses to selecting over all candidates.
constexpr size_t kHeapLimit = 512;

bool Better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The same for an algorithm of the library: sorting a whole vocabulary takes 20 ms.
auto PacedBetter(WorkMeter* meter) {
  return [meter](const Candidate& a, const Candidate& b) {
    meter->Spend(1);
    return Better(a, b);
  };
}

// Monotone map of floats to unsigned: a < b as floats iff Key(a) < Key(b); both zeros map to one.
uint32_t Key(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value + 0.0f);
  return (bits & 0x80000000u) ? ~bits : bits | 0x80000000u;
}

template <typename Fn>  // fn(begin, end)
void ForBlocks(const ExecContext& ctx, size_t n, Fn&& fn) {
  for (size_t begin = 0; begin < n; begin += kLogitBlock) {
    fn(begin, std::min(n, begin + kLogitBlock));
    ctx.Checkpoint();
  }
}

float BlockMax(const float* x, size_t n) {
  std::array<float, 16> lane;
  lane.fill(kMinusInf);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (size_t j = 0; j < 16; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  }
  for (; i < n; ++i) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
  for (size_t j = 1; j < 16; ++j) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
  return lane[0];
}

void TopKByHeap(const ExecContext& ctx, std::span<const float> logits, size_t k,
                std::vector<Candidate>* heap) {
  WorkMeter meter(ctx);
  const auto better = PacedBetter(&meter);
  ForBlocks(ctx, logits.size(), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const Candidate c{static_cast<int32_t>(i), logits[i]};
      if (heap->size() < k) {
        if (c.logit != c.logit) continue;
        heap->push_back(c);
        std::push_heap(heap->begin(), heap->end(), better);
      } else if (c.logit > heap->front().logit) {  // an equal one has a higher id: worse
        std::pop_heap(heap->begin(), heap->end(), better);
        heap->back() = c;
        std::push_heap(heap->begin(), heap->end(), better);
      }
    }
  });
  std::sort_heap(heap->begin(), heap->end(), better);
}

void TopKBySelection(const ExecContext& ctx, std::span<const float> logits, size_t k,
                     std::vector<Candidate>* out) {
  out->reserve(logits.size());
  ForBlocks(ctx, logits.size(), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (logits[i] == logits[i]) out->push_back({static_cast<int32_t>(i), logits[i]});
    }
  });
  WorkMeter meter(ctx);
  if (out->size() > k) {
    std::nth_element(out->begin(), out->begin() + static_cast<ptrdiff_t>(k), out->end(),
                     PacedBetter(&meter));
    out->resize(k);
  }
  std::sort(out->begin(), out->end(), PacedBetter(&meter));
}

// One digit of the search for the cut of TopP: the softmax mass of each value of the digit among
// the logits whose higher bits equal prefix.
struct DigitMass {
  std::vector<double> mass;
  double total = 0.0;
};

DigitMass MassByDigit(const ExecContext& ctx, std::span<const float> logits, float max,
                      uint32_t prefix, int prefix_shift, int shift, int bits) {
  DigitMass result;
  result.mass.assign(size_t{1} << bits, 0.0);
  const uint32_t mask = (1u << bits) - 1;
  ForBlocks(ctx, logits.size(), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const float x = logits[i];
      if (!(x > kMinusInf)) continue;
      const uint32_t key = Key(x);
      if (prefix_shift < 32 && (key >> prefix_shift) != prefix) continue;
      result.mass[(key >> shift) & mask] += ExpOfNonPositive(Below(x, max));
    }
  });
  for (size_t d = result.mass.size(); d-- > 0;) result.total += result.mass[d];
  return result;
}

// The digit in which the descending mass reaches `wanted`; reduces wanted by what lies above it.
// Where rounding leaves the mass short of it, everything is wanted: the lowest digit in use.
uint32_t DigitOfCut(const DigitMass& digits, double* wanted) {
  uint32_t lowest_used = 0;
  for (size_t d = digits.mass.size(); d-- > 0;) {
    if (digits.mass[d] <= 0.0) continue;
    lowest_used = static_cast<uint32_t>(d);
    if (digits.mass[d] >= *wanted) return lowest_used;
    *wanted -= digits.mass[d];
  }
  *wanted = std::numeric_limits<double>::infinity();
  return lowest_used;
}

}  // namespace

int32_t ArgMax(const ExecContext& ctx, std::span<const float> logits) {
  float best = kMinusInf;
  size_t best_block = 0;
  ForBlocks(ctx, logits.size(), [&](size_t begin, size_t end) {
    const float block = BlockMax(logits.data() + begin, end - begin);
    if (block > best) {
      best = block;
      best_block = begin;
    }
  });
  if (best == kMinusInf) return -1;
  size_t i = best_block;
  while (logits[i] != best) ++i;
  return static_cast<int32_t>(i);
}

void TopK(const ExecContext& ctx, std::span<const float> logits, size_t k,
          std::vector<Candidate>* out) {
  out->clear();
  k = std::min(k, logits.size());
  if (k == 0) return;
  if (k <= kHeapLimit) {
    TopKByHeap(ctx, logits, k, out);
  } else {
    TopKBySelection(ctx, logits, k, out);
  }
}

// Compiled for several widths of the processor's vectors and chosen when the program starts: every
// element is for itself and nothing is contracted, so the bits are the same. Not under sanitizers,
// which are not up yet when the choice is made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define LULL_WIDE_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LULL_WIDE_CLONES
#endif

// exp((x - max) * inverse_temperature) of each, 0 where x is below `least` or NaN. Every operation
// is done for every x and then selected, or the compiler would not vectorise it.
LULL_WIDE_CLONES static void Weights(const float* x, size_t n, float max,
                                     double inverse_temperature, float least, double* weights) {
  for (size_t i = 0; i < n; ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(max);
    const double below = x[i] == max ? 0.0 : difference;  // as Below
    const double weight = ExpOfNonPositive(below * inverse_temperature);
    weights[i] = x[i] >= least ? weight : 0.0;
  }
}

double ExpSum(std::span<const float> logits, float max, double inverse_temperature, float floor) {
  constexpr size_t kPiece = 64 * kLanes;
  double weights[kPiece];
  std::array<double, kLanes> lane{};
  const float least = std::max(floor, std::numeric_limits<float>::lowest());
  for (size_t begin = 0; begin < logits.size(); begin += kPiece) {
    const size_t n = std::min(kPiece, logits.size() - begin);
    Weights(logits.data() + begin, n, max, inverse_temperature, least, weights);
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (size_t j = 0; j < kLanes; ++j) lane[j] += weights[i + j];
    for (size_t j = 0; i < n; ++i, ++j) lane[j] += weights[i];
  }
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

void TopP(const ExecContext& ctx, std::span<const float> logits, float max, double top_p,
          std::vector<Candidate>* out) {
  out->clear();
  DigitMass digits = MassByDigit(ctx, logits, max, 0, 32, 20, 12);
  double wanted = top_p * digits.total;
  uint32_t key = DigitOfCut(digits, &wanted);
  digits = MassByDigit(ctx, logits, max, key, 20, 10, 10);
  key = (key << 10) | DigitOfCut(digits, &wanted);
  digits = MassByDigit(ctx, logits, max, key, 10, 0, 10);
  key = (key << 10) | DigitOfCut(digits, &wanted);
  out->reserve(logits.size());
  ForBlocks(ctx, logits.size(), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const float x = logits[i];
      if (!(x > kMinusInf)) continue;
      const uint32_t own = Key(x);
      if (own < key) continue;
      if (own == key) {  // equal logits: the lowest ids until the share is reached
        if (wanted <= 0.0) continue;
        wanted -= ExpOfNonPositive(Below(x, max));
      }
      out->push_back({static_cast<int32_t>(i), x});
    }
  });
}

}  // namespace lull
