// How long a computation goes without a checkpoint.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/exec_context.h"
#include "base/os/os.h"

namespace lull::testing {

// Records the CPU time that the thread spends between checkpoints: what it waits, and what other
// threads take, is not ours. One thread at a time; where it changes no gap is counted.
class GapMeter : public Pacer {
 public:
  GapMeter() { os::SpreadAllocatorWork(); }  // as the program does
  void Start() {
    stopped_ = false;
    gaps_ns_.clear();
    gaps_ns_.reserve(size_t{1} << 20);  // growing must not count
    thread_ = std::this_thread::get_id();
    last_ns_ = os::ThreadCpuNs();
  }
  void Checkpoint() override {
    if (stopped_) return;
    const int64_t now = os::ThreadCpuNs();
    const std::thread::id thread = std::this_thread::get_id();
    if (thread == thread_) gaps_ns_.push_back(now - last_ns_);
    thread_ = thread;
    last_ns_ = os::ThreadCpuNs();
  }
  // What follows does not count until the next Start.
  void Stop() { stopped_ = true; }
  bool capped() const override { return false; }
  const std::vector<int64_t>& gaps_ns() const { return gaps_ns_; }

 private:
  bool stopped_ = false;
  std::thread::id thread_;
  int64_t last_ns_ = 0;
  std::vector<int64_t> gaps_ns_;
};

constexpr double kMaxGapMs = 0.3;

// The one step that cannot be cut is the kernel's clearing of a huge page, 0.1 to 0.3 ms by machine
// and load: the slowest of some here, in ms. For the limit of what fills weights or a KV pool.
inline double ClearHugePageMs() {
  constexpr size_t kHugePage = size_t{2} << 20;
  constexpr size_t kPages = 48;
  const os::Memory memory = os::Memory::Allocate(kPages * kHugePage).value();
  int64_t slowest_ns = 0;
  for (size_t i = 0; i < kPages; ++i) {
    const int64_t start_ns = os::ThreadCpuNs();
    *static_cast<volatile uint8_t*>(memory.data() + i * kHugePage) = 0;
    slowest_ns = std::max(slowest_ns, os::ThreadCpuNs() - start_ns);
  }
  return static_cast<double>(slowest_ns) * 1e-6;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kGapsMeanSomething = false;  // a time bound means nothing under a sanitizer
#else
constexpr bool kGapsMeanSomething = true;
#endif

// Runs fn, which must do the same work each time, until every gap has once been short enough: a
// timer tick, a cold cache or a machine that shares its core lengthens some gap of every run, but
// hardly the same one again and again. Each gap counts with its shortest time.
template <typename Fn>
void ExpectGaps(const char* what, GapMeter& meter, double limit_ms, Fn&& fn) {
  std::vector<int64_t> best;
  double longest_ms = 0;
  size_t longest = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    meter.Start();
    fn();
    meter.Checkpoint();
    const std::vector<int64_t>& gaps = meter.gaps_ns();
    if (gaps.size() != best.size()) {  // the first time, or buffers have grown meanwhile
      best = gaps;
    } else {
      for (size_t i = 0; i < gaps.size(); ++i) best[i] = std::min(best[i], gaps[i]);
    }
    longest = static_cast<size_t>(std::max_element(best.begin(), best.end()) - best.begin());
    longest_ms = static_cast<double>(best[longest]) * 1e-6;
    if (!kGapsMeanSomething || longest_ms <= limit_ms) break;
  }
  if (kGapsMeanSomething) {
    EXPECT_LE(longest_ms, limit_ms) << what << ", gap " << longest << " of " << best.size();
  }
  EXPECT_GT(best.size(), 1u) << what << " never asks";
  ::testing::Test::RecordProperty(what, std::to_string(longest_ms));
}

}  // namespace lull::testing
