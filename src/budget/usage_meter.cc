#include "budget/usage_meter.h"

namespace lull {
namespace {

constexpr int64_t kApartNs = 100'000'000;
constexpr int64_t kSpanNs = 1'000'000'000;

}  // namespace

UsageReading UsageMeter::Since(const UsageReading& now) {
  std::lock_guard<std::mutex> lock(mutex_);
  while (readings_.size() > 1 && now.monotonic_ns - readings_[1].monotonic_ns >= kSpanNs)
    readings_.pop_front();
  const UsageReading since = readings_.front();
  if (now.monotonic_ns - readings_.back().monotonic_ns >= kApartNs) readings_.push_back(now);
  return since;
}

}  // namespace lull
