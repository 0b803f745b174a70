// Continuous batching with chunked prefill: each step computes one row of every answering sequence
// and some rows of the oldest prompts. The tokens of a request do not depend on what runs beside
// it: the forward pass gives each row the same bits in any batch, and sampling looks at the request
// alone. Not thread-safe: one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/exec_context.h"
#include "base/os/os.h"
#include "lull/decoder.h"
#include "model/runner.h"
#include "sched/admission.h"
#include "sched/fair_queue.h"
#include "sched/load_estimate.h"
#include "sched/sequence.h"
#include "sched/step_meter.h"

namespace lull {

struct BatcherOptions {
  int max_sequences = 64;          // running at once
  int prefill_chunk_tokens = 128;  // rows of prompts in one step
  double max_step_s = 0.25;        // of a step that has answers in it, as measured; fewer rows then
  // The declared p95, asked anew for each step: a tenth of it is the most of such a step. null, or
  // 0: none. Thread-safe.
  std::function<double()> p95_latency_s = nullptr;
  int64_t kv_pool_tokens = 0;      // what the runner's pool holds; 0: only HasRoom is asked
  int64_t max_context_tokens = 0;  // per request; 0: the runner's
  // Room for an answer that a request gets at admission, and again whenever it has used it up.
  int64_t answer_room_tokens = 256;
  bool prefix_cache = false;  // the runner has one
  std::function<int64_t()> now_ns = os::MonotonicNs;
  CpuClaims* cpu_claims = nullptr;  // shared by all who compute in the process; null: none but this
};

struct BatcherCounts {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t finished = 0;  // of themselves or by an error
  int64_t cancelled = 0;
  int64_t preempted = 0;  // times that a request gave its pages to another one
  int64_t expired = 0;    // of the finished: their deadline passed
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  int64_t steps = 0;
  int64_t prefix_queries = 0;  // prompt tokens looked for in the prefix cache
  int64_t prefix_hits = 0;
  double idle_cpu_ms = 0.0;  // process CPU time that no request was charged for
};

class Batcher {
 public:
  // Runner and tokenizer outlive the batcher.
  Batcher(Runner& runner, const Tokenizer& tokenizer, const ExecContext& ctx,
          const BatcherOptions& options);
  ~Batcher();

  const RequestLimits& limits() const { return limits_; }
  // Requires: CheckRequest(submission.request, limits()) is ok. Where it throws nothing has
  // changed.
  void Add(Submission submission);
  // Both append a kFinish per request they end.
  void Cancel(uint64_t id, std::vector<Delivery>* out);  // unknown ids are ignored
  void CancelAll(std::vector<Delivery>* out);

  bool idle() const { return running_.empty() && waiting_.empty(); }
  // Moves what fits from the queue to the running; Step does it too.
  void Admit();
  // Admits, computes one batch, appends the events. Cost: one forward pass. What a request's own
  // part of it throws ends that request, anything else thrown those running; the rest go on. That
  // holds where `out` has room for two more events per request; else Step may throw.
  void Step(std::vector<Delivery>* out);
  BatcherCounts counts() const;
  LoadEstimate load() const;
  // When the one came that has waited longest for its first turn, monotonic; 0: none waits.
  int64_t oldest_submit_ns() const;
  // What a new request of this class would find before it.
  Backlog BacklogOf(Priority priority) const;

 private:
  // The rows of one sequence in the current batch.
  struct Share {
    Sequence* sequence = nullptr;
    size_t row_begin = 0;
    size_t num_rows = 0;
    int64_t logits_slot = -1;  // index of its logits, -1: none this time
  };

  template <typename Fn>
  void Guarded(Fn&& fn);
  void FailRunning(const Error& error);
  void AdmitWaiting();
  void ExpireDeadlines(std::vector<Delivery>* out);
  bool TryAdmit(Sequence* sequence);
  bool PreemptFor(const Sequence& sequence);
  void InsertRunning(SequencePtr sequence);
  int64_t PagesWanted(const Sequence& sequence) const;
  void ReservePages();
  bool MakeRoom(Sequence* sequence, int64_t pages);
  void PreemptYoungest();
  void BuildBatch();
  bool Pauses(const Sequence& sequence) const;
  void AddPromptRows();
  int64_t PromptRoom() const;
  double MaxStepSeconds() const;
  bool Shares(const Sequence& sequence) const;
  bool WaitsForPages(const Sequence& sequence) const;
  void AdoptPrefix(Sequence* sequence);
  void AddRows(Sequence* sequence, int64_t max_rows);
  void Compute();
  void ComputeAlone(const Share& share);
  void Sample(std::vector<Delivery>* out);
  void Meter();
  void Retire(std::vector<Delivery>* out);
  void Release(Sequence* sequence);
  Delivery Finish(Sequence* sequence);

  Runner& runner_;
  const Tokenizer& tokenizer_;
  const ExecContext ctx_;
  BatcherOptions options_;
  RequestLimits limits_;
  FairQueue waiting_;
  std::vector<SequencePtr> running_;  // by class, then oldest first
  int64_t reserved_pages_ = 0;
  BatcherCounts counts_;
  StepMeter meter_;
  int64_t bytes_moved_ = 0;  // by the runner, as of the last step
  StepTimes step_times_;
  double answer_tokens_ = 0.0;  // moving average of finished requests
  int64_t deadlines_ = 0;       // open requests that have one
  bool after_idle_ = true;
  // The current batch.
  std::vector<BatchRow> rows_;
  std::vector<int32_t> logits_rows_;
  std::vector<Share> shares_;
  std::vector<const Share*> choosing_;    // of these, the ones with logits
  std::vector<Sequence*> prompts_;        // still to be computed, in the order of their turn
  std::vector<const Sequence*> leaders_;  // of these, those that wait for nobody's pages
  std::unique_ptr<float[]> logits_;       // [num_logits_]
  size_t num_logits_ = 0;
};

}  // namespace lull
