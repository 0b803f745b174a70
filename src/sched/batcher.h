// Continuous batching with chunked prefill: each step computes one row of every answering sequence
// and some rows of the oldest prompts. The tokens of a request do not depend on what runs beside
// it: the forward pass gives each row the same bits in any batch, and sampling looks at the request
// alone. Not thread-safe: one owner.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/exec_context.h"
#include "lull/decoder.h"
#include "model/runner.h"
#include "sched/admission.h"
#include "sched/sequence.h"
#include "sched/step_meter.h"

namespace lull {

struct BatcherOptions {
  int max_sequences = 64;          // running at once
  int prefill_chunk_tokens = 128;  // rows of prompts in one step
  int64_t kv_pool_tokens = 0;      // what the runner's pool holds; 0: only HasRoom is asked
  int64_t max_context_tokens = 0;  // per request; 0: the runner's
  // Room for an answer that a request gets at admission, and again whenever it has used it up.
  int64_t answer_room_tokens = 256;
  CpuClaims* cpu_claims = nullptr;  // shared by all who compute in the process; null: none but this
};

struct BatcherCounts {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t finished = 0;  // of themselves or by an error
  int64_t cancelled = 0;
  int64_t preempted = 0;  // times that a request gave its pages to an older one
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  int64_t steps = 0;
  double idle_cpu_ms = 0.0;  // process CPU time that no request was charged for
};

class Batcher {
 public:
  // Runner and tokenizer outlive the batcher.
  Batcher(Runner& runner, const Tokenizer& tokenizer, const ExecContext& ctx,
          const BatcherOptions& options);
  ~Batcher();

  const RequestLimits& limits() const { return limits_; }
  // Requires: CheckRequest(submission.request, limits()) is ok.
  void Add(Submission submission);
  // Both append a kFinish per request they end.
  void Cancel(uint64_t id, std::vector<Delivery>* out);  // unknown ids are ignored
  void CancelAll(std::vector<Delivery>* out);

  bool idle() const { return running_.empty() && waiting_.empty(); }
  // Moves what fits from the queue to the running; Step does it too.
  void Admit();
  // Admits, computes one batch, appends the events. Cost: one forward pass.
  void Step(std::vector<Delivery>* out);
  BatcherCounts counts() const;

 private:
  using SequencePtr = std::unique_ptr<Sequence>;
  // The rows of one sequence in the current batch.
  struct Share {
    Sequence* sequence = nullptr;
    size_t row_begin = 0;
    size_t num_rows = 0;
    int64_t logits_slot = -1;  // index of its logits, -1: none this time
  };

  bool TryAdmit(Sequence* sequence);
  int64_t PagesWanted(const Sequence& sequence) const;
  void ReservePages();
  bool MakeRoom(Sequence* sequence, int64_t pages);
  void PreemptYoungest();
  void BuildBatch();
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
  std::deque<SequencePtr> waiting_;
  std::vector<SequencePtr> running_;  // oldest first
  int64_t reserved_pages_ = 0;
  BatcherCounts counts_;
  StepMeter meter_;
  bool after_idle_ = true;
  // The current batch.
  std::vector<BatchRow> rows_;
  std::vector<int32_t> logits_rows_;
  std::vector<Share> shares_;
  std::unique_ptr<float[]> logits_;  // [num_logits_]
  size_t num_logits_ = 0;
};

}  // namespace lull
