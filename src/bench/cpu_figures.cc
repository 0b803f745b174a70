#include "bench/cpu_figures.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/json_values.h"
#include "bench/window_shares.h"

namespace lull {
namespace {

constexpr double kNs = 1e9;
constexpr int64_t kSeriesWidthNs = 100'000'000;
constexpr size_t kSeriesPoints = 240;
constexpr size_t kMinWindows = 1000;
constexpr double kMaxLostShare = 0.005;
constexpr double kMaxGapS = 1.0;

std::string Format(const char* format, double a, double b) {
  char text[128];
  snprintf(text, sizeof(text), format, a, b);
  return text;
}

WindowFigures FiguresOf(std::span<const os::CpuSample> samples, int64_t begin_ns, int64_t end_ns,
                        int64_t width_ns, int64_t period_ns, int cpus) {
  WindowFigures figures;
  figures.width_ns = width_ns;
  const std::vector<double> shares =
      Sorted(WindowShares(samples, begin_ns, end_ns, width_ns, cpus));
  figures.count = shares.size();
  const int64_t begins = (end_ns - begin_ns - width_ns) / period_ns;
  if (begins > static_cast<int64_t>(shares.size()))
    figures.lost = static_cast<size_t>(begins) - shares.size();
  const size_t independent = static_cast<size_t>((end_ns - begin_ns) / width_ns);
  figures.p50 = EstimateQuantileOfOverlapping(shares, 0.50, independent);
  figures.p95 = EstimateQuantileOfOverlapping(shares, 0.95, independent);
  figures.p99 = EstimateQuantileOfOverlapping(shares, 0.99, independent);
  if (!shares.empty()) figures.max = shares.back();
  return figures;
}

std::vector<SeriesPoint> SeriesOf(std::span<const os::CpuSample> samples, int64_t begin_ns,
                                  int64_t end_ns, int cpus) {
  std::vector<SeriesPoint> series;
  const int64_t seconds = (end_ns - begin_ns) / 1'000'000'000;
  const size_t points = std::clamp<size_t>(static_cast<size_t>(seconds), 1, kSeriesPoints);
  const int64_t step_ns = (end_ns - begin_ns) / static_cast<int64_t>(points);
  for (size_t i = 0; i < points && step_ns > 0; ++i) {
    const int64_t from = begin_ns + static_cast<int64_t>(i) * step_ns;
    const std::vector<double> shares =
        WindowShares(samples, from, from + step_ns, kSeriesWidthNs, cpus);
    const std::optional<double> mean = MeanShare(samples, from, from + step_ns, cpus);
    if (shares.empty() || !mean.has_value()) continue;
    const auto [low, high] = std::minmax_element(shares.begin(), shares.end());
    series.push_back({static_cast<double>(from - begin_ns) / kNs, *mean, *low, *high});
  }
  return series;
}

}  // namespace

const WindowFigures* CpuFigures::Of(int64_t width_ns) const {
  const auto found = std::find_if(windows.begin(), windows.end(),
                                  [&](const WindowFigures& w) { return w.width_ns == width_ns; });
  return found == windows.end() ? nullptr : &*found;
}

CpuFigures AnalyzeCpu(std::span<const os::CpuSample> samples, int64_t begin_ns, int64_t end_ns,
                      int64_t period_ns, int cpus) {
  CpuFigures figures;
  const std::span<const os::CpuSample> inside = SamplesInside(samples, begin_ns, end_ns);
  figures.mean = MeanShare(samples, begin_ns, end_ns, cpus);
  for (const int64_t width_ns : kWindowWidthsNs)
    figures.windows.push_back(FiguresOf(samples, begin_ns, end_ns, width_ns, period_ns, cpus));
  figures.series = SeriesOf(samples, begin_ns, end_ns, cpus);
  figures.ticks = static_cast<size_t>((end_ns - begin_ns) / period_ns);
  if (figures.ticks > inside.size()) figures.dropped = figures.ticks - inside.size();
  int64_t before = begin_ns, longest = 0;
  for (const os::CpuSample& sample : inside) {
    longest = std::max(longest, sample.monotonic_ns - before);
    before = sample.monotonic_ns;
  }
  figures.longest_gap_s = static_cast<double>(std::max(longest, end_ns - before)) / kNs;
  return figures;
}

std::vector<std::string> DoubtsOf(const CpuFigures& figures) {
  std::vector<std::string> doubts;
  const WindowFigures* hundred = figures.Of(100'000'000);
  const size_t count = hundred == nullptr ? 0 : hundred->count;
  if (count < kMinWindows)
    doubts.push_back("only " + std::to_string(count) + " windows, 1000 needed");
  const double dropped = static_cast<double>(figures.dropped);
  if (dropped > kMaxLostShare * static_cast<double>(figures.ticks))
    doubts.push_back(
        Format("%.0f of %.0f samples dropped", dropped, static_cast<double>(figures.ticks)));
  if (figures.longest_gap_s > kMaxGapS)
    doubts.push_back(
        Format("a gap of %.1f s between samples, %.0f s at most", figures.longest_gap_s, kMaxGapS));
  return doubts;
}

nlohmann::json ToJson(const CpuFigures& figures) {
  nlohmann::json json = {{"mean", JsonOf(figures.mean)},
                         {"ticks", figures.ticks},
                         {"dropped", figures.dropped},
                         {"longest_gap_s", figures.longest_gap_s}};
  for (const WindowFigures& window : figures.windows) {
    json["windows_" + std::to_string(window.width_ns / 1'000'000) + "ms"] = {
        {"count", window.count},     {"lost", window.lost},       {"p50", JsonOf(window.p50)},
        {"p95", JsonOf(window.p95)}, {"p99", JsonOf(window.p99)}, {"max", JsonOf(window.max)}};
  }
  // Columns, in thousandths: a tenth of the size of objects.
  nlohmann::json columns = {{"from_s", nlohmann::json::array()},
                            {"mean", nlohmann::json::array()},
                            {"min", nlohmann::json::array()},
                            {"max", nlohmann::json::array()}};
  const auto thousandths = [](double value) {
    return static_cast<double>(static_cast<int64_t>(value * 1000 + 0.5)) / 1000;
  };
  for (const SeriesPoint& point : figures.series) {
    columns["from_s"].push_back(thousandths(point.from_s));
    columns["mean"].push_back(thousandths(point.mean));
    columns["min"].push_back(thousandths(point.min));
    columns["max"].push_back(thousandths(point.max));
  }
  json["series_100ms"] = std::move(columns);
  return json;
}

}  // namespace lull
