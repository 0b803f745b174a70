#include "roof/roof.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/os/os.h"
#include "base/os/thread.h"
#include "roof/tile_loop.h"

#define LULL_ISA_FILE "roof/loops-inl.h"
#include "simd/foreach_isa.h"

namespace lull {
namespace {

using ReadFn = int64_t (*)(const uint8_t*, size_t);
using PeakFn = int64_t (*)(size_t);
constexpr int kReadWays = 3;

struct Loops {
  const char* name;
  ReadFn read[kReadWays];
  void (*write)(uint8_t*, size_t);
  // Loops with how much one iteration does.
  struct Peak {
    PeakFn fn;
    double work;
  } dot[2], fma, divide;
};

constexpr Loops kLoops[] = {
#define LULL_ISA_ROW(ns, id, name)                                             \
  {name,                                                                       \
   {ns::ReadOneStream<0>, ns::ReadOneStream<2048>, ns::ReadFourStreams<1024>}, \
   ns::WriteBytes,                                                             \
   {{ns::DotLoop<ns::kDotChains>, 64.0 * ns::kDotChains},                      \
    {ns::DotLoop<ns::kFewDotChains>, 64.0 * ns::kFewDotChains}},               \
   {ns::FmaLoop, 16.0 * ns::kFloatChains},                                     \
   {ns::DivideLoop, 16.0 * ns::kFloatChains}},
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW
};

Result<const Loops*> FindLoops(const std::string& isa) {
  for (const Loops& loops : kLoops)
    if ((isa == "amx" ? "avx512" : isa) == loops.name) return &loops;
  return Status(ErrorCode::kUsage, "unknown instruction set", isa,
                "scalar, avx2, avx2vnni, avx512 or amx");
}

// Seconds from the common start to the end of the last thread's fn(thread).
template <typename Fn>
Result<double> TimeThreads(int threads, const Fn& fn) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<int64_t> end_ns{0};
  const auto timed = [&](int t) {
    fn(t);
    const int64_t now_ns = os::MonotonicNs();
    for (int64_t last = end_ns.load(); last < now_ns;)
      if (end_ns.compare_exchange_weak(last, now_ns)) break;
  };
  std::vector<std::thread> pool;
  Status started;
  for (int t = 1; t < threads && started.ok(); ++t) {
    const auto body = [&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
      }
      timed(t);
    };
    std::thread thread;
    started = os::StartThread("measuring thread " + std::to_string(t), body, &thread);
    if (started.ok()) pool.push_back(std::move(thread));
  }
  while (ready.load() < static_cast<int>(pool.size())) {
  }
  const int64_t begin_ns = os::MonotonicNs();
  go.store(true, std::memory_order_release);
  timed(0);
  for (std::thread& thread : pool) thread.join();
  LULL_RETURN_IF_ERROR(started);
  return static_cast<double>(end_ns.load() - begin_ns) * 1e-9;
}

std::atomic<int64_t> g_sink{0};  // keeps results alive

// What each thread has of a buffer, and how often it goes over it in a round.
struct Shares {
  size_t bytes = 0;
  size_t passes = 1;
};

Result<Shares> Share(size_t buffer_bytes, int threads) {
  constexpr size_t kStep = 512;
  if (threads < 1 || buffer_bytes < kStep * static_cast<size_t>(threads))
    return Status(ErrorCode::kUsage, "at least one thread, and 512 bytes for each", "threads");
  constexpr size_t kLeastBytes = size_t{64} << 20;  // a millisecond at the very least
  Shares shares;
  shares.bytes = buffer_bytes / static_cast<size_t>(threads) / kStep * kStep;
  shares.passes = (kLeastBytes + shares.bytes - 1) / shares.bytes;
  return shares;
}

// The best of `rounds` rounds of pass(thread's first byte, bytes).
template <typename Fn>
Result<double> BestBandwidth(const Shares& shares, int threads, int rounds, const Fn& pass) {
  double best = 0.0;
  for (int round = 0; round < rounds; ++round) {
    LULL_ASSIGN_OR_RETURN(const double s, TimeThreads(threads, [&](int t) {
                            for (size_t i = 0; i < shares.passes; ++i)
                              pass(shares.bytes * static_cast<size_t>(t), shares.bytes);
                          }));
    best = std::max(best, static_cast<double>(shares.bytes * shares.passes) * threads / s);
  }
  return best;
}

Result<double> MeasurePeak(PeakFn fn, double work_per_iteration, int threads) {
  if (threads < 1) return Status(ErrorCode::kUsage, "at least one thread", "threads");
  constexpr size_t kProbe = 2000;
  LULL_ASSIGN_OR_RETURN(const double probe_s, TimeThreads(1, [&](int) { g_sink += fn(kProbe); }));
  const size_t iterations =
      kProbe * static_cast<size_t>(std::clamp(0.02 / std::max(probe_s, 1e-7), 1.0, 1e5));
  double best = 0.0;
  for (int round = 0; round < 5; ++round) {
    LULL_ASSIGN_OR_RETURN(const double s,
                          TimeThreads(threads, [&](int) { g_sink += fn(iterations); }));
    best = std::max(best, work_per_iteration * static_cast<double>(iterations) * threads / s);
  }
  return best;
}

}  // namespace

Result<double> MeasureReadBandwidth(const std::string& isa, size_t buffer_bytes, int threads,
                                    int rounds) {
  LULL_ASSIGN_OR_RETURN(const os::Memory memory, os::Memory::Allocate(buffer_bytes));
  for (size_t i = 0; i < buffer_bytes; i += 4096) memory.data()[i] = static_cast<uint8_t>(i >> 12);
  return MeasureReadBandwidth(isa, {memory.data(), buffer_bytes}, threads, rounds);
}

Result<double> MeasureReadBandwidth(const std::string& isa, std::span<const uint8_t> memory,
                                    int threads, int rounds) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  LULL_ASSIGN_OR_RETURN(const Shares shares, Share(memory.size(), threads));
  const auto measure = [&](ReadFn read, int times) {
    return BestBandwidth(shares, threads, times, [&](size_t first, size_t bytes) {
      g_sink += read(memory.data() + first, bytes);
    });
  };
  // One round of each way, the others of the best way.
  double best = 0.0;
  ReadFn best_read = loops->read[0];
  for (const ReadFn read : loops->read) {
    LULL_ASSIGN_OR_RETURN(const double bandwidth, measure(read, 1));
    if (bandwidth > best) best_read = read;
    best = std::max(best, bandwidth);
  }
  LULL_ASSIGN_OR_RETURN(const double again, measure(best_read, rounds - 1));
  return std::max(best, again);
}

Result<double> MeasureWriteBandwidth(const std::string& isa, size_t buffer_bytes, int threads,
                                     int rounds) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  LULL_ASSIGN_OR_RETURN(const Shares shares, Share(buffer_bytes, threads));
  LULL_ASSIGN_OR_RETURN(const os::Memory memory, os::Memory::Allocate(buffer_bytes));
  return BestBandwidth(shares, threads, rounds + 1, [&](size_t first, size_t bytes) {
    loops->write(memory.data() + first, bytes);
  });
}

Result<double> MeasureInt8Peak(const std::string& isa, int threads) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  double best = 0.0;
  for (const Loops::Peak& dot : loops->dot) {
    LULL_ASSIGN_OR_RETURN(const double peak, MeasurePeak(dot.fn, dot.work, threads));
    best = std::max(best, peak);
  }
  return best;
}

Result<double> MeasureTilePeak(const std::string& isa, int threads) {
  if (isa != "amx")
    return Status(ErrorCode::kUsage, "this instruction set has no tile unit", isa, "amx has");
  return MeasurePeak(TileLoop, kTileLoopMacs, threads);
}

Result<double> MeasureF32Peak(const std::string& isa, int threads) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  return MeasurePeak(loops->fma.fn, loops->fma.work, threads);
}

Result<double> MeasureDividePeak(const std::string& isa, int threads) {
  LULL_ASSIGN_OR_RETURN(const Loops* loops, FindLoops(isa));
  return MeasurePeak(loops->divide.fn, loops->divide.work, threads);
}

}  // namespace lull
