#include "sched/batcher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/os/os.h"

namespace lull {
namespace {

int64_t Pages(int64_t tokens) {
  constexpr int64_t kPage = static_cast<int64_t>(kPageTokens);
  return (tokens + kPage - 1) / kPage;
}

// Counted once, even where a preemption has it computed again.
int64_t PromptComputed(const Sequence& sequence) {
  return std::min(std::max(sequence.computed, sequence.most_computed), sequence.prompt_tokens());
}

}  // namespace

Batcher::Batcher(Runner& runner, const Tokenizer& tokenizer, const ExecContext& ctx,
                 const BatcherOptions& options)
    : runner_(runner),
      tokenizer_(tokenizer),
      ctx_(ctx),
      options_(options),
      meter_(ctx_, options.cpu_claims) {
  // Every answering sequence has its row in every step.
  options_.max_sequences = std::clamp(options.max_sequences, 1, runner.max_batch_rows());
  options_.prefill_chunk_tokens = std::max(options.prefill_chunk_tokens, 1);
  limits_.vocab_size = runner.vocab_size();
  limits_.max_context_tokens = runner.max_context_tokens();
  if (options.max_context_tokens > 0) {
    limits_.max_context_tokens = std::min(limits_.max_context_tokens, options.max_context_tokens);
  }
}

Batcher::~Batcher() {
  for (const SequencePtr& sequence : running_) runner_.CloseSequence(sequence->runner_sequence);
}

void Batcher::Add(Submission submission) {
  after_idle_ = after_idle_ || idle();
  const int64_t new_tokens = NewTokenLimit(submission.request, limits_);
  waiting_.push_back(
      std::make_unique<Sequence>(ctx_, std::move(submission), tokenizer_, new_tokens));
}

void Batcher::Cancel(uint64_t id, std::vector<Delivery>* out) {
  const auto is_id = [id](const SequencePtr& s) { return s->id() == id; };
  const auto take_from = [&](auto& list) {
    const auto it = std::find_if(list.begin(), list.end(), is_id);
    if (it == list.end()) return;
    (*it)->End(FinishReason::kCancelled);
    out->push_back(Finish(it->get()));
    list.erase(it);
  };
  take_from(waiting_);
  take_from(running_);
}

void Batcher::CancelAll(std::vector<Delivery>* out) {
  while (!running_.empty()) Cancel(running_.front()->id(), out);
  while (!waiting_.empty()) Cancel(waiting_.front()->id(), out);
}

void Batcher::Step(std::vector<Delivery>* out) {
  meter_.Begin(std::exchange(after_idle_, false));
  Admit();
  BuildBatch();
  if (!rows_.empty()) {
    ++counts_.steps;
    Compute();
    Sample(out);
    Meter();
  }
  Retire(out);
}

// What runs gets its pages first; what is left decides who may come in. First in, first out: a
// request that does not fit holds the ones behind it, so none starves. The running ones stay in the
// order of the queue.
void Batcher::Admit() {
  ReservePages();
  while (!waiting_.empty() && static_cast<int>(running_.size()) < options_.max_sequences) {
    if (!TryAdmit(waiting_.front().get())) return;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// For what there is and some more; without a pool to account for, for the longest answer.
int64_t Batcher::PagesWanted(const Sequence& sequence) const {
  if (options_.kv_pool_tokens <= 0) return Pages(sequence.max_kv_tokens());
  const int64_t size = static_cast<int64_t>(sequence.tokens().size());
  return Pages(std::min(sequence.max_kv_tokens(), size + options_.answer_room_tokens));
}

bool Batcher::TryAdmit(Sequence* sequence) {
  const int64_t pages = PagesWanted(*sequence);
  const bool alone = running_.empty();
  if (options_.kv_pool_tokens > 0 && !alone &&
      reserved_pages_ + pages > options_.kv_pool_tokens / static_cast<int64_t>(kPageTokens)) {
    return false;
  }
  const Result<int> opened = runner_.OpenSequence();
  if (!opened.ok() && !alone) return false;
  if (opened.ok()) {
    sequence->runner_sequence = *opened;
    const int64_t tokens =
        alone ? sequence->max_kv_tokens()
              : std::min(sequence->max_kv_tokens(), pages * static_cast<int64_t>(kPageTokens));
    if (!runner_.HasRoom(*opened, tokens)) {
      if (!alone) {
        Release(sequence);
        return false;
      }
      sequence->End(FinishReason::kError,
                    {ErrorCode::kOutOfMemory,
                     "the KV pool cannot hold " + std::to_string(sequence->max_kv_tokens()) +
                         " tokens of one request",
                     "max_new_tokens", "ask for fewer new tokens or configure a larger pool"});
    }
  } else {
    sequence->End(FinishReason::kError, opened.error());
  }
  if (sequence->admit_ns == 0) sequence->admit_ns = os::MonotonicNs();
  sequence->reserved_pages = pages;
  reserved_pages_ += pages;
  return true;
}

// Answers that have used up their room get more, the oldest first. Where the pool has none left the
// youngest gives up its pages and waits at the head of the queue; its tokens are computed again
// later, to the same bits. So the oldest always goes on, and nothing can deadlock.
void Batcher::ReservePages() {
  if (options_.kv_pool_tokens <= 0) return;
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence* sequence = running_[i].get();
    const int64_t pages = Pages(static_cast<int64_t>(sequence->tokens().size()));
    if (sequence->finished() || pages <= sequence->reserved_pages) continue;
    if (!MakeRoom(sequence, pages - sequence->reserved_pages)) return;
    const int64_t free =
        options_.kv_pool_tokens / static_cast<int64_t>(kPageTokens) - reserved_pages_;
    const int64_t more = std::min(PagesWanted(*sequence) - sequence->reserved_pages, free);
    sequence->reserved_pages += more;
    reserved_pages_ += more;
  }
}

// False: the sequence itself was the youngest and has gone, or has ended.
bool Batcher::MakeRoom(Sequence* sequence, int64_t pages) {
  const int64_t total = options_.kv_pool_tokens / static_cast<int64_t>(kPageTokens);
  while (total - reserved_pages_ < pages) {
    const bool itself = running_.back().get() == sequence;
    if (itself && running_.size() == 1) {
      sequence->End(FinishReason::kError,
                    {ErrorCode::kOutOfMemory, "the KV pool is full with this request alone",
                     "max_new_tokens", "ask for fewer new tokens or configure a larger pool"});
      return false;
    }
    PreemptYoungest();
    if (itself) return false;
  }
  return true;
}

void Batcher::PreemptYoungest() {
  SequencePtr youngest = std::move(running_.back());
  running_.pop_back();
  Release(youngest.get());
  youngest->most_computed = std::max(youngest->most_computed, youngest->computed);
  youngest->computed = 0;
  ++counts_.preempted;
  waiting_.push_front(std::move(youngest));
}

// Answers first, one row each; then the prompts, oldest first, up to the chunk.
void Batcher::BuildBatch() {
  rows_.clear();
  logits_rows_.clear();
  shares_.clear();
  for (const SequencePtr& sequence : running_) {
    if (!sequence->finished() && sequence->decoding()) AddRows(sequence.get(), 1);
  }
  int64_t room = std::min<int64_t>(options_.prefill_chunk_tokens,
                                   runner_.max_batch_rows() - static_cast<int64_t>(rows_.size()));
  for (const SequencePtr& sequence : running_) {
    if (sequence->finished() || sequence->decoding()) continue;
    if (room <= 0) break;
    const size_t before = rows_.size();
    AddRows(sequence.get(), room);
    room -= static_cast<int64_t>(rows_.size() - before);
  }
}

void Batcher::AddRows(Sequence* sequence, int64_t max_rows) {
  const std::vector<int32_t>& tokens = sequence->tokens();
  const int64_t size = static_cast<int64_t>(tokens.size());
  const int64_t end = std::min(size, sequence->computed + max_rows);
  Share share{sequence, rows_.size(), static_cast<size_t>(end - sequence->computed), -1};
  for (int64_t p = sequence->computed; p < end; ++p) {
    rows_.push_back(
        {sequence->runner_sequence, static_cast<int32_t>(p), tokens[static_cast<size_t>(p)]});
  }
  if (end == size) {
    share.logits_slot = static_cast<int64_t>(logits_rows_.size());
    logits_rows_.push_back(static_cast<int32_t>(rows_.size() - 1));
  }
  shares_.push_back(share);
}

void Batcher::Compute() {
  const size_t floats = logits_rows_.size() * static_cast<size_t>(limits_.vocab_size);
  if (num_logits_ < floats) {
    // Not cleared: that would be one long step, and each row is written before it is read.
    logits_ = std::make_unique_for_overwrite<float[]>(floats);
    num_logits_ = floats;
  }
  const Status status = runner_.Forward(ctx_, rows_, logits_rows_, logits_.get());
  if (!status.ok() && (shares_.size() == 1 || ctx_.Cancelled())) {
    const FinishReason reason = ctx_.Cancelled() ? FinishReason::kCancelled : FinishReason::kError;
    for (const Share& share : shares_) share.sequence->End(reason, status.error());
  } else if (!status.ok()) {
    // Alone each gives the same bits as together, so only those that fail by themselves end.
    for (const Share& share : shares_) ComputeAlone(share);
  }
  for (const Share& share : shares_) {
    if (!share.sequence->finished())
      share.sequence->computed += static_cast<int64_t>(share.num_rows);
  }
}

void Batcher::ComputeAlone(const Share& share) {
  const bool wants_logits = share.logits_slot >= 0;
  const int32_t last_row = static_cast<int32_t>(share.num_rows) - 1;
  float* logits = wants_logits ? logits_.get() + share.logits_slot * limits_.vocab_size : nullptr;
  const Status status = runner_.Forward(
      ctx_, std::span<const BatchRow>(rows_).subspan(share.row_begin, share.num_rows),
      std::span<const int32_t>(&last_row, wants_logits ? 1 : 0), logits);
  if (status.ok()) return;
  const FinishReason reason = ctx_.Cancelled() ? FinishReason::kCancelled : FinishReason::kError;
  share.sequence->End(reason, status.error());
}

void Batcher::Sample(std::vector<Delivery>* out) {
  const size_t vocab = static_cast<size_t>(limits_.vocab_size);
  for (const Share& share : shares_) {
    if (share.logits_slot < 0 || share.sequence->finished()) continue;
    float* logits = logits_.get() + static_cast<size_t>(share.logits_slot) * vocab;
    share.sequence->Advance(ctx_, {logits, vocab}, os::MonotonicNs(), out);
    ctx_.Checkpoint();
  }
}

// Splits what the step cost by rows, so that all receipts add up to what the process used. The time
// slept counts in full for everyone: each waited for it.
void Batcher::Meter() {
  const StepCost cost = meter_.End();
  const int64_t rows = static_cast<int64_t>(rows_.size());
  const int64_t weight_bytes = runner_.weight_bytes_per_pass();
  for (const Share& share : shares_) {
    Sequence* sequence = share.sequence;
    const int64_t begin = static_cast<int64_t>(share.row_begin);
    const int64_t end = begin + static_cast<int64_t>(share.num_rows);
    const int64_t kv_bytes = runner_.SequenceKvBytes(sequence->runner_sequence);
    sequence->cpu_ms += cost.cpu_ms * static_cast<double>(end - begin) / static_cast<double>(rows);
    sequence->throttled_ms += cost.throttled_ms;
    sequence->bytes_moved += weight_bytes * end / rows - weight_bytes * begin / rows + kv_bytes;
    sequence->kv_bytes = std::max(sequence->kv_bytes, kv_bytes);
  }
}

void Batcher::Retire(std::vector<Delivery>* out) {
  for (const SequencePtr& sequence : running_) {
    if (sequence->finished()) out->push_back(Finish(sequence.get()));
  }
  std::erase_if(running_, [](const SequencePtr& s) { return s->finished(); });
  shares_.clear();
}

void Batcher::Release(Sequence* sequence) {
  reserved_pages_ -= std::exchange(sequence->reserved_pages, 0);
  if (sequence->runner_sequence < 0) return;
  runner_.CloseSequence(sequence->runner_sequence);
  sequence->runner_sequence = -1;
}

Delivery Batcher::Finish(Sequence* sequence) {
  Release(sequence);
  Delivery delivery = sequence->TakeFinish(ctx_, os::MonotonicNs());
  ++(delivery.event.reason == FinishReason::kCancelled ? counts_.cancelled : counts_.finished);
  counts_.prompt_tokens += PromptComputed(*sequence);
  counts_.new_tokens += delivery.event.stats.new_tokens;
  return delivery;
}

BatcherCounts Batcher::counts() const {
  BatcherCounts counts = counts_;
  counts.idle_cpu_ms = meter_.idle_cpu_ms();
  counts.running = static_cast<int64_t>(running_.size());
  counts.waiting = static_cast<int64_t>(waiting_.size());
  const auto add = [&counts](const SequencePtr& sequence) {
    counts.prompt_tokens += PromptComputed(*sequence);
    counts.new_tokens +=
        static_cast<int64_t>(sequence->tokens().size()) - sequence->prompt_tokens();
  };
  std::for_each(running_.begin(), running_.end(), add);
  std::for_each(waiting_.begin(), waiting_.end(), add);  // preempted ones among them
  return counts;
}

}  // namespace lull
