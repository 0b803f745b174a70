// The last minute of a server's load, from readings of counters that only grow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace lull {

struct LoadReading {
  int64_t monotonic_ns = 0;
  int64_t cpu_ns = 0;  // of the process
  int64_t bytes = 0;   // moved on the memory bus
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
};

struct LoadPoint {
  double cpu_share = 0.0;      // of the CPUs the process may use
  double cpu_share_max = 0.0;  // of the windows inside
  double bytes_per_s = 0.0;
  double prompt_tokens_per_s = 0.0;
  double new_tokens_per_s = 0.0;
};

// Readings may come at any distance: what lies between two of them is spread evenly, so that a
// stretch nobody watched shows as its average. Not thread-safe.
class LoadHistory {
 public:
  static constexpr int kSeconds = 60;
  static constexpr size_t kWindows = 600;  // 60 s of 100 ms

  explicit LoadHistory(int cpus) : cpus_(cpus) {}

  void Add(const LoadReading& reading);
  // The same at the end of a window, about 100 ms after the call before it; longer ones are no
  // windows and not judged. limit: the share above which a window counts as over; 0: none.
  void AddWindow(const LoadReading& reading, double limit);

  // Whole seconds that something is known of, oldest first, at most kSeconds.
  std::vector<LoadPoint> Points() const;
  LoadPoint Now() const;  // the last second
  int64_t windows() const { return static_cast<int64_t>(over_.size()); }
  int64_t windows_over() const { return windows_over_; }

 private:
  struct Second {
    int64_t index = 0;  // of the monotonic clock
    double covered_ns = 0.0;
    double cpu_ns = 0.0, bytes = 0.0, prompt_tokens = 0.0, new_tokens = 0.0;
    double cpu_share_max = 0.0;
  };
  Second& At(int64_t index);
  size_t WholeSeconds() const;  // of seconds_, without the one under way
  LoadPoint PointOf(const Second& second) const;

  const int cpus_;
  LoadReading last_;
  LoadReading last_window_;
  std::deque<Second> seconds_;  // oldest first
  std::deque<bool> over_;
  int64_t windows_over_ = 0;
};

}  // namespace lull
