#include "bench/neighbour.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <unordered_map>

#include "base/os/os.h"
#include "evidence/quantiles.h"

namespace lull {
namespace {

constexpr size_t kLine = 8;  // of uint64_t: 64 bytes
constexpr int kReadsAtOnce = 32;
constexpr double kNs = 1e9;

// Words made up, counted, sorted: allocations, branches and a working set that caches hold partly,
// as a compiler has.
uint64_t TextJob() {
  std::mt19937_64 rng(1);
  std::unordered_map<std::string, uint64_t> counts;
  for (int i = 0; i < 300'000; ++i)
    ++counts["name_" + std::to_string(rng() % 90'000) + "_" + std::to_string(i % 7)];
  std::vector<std::pair<std::string, uint64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end());
  uint64_t sum = 0;
  for (const auto& [name, count] : sorted) sum = sum * 31 + name.size() * count;
  return sum;
}

}  // namespace

Result<Neighbour> Neighbour::Create(size_t bytes, const std::string& job) {
  if (bytes < (size_t{1} << 20) || bytes > (size_t{1} << 34))
    return Status(ErrorCode::kUsage, "buffers lie between 1 MiB and 16 GiB", "neighbour");
  Neighbour neighbour;
  neighbour.job_ = job;
  neighbour.from_.assign(bytes, 1);
  neighbour.to_.assign(bytes, 0);
  // One cycle through all lines in random order (Sattolo).
  const size_t lines = bytes / 64;
  std::vector<uint32_t> order(lines);
  for (size_t i = 0; i < lines; ++i) order[i] = static_cast<uint32_t>(i);
  std::mt19937_64 rng(7);
  for (size_t i = lines - 1; i > 0; --i) std::swap(order[i], order[rng() % i]);
  neighbour.next_.assign(lines * kLine, 0);
  for (size_t i = 0; i < lines; ++i)
    neighbour.next_[i * kLine] = static_cast<uint64_t>(order[i]) * kLine;
  return neighbour;
}

double Neighbour::CopyBytesPerS(double seconds) {
  constexpr size_t kPiece = size_t{1} << 24;
  const int64_t begin = os::MonotonicNs();
  const int64_t until = begin + static_cast<int64_t>(seconds * kNs);
  double bytes = 0;
  for (size_t at = 0; os::MonotonicNs() < until;
       at = at + kPiece < from_.size() ? at + kPiece : 0) {
    const size_t piece = std::min(kPiece, from_.size() - at);
    memcpy(to_.data() + at, from_.data() + at, piece);
    sink_ += to_[at];
    bytes += static_cast<double>(piece);
  }
  return bytes * kNs / static_cast<double>(os::MonotonicNs() - begin);
}

double Neighbour::ChaseP99Ns(double seconds) {
  std::vector<double> means;
  int64_t now = os::MonotonicNs();
  const int64_t until = now + static_cast<int64_t>(seconds * kNs);
  while (now < until) {
    for (int i = 0; i < kReadsAtOnce; ++i) at_ = next_[at_];
    const int64_t after = os::MonotonicNs();
    means.push_back(static_cast<double>(after - now) / kReadsAtOnce);
    now = after;
  }
  const auto p99 = EstimateQuantile(Sorted(means), 0.99);
  return p99.has_value() ? p99->value : 0.0;
}

Result<double> Neighbour::JobSeconds() {
  const int64_t begin = os::MonotonicNs();
  if (job_.empty()) {
    sink_ += TextJob();
  } else {
    LULL_RETURN_IF_ERROR(os::RunCommand({"sh", "-c", job_}).status());
  }
  return static_cast<double>(os::MonotonicNs() - begin) / kNs;
}

}  // namespace lull
