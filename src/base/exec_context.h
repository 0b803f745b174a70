// The one thing passed all the way down: who computes, who paces, who may cancel.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lull {

class ThreadPool;

// Called at every tile boundary (about 0.1 to 0.2 ms apart) on the thread that computed the tile.
// The budget's governor implements it; it may sleep. Thread-safe.
class Pacer {
 public:
  virtual ~Pacer() = default;
  virtual void Checkpoint() = 0;
  // True while a cap is set: tiles then come from a shared counter and nobody spins.
  virtual bool capped() const = 0;
  // Time slept at checkpoints so far, summed over threads.
  virtual int64_t PausedNs() const { return 0; }

  // Weights and KV that kernels have read since start, by all computations under this pacer: a
  // step's share is the difference across it, as with the process's CPU time.
  int64_t bytes_moved() const { return bytes_moved_.load(std::memory_order_relaxed); }
  void AddBytes(size_t bytes) {
    bytes_moved_.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  }

 private:
  alignas(64) std::atomic<int64_t> bytes_moved_{0};
};

// Thread-safe: shared by all threads of one computation; the pointees outlive it.
struct ExecContext {
  ThreadPool* pool = nullptr;                    // null: run on the calling thread
  Pacer* pacer = nullptr;                        // null: never paused
  const std::atomic<bool>* cancelled = nullptr;  // null: never cancelled

  // Pacing and nothing else; costs a few ns when no pacer is set.
  void Checkpoint() const {
    if (pacer != nullptr) pacer->Checkpoint();
  }
  // Called by ops for what a tile read of weights and KV, before its checkpoint.
  void AddBytes(size_t bytes) const {
    if (pacer != nullptr) pacer->AddBytes(bytes);
  }
  bool Cancelled() const {
    return cancelled != nullptr && cancelled->load(std::memory_order_relaxed);
  }
  int64_t bytes_moved() const { return pacer == nullptr ? 0 : pacer->bytes_moved(); }
  int64_t PausedNs() const { return pacer == nullptr ? 0 : pacer->PausedNs(); }
  bool capped() const { return pacer != nullptr && pacer->capped(); }
};

}  // namespace lull
