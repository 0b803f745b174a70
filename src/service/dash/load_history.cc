#include "service/dash/load_history.h"

#include <algorithm>
#include <utility>

namespace lull {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kLongestWindowNs = 150'000'000;

// A counter summed over models falls where one is unloaded.
double Growth(int64_t from, int64_t to) {
  return static_cast<double>(std::max<int64_t>(to - from, 0));
}

}  // namespace

void LoadHistory::Add(const LoadReading& reading) {
  const LoadReading from = last_;
  const int64_t ns = reading.monotonic_ns - from.monotonic_ns;
  if (ns <= 0) return;
  last_ = reading;
  if (from.monotonic_ns == 0) return;  // the first one: nothing to compare it with
  const int64_t end = reading.monotonic_ns;
  const int64_t last = end / kSecondNs;
  const int64_t first = std::max(from.monotonic_ns / kSecondNs, last - kSeconds);
  for (int64_t index = first; index <= last; ++index) {
    const int64_t begin_ns = std::max(from.monotonic_ns, index * kSecondNs);
    const int64_t end_ns = std::min(end, (index + 1) * kSecondNs);
    if (end_ns <= begin_ns) continue;
    const double covered = static_cast<double>(end_ns - begin_ns);
    const double part = covered / static_cast<double>(ns);
    Second& second = At(index);
    second.covered_ns += covered;
    second.cpu_ns += part * Growth(from.cpu_ns, reading.cpu_ns);
    second.bytes += part * Growth(from.bytes, reading.bytes);
    second.prompt_tokens += part * Growth(from.prompt_tokens, reading.prompt_tokens);
    second.new_tokens += part * Growth(from.new_tokens, reading.new_tokens);
  }
}

void LoadHistory::AddWindow(const LoadReading& reading, double limit) {
  Add(reading);
  const LoadReading from = std::exchange(last_window_, reading);
  const int64_t ns = reading.monotonic_ns - from.monotonic_ns;
  if (from.monotonic_ns == 0 || ns <= 0 || ns > kLongestWindowNs) return;
  const double share = Growth(from.cpu_ns, reading.cpu_ns) / (static_cast<double>(ns) * cpus_);
  Second& second = At(reading.monotonic_ns / kSecondNs);
  second.cpu_share_max = std::max(second.cpu_share_max, share);
  if (limit <= 0.0) return;
  if (over_.size() == kWindows) {
    windows_over_ -= over_.front() ? 1 : 0;
    over_.pop_front();
  }
  over_.push_back(share > limit);
  windows_over_ += share > limit ? 1 : 0;
}

LoadHistory::Second& LoadHistory::At(int64_t index) {
  if (seconds_.empty() || seconds_.back().index < index) {
    seconds_.push_back({});
    seconds_.back().index = index;
    if (seconds_.size() > kSeconds + 1) seconds_.pop_front();
  }
  return seconds_.back();
}

LoadPoint LoadHistory::PointOf(const Second& second) const {
  const double ns = std::max(second.covered_ns, 1.0);
  const double per_s = kSecondNs / ns;
  const double share = second.cpu_ns / (ns * cpus_);
  return {share, std::max(share, second.cpu_share_max), second.bytes * per_s,
          second.prompt_tokens * per_s, second.new_tokens * per_s};
}

size_t LoadHistory::WholeSeconds() const {
  const bool under_way =
      !seconds_.empty() && seconds_.back().index >= last_.monotonic_ns / kSecondNs;
  return seconds_.size() - (under_way ? 1 : 0);
}

std::vector<LoadPoint> LoadHistory::Points() const {
  const size_t whole = WholeSeconds();
  std::vector<LoadPoint> points;
  for (size_t i = whole > kSeconds ? whole - kSeconds : 0; i < whole; ++i)
    points.push_back(PointOf(seconds_[i]));
  return points;
}

LoadPoint LoadHistory::Now() const {
  if (seconds_.empty()) return {};
  const size_t whole = WholeSeconds();
  return PointOf(seconds_[whole > 0 ? whole - 1 : 0]);
}

}  // namespace lull
