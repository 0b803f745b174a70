#include "base/thread_pool.h"

#include <algorithm>

#include "base/os/os.h"

namespace lull {
namespace {

// About 30 us of polling on current hardware before a futex wait; never while a cap is set.
constexpr int kSpinRounds = 600;

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads, bool idle_priority) : idle_priority_(idle_priority) {
  for (int i = 1; i < std::max(threads, 1); ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(const ExecContext& ctx, size_t num_tiles, RawFn fn, void* arg) {
  if (workers_.empty() || num_tiles <= 1) {
    for (size_t tile = 0; tile < num_tiles; ++tile) {
      fn(arg, tile, 0);
      ctx.Checkpoint();
    }
    return;
  }
  const bool capped = ctx.capped();
  job_ = {&ctx, num_tiles, fn, arg, capped};
  next_tile_.store(0, std::memory_order_relaxed);
  pending_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  spin_.store(!capped, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  RunShare(0);
  for (int round = 0; !capped && round < kSpinRounds; ++round) {
    if (pending_.load(std::memory_order_acquire) == 0) return;
    CpuRelax();
  }
  uint32_t pending;
  while ((pending = pending_.load(std::memory_order_acquire)) != 0) pending_.wait(pending);
}

void ThreadPool::RunShare(int thread) {
  const Job job = job_;
  if (job.shared_counter) {
    size_t tile;
    while ((tile = next_tile_.fetch_add(1, std::memory_order_relaxed)) < job.num_tiles) {
      job.fn(job.arg, tile, thread);
      job.ctx->Checkpoint();
    }
    return;
  }
  const size_t n = static_cast<size_t>(threads());
  const size_t begin = job.num_tiles * static_cast<size_t>(thread) / n;
  const size_t end = job.num_tiles * (static_cast<size_t>(thread) + 1) / n;
  for (size_t tile = begin; tile < end; ++tile) {
    job.fn(job.arg, tile, thread);
    job.ctx->Checkpoint();
  }
}

void ThreadPool::WorkerLoop(int thread) {
  if (idle_priority_) os::SetCurrentThreadIdlePriority();
  uint32_t seen = 0;
  for (;;) {
    for (int round = 0; spin_.load(std::memory_order_relaxed) && round < kSpinRounds; ++round) {
      if (generation_.load(std::memory_order_acquire) != seen) break;
      CpuRelax();
    }
    uint32_t now;
    while ((now = generation_.load(std::memory_order_acquire)) == seen) generation_.wait(seen);
    seen = now;
    if (stop_.load(std::memory_order_relaxed)) return;
    RunShare(thread);
    if (pending_.fetch_sub(1, std::memory_order_release) == 1) pending_.notify_one();
  }
}

}  // namespace lull
