#include "evidence/quantiles.h"

#include <algorithm>
#include <cmath>

namespace lull {
namespace {

// Ranks are 1-based: X(l) < quantile with probability at least 1 - tail, and so on. With B the
// number of samples below the quantile, B ~ Binomial(n, q), the interval [X(l), X(u)] misses on the
// left when B <= l - 1 and on the right when B >= u.
struct Ranks {
  size_t low;   // 0: none
  size_t high;  // n + 1: none
};

Ranks IntervalRanks(size_t n, double q, double tail) {
  const double log_q = std::log(q), log_p = std::log1p(-q);
  const double count = static_cast<double>(n);
  Ranks ranks{0, n + 1};
  double cdf = 0.0;
  for (size_t k = 0; k <= n; ++k) {
    const double x = static_cast<double>(k);
    cdf += std::exp(std::lgamma(count + 1) - std::lgamma(x + 1) - std::lgamma(count - x + 1) +
                    x * log_q + (count - x) * log_p);
    if (cdf <= tail) ranks.low = k + 1;
    if (cdf >= 1.0 - tail) {
      ranks.high = k + 1;
      break;
    }
  }
  return ranks;
}

}  // namespace

size_t SamplesNeeded(double q) {
  const double tail = std::min(q, 1.0 - q);
  return static_cast<size_t>(std::ceil(1.0 / tail - 1e-9));
}

std::optional<QuantileEstimate> EstimateQuantile(std::span<const double> sorted, double q,
                                                 double confidence) {
  return EstimateQuantileOfOverlapping(sorted, q, sorted.size(), confidence);
}

std::optional<QuantileEstimate> EstimateQuantileOfOverlapping(std::span<const double> sorted,
                                                              double q, size_t independent,
                                                              double confidence) {
  const size_t n = sorted.size();
  independent = std::min(independent, n);
  if (!(q > 0.0 && q < 1.0) || n == 0 || independent < SamplesNeeded(q)) return std::nullopt;
  const size_t rank =
      std::clamp<size_t>(static_cast<size_t>(std::ceil(q * static_cast<double>(n) - 1e-9)), 1, n);
  QuantileEstimate estimate;
  estimate.value = sorted[rank - 1];
  estimate.samples = n;
  const Ranks ranks = IntervalRanks(independent, q, (1.0 - confidence) / 2.0);
  // Rank k of the independent ones stands for the samples from (k - 1) n / independent on to
  // k n / independent: the outer end of these bounds.
  if (ranks.low >= 1) estimate.low = sorted[(ranks.low - 1) * n / independent];
  if (ranks.high <= independent)
    estimate.high = sorted[(ranks.high * n + independent - 1) / independent - 1];
  return estimate;
}

std::vector<double> Sorted(std::span<const double> samples) {
  std::vector<double> sorted;
  sorted.reserve(samples.size());
  for (const double sample : samples) {
    if (!std::isnan(sample)) sorted.push_back(sample);
  }
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace lull
