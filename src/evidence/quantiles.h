// Quantiles by nearest rank, with intervals that assume nothing about the distribution.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace lull {

struct QuantileEstimate {
  double value = 0.0;
  size_t samples = 0;
  // Order statistics that hold the true quantile with at least the asked confidence, were the
  // samples independent. Absent on a side where the samples are too few to bound it.
  std::optional<double> low;
  std::optional<double> high;
};

// Samples from which on a quantile is stated at all: one expected beyond it on either side, so 100
// for p99, 20 for p95 and p5, 2 for p50.
size_t SamplesNeeded(double q);

// The smallest sample with at least a share q of all at or below it; nothing where the samples are
// fewer than SamplesNeeded(q). Requires: sorted ascending, 0 < q < 1, 0 < confidence < 1.
std::optional<QuantileEstimate> EstimateQuantile(std::span<const double> sorted, double q,
                                                 double confidence = 0.95);

// The same of samples that overlap, such as sliding windows: the value is that of all of them,
// while whether it is stated, and its interval, count only as many as are independent.
std::optional<QuantileEstimate> EstimateQuantileOfOverlapping(std::span<const double> sorted,
                                                              double q, size_t independent,
                                                              double confidence = 0.95);

// A sorted copy without what is not a number.
std::vector<double> Sorted(std::span<const double> samples);

}  // namespace lull
