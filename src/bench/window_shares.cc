#include "bench/window_shares.h"

#include <algorithm>

namespace lull {
namespace {

double Share(const os::CpuSample& from, const os::CpuSample& to, int cpus) {
  return static_cast<double>(to.cpu_ns - from.cpu_ns) /
         (static_cast<double>(to.monotonic_ns - from.monotonic_ns) * cpus);
}

}  // namespace

std::span<const os::CpuSample> SamplesInside(std::span<const os::CpuSample> samples,
                                             int64_t begin_ns, int64_t end_ns) {
  const auto first =
      std::partition_point(samples.begin(), samples.end(),
                           [&](const os::CpuSample& s) { return s.monotonic_ns < begin_ns; });
  const auto last = std::partition_point(
      first, samples.end(), [&](const os::CpuSample& s) { return s.monotonic_ns <= end_ns; });
  return {first, last};
}

std::optional<double> MeanShare(std::span<const os::CpuSample> samples, int64_t begin_ns,
                                int64_t end_ns, int cpus) {
  const auto inside = SamplesInside(samples, begin_ns, end_ns);
  if (inside.size() < 2 || cpus < 1) return std::nullopt;
  return Share(inside.front(), inside.back(), cpus);
}

std::vector<double> WindowShares(std::span<const os::CpuSample> samples, int64_t begin_ns,
                                 int64_t end_ns, int64_t width_ns, int cpus) {
  const auto inside = SamplesInside(samples, begin_ns, end_ns);
  std::vector<double> shares;
  if (cpus < 1) return shares;
  size_t j = 0;
  for (size_t i = 0; i < inside.size(); ++i) {
    j = std::max(j, i + 1);
    const int64_t wanted = inside[i].monotonic_ns + width_ns;
    while (j < inside.size() && inside[j].monotonic_ns < wanted) ++j;
    // Ticks jitter by microseconds: the sample just before may be the nearer end.
    size_t end = j;
    if (j > i + 1 && (j == inside.size() ||
                      wanted - inside[j - 1].monotonic_ns < inside[j].monotonic_ns - wanted)) {
      end = j - 1;
    }
    if (end >= inside.size()) break;
    const int64_t width = inside[end].monotonic_ns - inside[i].monotonic_ns;
    if (std::abs(width - width_ns) * 20 <= width_ns) {
      shares.push_back(Share(inside[i], inside[end], cpus));
    }
  }
  return shares;
}

}  // namespace lull
