#include "sched/step_loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "base/os/os.h"
#include "base/os/thread.h"
#include "sched/step_failure.h"

namespace lull {
namespace {

// An estimate is no promise: a request is refused only where it misses its deadline by a fifth.
constexpr double kDeadlineMargin = 1.2;
constexpr int64_t kMaxTimeoutMs = int64_t{1} << 40;  // clocks count nanoseconds in 64 bits
// Before another try where there is no memory for a step's events.
constexpr std::chrono::milliseconds kMemoryPause(10);

ExecContext WithCancel(ExecContext ctx, const std::atomic<bool>* cancelled) {
  ctx.cancelled = cancelled;
  return ctx;
}

}  // namespace

StepLoop::StepLoop(std::unique_ptr<Runner> runner, const Tokenizer& tokenizer,
                   const ExecContext& ctx, const StepLoopOptions& options)
    : runner_(std::move(runner)),
      batcher_(*runner_, tokenizer, WithCancel(ctx, &stop_), options.batcher),
      limits_(batcher_.limits()),
      options_(options) {
  stats_.kv = runner_->kv_usage();
  start_status_ = os::StartThread(
      "engine thread", [this] { Run(); }, &owner_);
}

StepLoop::~StepLoop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    draining_ = true;  // an event of the last ones could submit what nobody would end
    stop_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_one();
  if (owner_.joinable()) owner_.join();
}

Result<RequestId> StepLoop::Submit(Request request, EventFn on_event) {
  Status status = options_.fit ? options_.fit(&request) : Status::Ok();
  if (status.ok()) status = CheckRequest(request, limits_);
  if (status.ok() && on_event == nullptr) {
    status = {ErrorCode::kUsage, "no function for the request's events", "on_event",
              "give one: its answer arrives there"};
  }
  auto shared_event = std::make_shared<EventFn>(std::move(on_event));
  std::lock_guard<std::mutex> lock(mutex_);
  if (status.ok()) status = CheckLoad(request);
  if (!status.ok()) {
    ++(status.code() == ErrorCode::kBusy ? stats_.requests_refused : stats_.requests_invalid);
    return status.error();
  }
  inbox_.push_back({last_id_ + 1, std::move(request), std::move(shared_event), os::MonotonicNs()});
  ++last_id_;
  ++stats_.requests_submitted;
  ++open_;
  wake_.notify_one();
  return last_id_;
}

// Whether there is a place and time enough, by what was measured. Requires: mutex_.
Status StepLoop::CheckLoad(const Request& request) const {
  if (draining_) {
    return {ErrorCode::kBusy, "the engine is shutting down", "engine", "ask another one"};
  }
  const Backlog before = BacklogBefore(request.priority);
  const int64_t waiting = stats_.waiting + static_cast<int64_t>(inbox_.size());
  if (waiting >= std::max(options_.max_queue, 1)) {
    // By then half of those waiting now have had their turn.
    const double retry_s = load_.known ? 0.5 * load_.BacklogSeconds(before) : 1.0;
    return Error{ErrorCode::kBusy, std::to_string(waiting) + " requests are waiting already",
                 "max_queue", "try again when some have finished", std::max(retry_s, 1.0)};
  }
  if (request.deadline_ms == 0 || !load_.known) return Status::Ok();
  const int64_t new_tokens =
      load_.ExpectedNewTokens(NewTokenLimit(request, limits_), request.ignore_eog);
  const double answer_s =
      load_.AnswerSeconds(before, static_cast<int64_t>(request.prompt_tokens.size()), new_tokens);
  const double deadline_s = static_cast<double>(request.deadline_ms) * 1e-3;
  if (answer_s <= kDeadlineMargin * deadline_s) return Status::Ok();
  return Error{ErrorCode::kBusy,
               "the answer would take about " + std::to_string(std::llround(answer_s * 1e3)) +
                   " ms, more than the deadline of " + std::to_string(request.deadline_ms) + " ms",
               "deadline_ms", "try again when less is waiting, or give it more time",
               std::max(answer_s - deadline_s, 1.0)};
}

Backlog StepLoop::BacklogBefore(Priority priority) const {
  Backlog before = backlogs_[static_cast<size_t>(priority)];
  for (const Submission& submission : inbox_) {
    const Request& request = submission.request;
    if (request.priority > priority) continue;
    ++before.requests;
    before.prompt_tokens += static_cast<int64_t>(request.prompt_tokens.size());
    before.new_tokens +=
        load_.ExpectedNewTokens(NewTokenLimit(request, limits_), request.ignore_eog);
  }
  return before;
}

void StepLoop::Cancel(RequestId id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (id == 0 || id > last_id_) return;
  cancels_.push_back(id);
  wake_.notify_one();
}

void StepLoop::Drain() {
  std::lock_guard<std::mutex> lock(mutex_);
  draining_ = true;
}

bool StepLoop::Stop(int64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  draining_ = true;
  const auto none_open = [this] { return open_ == 0; };
  const std::chrono::milliseconds timeout(std::clamp<int64_t>(timeout_ms, 0, kMaxTimeoutMs));
  if (ended_.wait_for(lock, timeout, none_open)) return true;
  cancel_all_ = true;
  wake_.notify_one();
  ended_.wait(lock, none_open);
  return false;
}

EngineStats StepLoop::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting += static_cast<int64_t>(inbox_.size());
  // Who is in the inbox came after those the batcher has.
  int64_t oldest_ns = oldest_submit_ns_;
  if (oldest_ns == 0 && !inbox_.empty()) oldest_ns = inbox_.front().submit_ns;
  if (oldest_ns != 0)
    stats.oldest_wait_ms = static_cast<double>(os::MonotonicNs() - oldest_ns) * 1e-6;
  return stats;
}

void StepLoop::Run() {
  if (options_.idle_priority) os::SetCurrentThreadIdlePriority();
  std::vector<Delivery> out;
  while (TakeInbox(&out)) {
    batcher_.Admit();
    Publish();  // before the long part: what was admitted no longer fills the queue
    if (!batcher_.idle()) batcher_.Step(&out);
    Publish();
    Deliver(&out);
  }
  batcher_.CancelAll(&out);
  Publish();
  Deliver(&out);
}

bool StepLoop::TakeInbox(std::vector<Delivery>* out) {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait(lock, [this] {
    return stop_.load(std::memory_order_relaxed) || !inbox_.empty() || !cancels_.empty() ||
           cancel_all_ || !batcher_.idle();
  });
  MakeRoom(&lock, out);
  std::vector<Submission> submissions = std::exchange(inbox_, {});
  const std::vector<RequestId> cancels = std::exchange(cancels_, {});
  const bool cancel_all = std::exchange(cancel_all_, false);
  stats_.waiting += static_cast<int64_t>(submissions.size());
  // Read with the queues: what is submitted from here on is still to be ended.
  const bool go_on = !stop_.load(std::memory_order_relaxed);
  lock.unlock();
  for (Submission& submission : submissions) Add(std::move(submission), out);
  for (const RequestId id : cancels) batcher_.Cancel(id, out);
  if (cancel_all) batcher_.CancelAll(out);
  return go_on;
}

// For all events up to the next Deliver, a token and a finish per request: none may be lost where
// memory runs out.
void StepLoop::MakeRoom(std::unique_lock<std::mutex>* lock, std::vector<Delivery>* out) {
  for (;;) {
    try {
      return out->reserve(2 * static_cast<size_t>(open_) + 1);
    } catch (const std::bad_alloc&) {
      wake_.wait_for(*lock, kMemoryPause);
    }
  }
}

void StepLoop::Add(Submission submission, std::vector<Delivery>* out) {
  Delivery refusal{submission.id, submission.on_event, {}};
  try {
    return batcher_.Add(std::move(submission));
  } catch (...) {
    refusal.event.error = ErrorOfException();
  }
  ++not_taken_;
  refusal.event.kind = Event::Kind::kFinish;
  refusal.event.reason = FinishReason::kError;
  out->push_back(std::move(refusal));
}

void StepLoop::Publish() {
  const BatcherCounts counts = batcher_.counts();
  const KvUsage kv = runner_->kv_usage();
  const LoadEstimate load = batcher_.load();
  const int64_t oldest_submit_ns = batcher_.oldest_submit_ns();
  const std::array<Backlog, 3> backlogs = {batcher_.BacklogOf(Priority::kInteractive),
                                           batcher_.BacklogOf(Priority::kBatch),
                                           batcher_.BacklogOf(Priority::kBackground)};
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.requests_finished = counts.finished + not_taken_;
  stats_.requests_cancelled = counts.cancelled;
  stats_.requests_expired = counts.expired;
  stats_.preemptions = counts.preempted;
  stats_.running = counts.running;
  stats_.waiting = counts.waiting;
  stats_.prompt_tokens = counts.prompt_tokens;
  stats_.new_tokens = counts.new_tokens;
  stats_.steps = counts.steps;
  stats_.prefix_queries = counts.prefix_queries;
  stats_.prefix_hits = counts.prefix_hits;
  stats_.idle_cpu_ms = counts.idle_cpu_ms;
  stats_.kv = kv;
  load_ = load;
  backlogs_ = backlogs;
  oldest_submit_ns_ = oldest_submit_ns;
}

void StepLoop::CancelQuietly(RequestId id) {
  try {
    Cancel(id);
  } catch (const std::bad_alloc&) {  // then it goes on
  }
}

// Without the lock: an event may submit and cancel. Statistics are published before, so a finished
// request is counted as such when its caller hears of it.
void StepLoop::Deliver(std::vector<Delivery>* out) {
  int64_t finished = 0;
  for (Delivery& delivery : *out) {
    finished += delivery.event.kind == Event::Kind::kFinish;
    try {
      (*delivery.on_event)(delivery.event);
    } catch (...) {  // a caller's exception ends his own request, not this thread
      CancelQuietly(delivery.id);
    }
  }
  out->clear();
  if (finished == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  open_ -= finished;
  ended_.notify_all();
}

}  // namespace lull
