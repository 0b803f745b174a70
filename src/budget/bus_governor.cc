#include "budget/bus_governor.h"

#include <algorithm>

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kBurstNs = kMs;      // worth of bytes ahead of the rate at which the gate closes
constexpr int64_t kSliceNs = kMs / 2;  // a closed gate opens this much below the burst
// A sleeper looks again this often, so that a raised budget frees it.
constexpr int64_t kMaxSleepNs = 20 * kMs;
// A debt beyond 10 s of the rate is forgiven, but never what a few tiles read: at a rate of
// kilobytes a single one takes longer.
constexpr double kMaxDebtNs = 10e9;
constexpr double kNeverForgivenBytes = 64e6;
constexpr double kMostNs = 1e17;  // three years; clocks count nanoseconds in 64 bits

int64_t MaxDebtNs(double rate) {
  return static_cast<int64_t>(
      std::min(std::max(kMaxDebtNs, kNeverForgivenBytes / rate * 1e9), kMostNs));
}

int64_t WallNs(int64_t bytes, double rate) {
  return static_cast<int64_t>(
      std::min(static_cast<double>(bytes) / rate * 1e9, static_cast<double>(MaxDebtNs(rate))));
}

}  // namespace

void BusGovernor::Charge(double rate, int64_t now_ns, int64_t moved_bytes) {
  int64_t before = paid_.load(std::memory_order_relaxed);
  do {
    if (moved_bytes <= before) return;  // another thread has charged it
  } while (!paid_.compare_exchange_weak(before, moved_bytes, std::memory_order_relaxed));
  const int64_t cost_ns = WallNs(moved_bytes - before, rate);
  int64_t old_tat = tat_.load(std::memory_order_relaxed);
  int64_t new_tat;
  do {
    new_tat = std::min(std::max(old_tat, now_ns) + cost_ns, now_ns + MaxDebtNs(rate));
  } while (!tat_.compare_exchange_weak(old_tat, new_tat, std::memory_order_relaxed));
}

int64_t BusGovernor::Poll(int64_t now_ns, int64_t moved_bytes) {
  const double rate = rate_.load(std::memory_order_relaxed);
  if (rate <= 0.0) return 0;
  Charge(rate, now_ns, moved_bytes);
  const int64_t tat = tat_.load(std::memory_order_relaxed);
  if (tat - now_ns <= kBurstNs) return 0;
  return std::min(tat - (kBurstNs - kSliceNs), now_ns + kMaxSleepNs);
}

void BusGovernor::SetRate(double bytes_per_s, int64_t now_ns, int64_t moved_bytes) {
  std::lock_guard<std::mutex> lock(set_mutex_);
  const double old_rate = rate_.load(std::memory_order_relaxed);
  const double rate = std::max(bytes_per_s, 0.0);
  if (rate == old_rate) return;
  if (old_rate <= 0.0) {
    paid_.store(moved_bytes, std::memory_order_relaxed);
    tat_.store(now_ns + kBurstNs, std::memory_order_relaxed);
  } else if (rate > 0.0) {
    // A charge racing with this is converted at one rate or the other: a tile a thread, once.
    Charge(old_rate, now_ns, moved_bytes);
    int64_t old_tat = tat_.load(std::memory_order_relaxed);
    int64_t new_tat;
    do {
      const double debt_ns = static_cast<double>(std::max<int64_t>(old_tat - now_ns, 0));
      new_tat = now_ns + static_cast<int64_t>(std::min(debt_ns * old_rate / rate,
                                                       static_cast<double>(MaxDebtNs(rate))));
    } while (!tat_.compare_exchange_weak(old_tat, new_tat, std::memory_order_relaxed));
  }
  rate_.store(rate, std::memory_order_relaxed);
}

}  // namespace lull
