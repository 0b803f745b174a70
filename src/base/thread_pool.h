// A persistent pool that runs one tiled job at a time: fn(tile, thread) for every tile, then a
// barrier. Where tiles come from is a policy: contiguous static ranges when uncapped (each thread
// re-reads the weights it read before), one shared counter under a CPU cap (a paused thread must
// not strand its share). The result may not depend on the policy: a tile owns its outputs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/exec_context.h"

namespace lull {

class ThreadPool {
 public:
  // threads: total, the calling thread included; at least 1.
  // idle_priority: worker threads run at SCHED_IDLE (the calling thread is left alone).
  explicit ThreadPool(int threads, bool idle_priority = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  using RawFn = void (*)(void* arg, size_t tile, int thread);
  // Runs the job and returns when every tile is done. Checkpoints after each tile. Not reentrant;
  // one caller at a time.
  void Run(const ExecContext& ctx, size_t num_tiles, RawFn fn, void* arg);

 private:
  struct Job {
    const ExecContext* ctx = nullptr;
    size_t num_tiles = 0;
    RawFn fn = nullptr;
    void* arg = nullptr;
    bool shared_counter = false;
  };
  void WorkerLoop(int thread);
  void RunShare(int thread);

  Job job_;
  std::atomic<uint32_t> generation_{0};   // bumped to start a job; workers wait on it
  std::atomic<uint32_t> pending_{0};      // workers that have not finished the job
  std::atomic<size_t> next_tile_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> spin_{true};
  bool idle_priority_ = false;
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
