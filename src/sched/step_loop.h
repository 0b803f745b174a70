// The batcher's owner thread and the queue at its edge. Idle means blocked: no timers.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/exec_context.h"
#include "lull/engine.h"
#include "model/runner.h"
#include "sched/batcher.h"

namespace lull {

struct StepLoopOptions {
  BatcherOptions batcher;
  // Cuts or refuses a request before anything else is asked of it; null: nothing. Thread-safe.
  std::function<Status(Request*)> fit = nullptr;
  int max_queue = 256;         // waiting requests; at least 1
  bool idle_priority = false;  // the owner thread computes too: SCHED_IDLE like the pool
};

// Thread-safe. Destruction cancels every request, delivers their last events and joins; not from
// within an event.
class StepLoop {
 public:
  // Tokenizer and the pointees of ctx outlive the loop. ctx.cancelled is replaced by the loop's
  // own. Where start_status() is an error the system refused the owner thread: only to be
  // destroyed.
  StepLoop(std::unique_ptr<Runner> runner, const Tokenizer& tokenizer, const ExecContext& ctx,
           const StepLoopOptions& options);
  ~StepLoop();
  StepLoop(const StepLoop&) = delete;
  StepLoop& operator=(const StepLoop&) = delete;

  const Status& start_status() const { return start_status_; }
  Result<RequestId> Submit(Request request, EventFn on_event);
  void Cancel(RequestId id);
  void Drain();                   // Submit answers kBusy from now on
  bool Stop(int64_t timeout_ms);  // false: some had to be cancelled
  EngineStats stats() const;
  int64_t max_context_tokens() const { return limits_.max_context_tokens; }

 private:
  void Run();
  bool TakeInbox(std::vector<Delivery>* out);  // false: stop
  void MakeRoom(std::unique_lock<std::mutex>* lock, std::vector<Delivery>* out);
  void Add(Submission submission, std::vector<Delivery>* out);
  Status CheckLoad(const Request& request) const;
  Backlog BacklogBefore(Priority priority) const;
  void Publish();
  void CancelQuietly(RequestId id);
  void Deliver(std::vector<Delivery>* out);

  std::unique_ptr<Runner> runner_;
  std::atomic<bool> stop_{false};
  Batcher batcher_;        // the owner thread's, after construction
  int64_t not_taken_ = 0;  // the owner thread's: requests there was no memory for
  RequestLimits limits_;
  const StepLoopOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;    // some request has had its last event
  std::vector<Submission> inbox_;    // guarded by mutex_
  std::vector<RequestId> cancels_;   // guarded by mutex_
  EngineStats stats_;                // guarded by mutex_; as of the last step
  LoadEstimate load_;                // guarded by mutex_; as of the last step
  std::array<Backlog, 3> backlogs_;  // guarded by mutex_; by Priority, without the inbox
  int64_t oldest_submit_ns_ = 0;     // guarded by mutex_; of those waiting as of the last step
  RequestId last_id_ = 0;            // guarded by mutex_
  int64_t open_ = 0;                 // guarded by mutex_; accepted, last event not yet delivered
  bool draining_ = false;            // guarded by mutex_
  bool cancel_all_ = false;          // guarded by mutex_
  Status start_status_;
  std::thread owner_;
};

}  // namespace lull
