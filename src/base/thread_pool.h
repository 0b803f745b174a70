// A persistent pool that runs one tiled job at a time: fn(tile, thread) for every tile, then a
// barrier. Where tiles come from is a policy: contiguous ranges per thread when uncapped (each
// thread re-reads the weights it read before), one shared counter under a CPU cap (a paused thread
// must not strand its share). A thread that has finished its range takes tiles of the others, so a
// job never waits for a thread that the system has not let run: only for tiles in progress. The
// result may not depend on any of this: a tile owns its outputs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "base/exec_context.h"
#include "lull/status.h"

namespace lull {

class ThreadPool {
 public:
  // threads: total, the calling thread included; at least 1.
  // idle_priority: worker threads run at SCHED_IDLE (the calling thread is left alone).
  // may_poll: who waits polls for some microseconds before it sleeps. Not where the threads are
  // more than the CPUs or share a quota: polling would take time from the thread waited for.
  // Where the system refuses a thread, the pool works with those it has, and start_status() says
  // so.
  explicit ThreadPool(int threads, bool idle_priority = false, bool may_poll = true);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  const Status& start_status() const { return start_status_; }
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  using RawFn = void (*)(void* arg, size_t tile, int thread);
  // Runs the job and returns when every tile is done. Checkpoints after each tile. Not reentrant;
  // one caller at a time. Where tiles throw, the others are done all the same, and one of the
  // exceptions goes on in the caller.
  void Run(const ExecContext& ctx, size_t num_tiles, RawFn fn, void* arg);

 private:
  // The next tile of one thread's range, with the job it belongs to: generation in the high half.
  // A thread that comes late finds another generation and claims nothing.
  struct alignas(64) Claim {
    std::atomic<uint64_t> next{0};
  };
  // Atomic because a late thread may read them while the next job is being set up. What it read is
  // used only after a claim has proved that its job was still running.
  struct Job {
    std::atomic<const ExecContext*> ctx{nullptr};
    std::atomic<size_t> num_tiles{0};
    std::atomic<RawFn> fn{nullptr};
    std::atomic<void*> arg{nullptr};
    std::atomic<bool> shared_counter{false};
  };
  static size_t RangeBegin(size_t range, size_t ranges, size_t num_tiles) {
    return num_tiles * range / ranges;
  }
  bool ClaimTile(size_t range, uint32_t generation, size_t end, size_t* tile);
  void RunTile(const ExecContext& ctx, RawFn fn, void* arg, size_t tile, int thread);
  void RethrowFailure();
  void WorkerLoop(int thread);
  void RunTiles(int thread, uint32_t generation);

  Job job_;
  std::unique_ptr<Claim[]> claims_;      // per thread
  std::atomic<uint32_t> generation_{0};  // bumped to start a job; workers wait on it
  std::atomic<uint32_t> unfinished_{0};  // tiles of the job not yet computed
  std::atomic<bool> failed_{false};      // some tile of the job has thrown
  std::exception_ptr failure_;           // the first one's; written by who set failed_
  std::atomic<bool> stop_{false};
  std::atomic<bool> spin_{true};
  const bool idle_priority_;
  const bool may_poll_;
  Status start_status_;
  std::vector<std::thread> workers_;
};

// fn(size_t tile, int thread); runs on the calling thread alone where ctx has no pool.
template <typename Fn>
void ParallelFor(const ExecContext& ctx, size_t num_tiles, Fn&& fn) {
  using F = std::remove_reference_t<Fn>;
  if (ctx.pool == nullptr) {
    for (size_t tile = 0; tile < num_tiles; ++tile) {
      fn(tile, 0);
      ctx.Checkpoint();
    }
    return;
  }
  ctx.pool->Run(
      ctx, num_tiles,
      [](void* arg, size_t tile, int thread) { (*static_cast<F*>(arg))(tile, thread); },
      const_cast<std::remove_const_t<F>*>(&fn));
}

}  // namespace lull
