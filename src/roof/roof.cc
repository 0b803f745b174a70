#include "roof/roof.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/os/os.h"
#include "base/os/thread.h"

#define LULL_ISA_FILE "roof/loops-inl.h"
#include "simd/foreach_isa.h"

namespace lull {
namespace {

struct Loops {
  const char* name;
  int64_t (*stream)(const uint8_t*, size_t);
  int64_t (*dot)(size_t);
};

constexpr Loops kLoops[] = {
#define LULL_ISA_ROW(ns, id, name) {name, ns::StreamBytes, ns::DotLoop},
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW
    // The roof stays that of the vector units: the same figure with and without tiles.
    {"amx", avx512::StreamBytes, avx512::DotLoop},
};

Result<const Loops*> FindLoops(const std::string& isa) {
  for (const Loops& loops : kLoops)
    if (isa == loops.name) return &loops;
  return Status(ErrorCode::kUsage, "unknown instruction set", isa,
                "scalar, avx2, avx2vnni, avx512 or amx");
}

// Wall time of fn(thread) on every thread, started together.
template <typename Fn>
Result<double> TimeThreads(int threads, const Fn& fn) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> pool;
  Status started;
  for (int t = 1; t < threads && started.ok(); ++t) {
    const auto body = [&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
      }
      fn(t);
    };
    std::thread thread;
    started = os::StartThread("measuring thread " + std::to_string(t), body, &thread);
    if (started.ok()) pool.push_back(std::move(thread));
  }
  while (ready.load() < static_cast<int>(pool.size())) {
  }
  const int64_t begin_ns = os::MonotonicNs();
  go.store(true, std::memory_order_release);
  fn(0);
  for (std::thread& thread : pool) thread.join();
  LULL_RETURN_IF_ERROR(started);
  return static_cast<double>(os::MonotonicNs() - begin_ns) * 1e-9;
}

std::atomic<int64_t> g_sink{0};  // keeps results alive

}  // namespace

Result<double> MeasureReadBandwidth(const std::string& isa, size_t buffer_bytes, int threads,
                                    int rounds) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  if (threads < 1 || buffer_bytes < size_t{256} * static_cast<size_t>(threads))
    return Status(ErrorCode::kUsage, "at least one thread, and 256 bytes for each", "threads");
  const size_t share = buffer_bytes / static_cast<size_t>(threads) / 256 * 256;
  LULL_ASSIGN_OR_RETURN(const os::Memory memory,
                        os::Memory::Allocate(share * static_cast<size_t>(threads)));
  for (size_t i = 0; i < memory.size(); i += 4096) memory.data()[i] = static_cast<uint8_t>(i >> 12);
  double best = 0.0;
  for (int round = 0; round < rounds; ++round) {
    LULL_ASSIGN_OR_RETURN(const double s, TimeThreads(threads, [&](int t) {
                            g_sink += loops->stream(memory.data() + share * static_cast<size_t>(t),
                                                    share);
                          }));
    best = std::max(best, static_cast<double>(share) * threads / s);
  }
  return best;
}

Result<double> MeasureInt8Peak(const std::string& isa, int threads) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  if (threads < 1) return Status(ErrorCode::kUsage, "at least one thread", "threads");
  constexpr double kMacsPerIteration = 12 * 64;
  LULL_ASSIGN_OR_RETURN(const double probe_s,
                        TimeThreads(1, [&](int) { g_sink += loops->dot(2000); }));
  const size_t iterations =
      static_cast<size_t>(2000 * std::clamp(0.05 / std::max(probe_s, 1e-7), 1.0, 1e5));
  double best = 0.0;
  for (int round = 0; round < 3; ++round) {
    LULL_ASSIGN_OR_RETURN(const double s,
                          TimeThreads(threads, [&](int) { g_sink += loops->dot(iterations); }));
    best = std::max(best, kMacsPerIteration * static_cast<double>(iterations) * threads / s);
  }
  return best;
}

}  // namespace lull
