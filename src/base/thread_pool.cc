#include "base/thread_pool.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/os/os.h"
#include "base/os/thread.h"

namespace lull {
namespace {

// Polling before a futex wait; never under a cap, nor where the pool may not poll. By the clock: a
// pause instruction takes 10 to 140 cycles, as the CPU's maker likes.
constexpr int64_t kPollNs = 30'000;
constexpr int kPausesPerLook = 16;
constexpr size_t kMaxTiles = size_t{1} << 31;
constexpr uint64_t kClosed = 0xffffffffu;  // no tile has this number

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns as soon as done() is true, or where that takes too long.
template <typename Done>
void PollUntil(const Done& done) {
  const int64_t end = os::MonotonicNs() + kPollNs;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (done()) return;
      CpuRelax();
    }
  } while (os::MonotonicNs() < end);
}

}  // namespace

ThreadPool::ThreadPool(int threads, bool idle_priority, bool may_poll)
    : claims_(std::make_unique<Claim[]>(static_cast<size_t>(std::max(threads, 1)))),
      idle_priority_(idle_priority),
      may_poll_(may_poll) {
  for (int i = 1; i < threads && start_status_.ok(); ++i) {
    std::thread worker;
    start_status_ = os::StartThread(
        "compute thread " + std::to_string(i), [this, i] { WorkerLoop(i); }, &worker);
    if (start_status_.ok()) workers_.push_back(std::move(worker));
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(const ExecContext& ctx, size_t num_tiles, RawFn fn, void* arg) {
  if (workers_.empty() || num_tiles <= 1 || num_tiles >= kMaxTiles) {
    for (size_t tile = 0; tile < num_tiles; ++tile) {
      fn(arg, tile, 0);
      ctx.Checkpoint();
    }
    return;
  }
  const bool capped = ctx.capped();
  const bool poll = may_poll_ && !capped;
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  // Closed before the job changes: who sees any part of the new job also sees that the old
  // generation has nothing left to claim.
  for (size_t r = 0; r < static_cast<size_t>(threads()); ++r)
    claims_[r].next.store(uint64_t{generation} << 32 | kClosed, std::memory_order_release);
  job_.ctx.store(&ctx, std::memory_order_release);
  job_.num_tiles.store(num_tiles, std::memory_order_release);
  job_.fn.store(fn, std::memory_order_release);
  job_.arg.store(arg, std::memory_order_release);
  job_.shared_counter.store(capped, std::memory_order_release);
  unfinished_.store(static_cast<uint32_t>(num_tiles), std::memory_order_relaxed);
  spin_.store(poll, std::memory_order_relaxed);
  const size_t ranges = capped ? 1 : static_cast<size_t>(threads());
  for (size_t r = 0; r < ranges; ++r)
    claims_[r].next.store(uint64_t{generation} << 32 | RangeBegin(r, ranges, num_tiles),
                          std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  RunTiles(0, generation);
  if (poll) PollUntil([this] { return unfinished_.load(std::memory_order_acquire) == 0; });
  uint32_t left;
  while ((left = unfinished_.load(std::memory_order_acquire)) != 0) unfinished_.wait(left);
  if (failed_.load(std::memory_order_relaxed)) RethrowFailure();
}

void ThreadPool::RethrowFailure() {
  failed_.store(false, std::memory_order_relaxed);
  std::rethrow_exception(std::exchange(failure_, nullptr));
}

// An exception must neither end a worker nor leave the caller while others still use his job.
void ThreadPool::RunTile(const ExecContext& ctx, RawFn fn, void* arg, size_t tile, int thread) {
  try {
    fn(arg, tile, thread);
    ctx.Checkpoint();
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) failure_ = std::current_exception();
  }
}

// The next tile of a range, unless it is used up or belongs to another job.
bool ThreadPool::ClaimTile(size_t range, uint32_t generation, size_t end, size_t* tile) {
  std::atomic<uint64_t>& next = claims_[range].next;
  uint64_t seen = next.load(std::memory_order_acquire);
  do {
    *tile = seen & 0xffffffffu;
    if (seen >> 32 != generation || *tile >= end) return false;
  } while (!next.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire));
  return true;
}

void ThreadPool::RunTiles(int thread, uint32_t generation) {
  const ExecContext* ctx = job_.ctx.load(std::memory_order_acquire);
  const size_t num_tiles = job_.num_tiles.load(std::memory_order_acquire);
  const RawFn fn = job_.fn.load(std::memory_order_acquire);
  void* arg = job_.arg.load(std::memory_order_acquire);
  const size_t ranges =
      job_.shared_counter.load(std::memory_order_acquire) ? 1 : static_cast<size_t>(threads());
  for (size_t i = 0; i < ranges; ++i) {  // its own range, then the others'
    const size_t range = (static_cast<size_t>(thread) + i) % ranges;
    const size_t end = RangeBegin(range + 1, ranges, num_tiles);
    size_t tile;
    while (ClaimTile(range, generation, end, &tile)) {
      RunTile(*ctx, fn, arg, tile, thread);
      if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    }
  }
}

void ThreadPool::WorkerLoop(int thread) {
  if (idle_priority_) os::SetCurrentThreadIdlePriority();
  uint32_t seen = 0;
  for (;;) {
    if (spin_.load(std::memory_order_relaxed))
      PollUntil([this, seen] {
        return generation_.load(std::memory_order_acquire) != seen ||
               !spin_.load(std::memory_order_relaxed);
      });
    uint32_t now;
    while ((now = generation_.load(std::memory_order_acquire)) == seen) generation_.wait(seen);
    seen = now;
    if (stop_.load(std::memory_order_relaxed)) return;
    RunTiles(thread, now);
  }
}

}  // namespace lull
