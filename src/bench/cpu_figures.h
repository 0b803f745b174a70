// What samples of a process's CPU clock say about a stretch of time, and whether they may be
// believed.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/os/process.h"
#include "evidence/quantiles.h"

namespace lull {

// Sliding windows of one width, one from each sample on. Shares are of all CPUs: 0.35 for 35 %.
struct WindowFigures {
  int64_t width_ns = 0;
  size_t count = 0;
  size_t lost = 0;  // windows whose beginning or end the sampler missed
  // Stated from so many windows on that do not overlap; intervals count those alone.
  std::optional<QuantileEstimate> p50, p95, p99;
  std::optional<double> max;
};

struct SeriesPoint {  // a stretch of the time, for a drawing
  double from_s = 0, mean = 0, min = 0, max = 0;
};

struct CpuFigures {
  std::optional<double> mean;
  std::vector<WindowFigures> windows;  // 20, 50, 100, 1000 ms
  std::vector<SeriesPoint> series;     // of the 100 ms windows
  size_t ticks = 0;                    // samples that there should be
  size_t dropped = 0;                  // of these missing
  double longest_gap_s = 0;

  const WindowFigures* Of(int64_t width_ns) const;  // null where there is none
};

inline constexpr int64_t kWindowWidthsNs[] = {20'000'000, 50'000'000, 100'000'000, 1'000'000'000};

// Of the samples inside [begin_ns, end_ns], taken every period_ns.
CpuFigures AnalyzeCpu(std::span<const os::CpuSample> samples, int64_t begin_ns, int64_t end_ns,
                      int64_t period_ns, int cpus);

// Why the figures prove nothing about 99 % of the windows; empty where they do. Windows may be lost
// where the process took the whole machine, so no more may be lost than half of what a p99 leaves
// out.
std::vector<std::string> DoubtsOf(const CpuFigures& figures);

nlohmann::json ToJson(const CpuFigures& figures);

}  // namespace lull
