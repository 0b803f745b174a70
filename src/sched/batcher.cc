#include "sched/batcher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "sched/step_failure.h"

namespace lull {
namespace {

constexpr int64_t kPage = static_cast<int64_t>(kPageTokens);

constexpr int64_t kRowStep = 16;  // rows that the kernels like to have at once

int64_t Pages(int64_t tokens) { return (tokens + kPage - 1) / kPage; }

// Counted once, even where a preemption has it computed again.
int64_t PromptComputed(const Sequence& sequence) {
  return std::min(std::max(sequence.computed, sequence.most_computed), sequence.prompt_tokens());
}

Error LateError(const Sequence& sequence) {
  const int64_t ms = (sequence.deadline_ns() - sequence.submit_ns()) / 1'000'000;
  return {ErrorCode::kDeadlineExceeded, "the deadline of " + std::to_string(ms) + " ms has passed",
          "deadline_ms", "give it more time, or ask for a shorter answer", 0.0};
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
  // So that no request is lost on its way from one place to another. One more than run: see
  // FailRunning.
  running_.reserve(static_cast<size_t>(options_.max_sequences) + 1);
}

Batcher::~Batcher() {
  for (const SequencePtr& sequence : running_) runner_.CloseSequence(sequence->runner_sequence);
}

void Batcher::Add(Submission submission) {
  const bool was_idle = idle();
  const bool has_deadline = submission.request.deadline_ms > 0;
  const int64_t new_tokens = NewTokenLimit(submission.request, limits_);
  waiting_.Add(std::make_unique<Sequence>(ctx_, std::move(submission), tokenizer_, new_tokens));
  after_idle_ = after_idle_ || was_idle;
  deadlines_ += has_deadline;
}

void Batcher::Cancel(uint64_t id, std::vector<Delivery>* out) {
  SequencePtr sequence = waiting_.Take(id);
  if (sequence == nullptr) {
    const auto it = std::find_if(running_.begin(), running_.end(),
                                 [id](const SequencePtr& s) { return s->id() == id; });
    if (it == running_.end()) return;
    sequence = std::move(*it);
    running_.erase(it);
  }
  sequence->End(FinishReason::kCancelled);
  out->push_back(Finish(sequence.get()));
}

void Batcher::CancelAll(std::vector<Delivery>* out) {
  while (!running_.empty()) Cancel(running_.front()->id(), out);
  while (!waiting_.empty()) Cancel(waiting_.front()->id(), out);
}

void Batcher::Step(std::vector<Delivery>* out) {
  meter_.Begin(std::exchange(after_idle_, false));
  Retire(out);  // what failed in Admit
  Guarded([&] {
    ExpireDeadlines(out);
    AdmitWaiting();
    BuildBatch();
    if (rows_.empty()) return;
    ++counts_.steps;
    Compute();
    Sample(out);
    Meter();
  });
  Retire(out);
  meter_.Leave();
}

template <typename Fn>
void Batcher::Guarded(Fn&& fn) {
  try {
    fn();
  } catch (...) {
    FailRunning(ErrorOfException());
  }
}

// What became of a step that was left in its middle is not known, so nothing is built on it: all
// its requests end, and the runner forgets them. Without any, the next in line was at fault.
void Batcher::FailRunning(const Error& error) {
  if (running_.empty() && !waiting_.empty()) running_.push_back(waiting_.PopFront());
  for (const SequencePtr& sequence : running_) {
    if (sequence->finished()) continue;
    try {
      sequence->End(FinishReason::kError, error);
    } catch (...) {
      sequence->End(FinishReason::kError, ErrorOfException());
    }
  }
}

// An answer that comes too late is not computed to its end.
void Batcher::ExpireDeadlines(std::vector<Delivery>* out) {
  if (deadlines_ == 0) return;
  const int64_t now_ns = options_.now_ns();
  const auto is_late = [now_ns](const Sequence& s) {
    return s.deadline_ns() != 0 && now_ns >= s.deadline_ns() && !s.finished();
  };
  std::vector<std::pair<uint64_t, Error>> late;
  waiting_.ForEach([&](const Sequence& s) {
    if (is_late(s)) late.emplace_back(s.id(), LateError(s));
  });
  const auto expire = [&](Sequence* sequence, Error error) {
    sequence->End(FinishReason::kError, std::move(error));
    ++counts_.expired;
  };
  for (auto& [id, error] : late) {
    const SequencePtr sequence = waiting_.Take(id);
    expire(sequence.get(), std::move(error));
    out->push_back(Finish(sequence.get()));
  }
  for (const SequencePtr& sequence : running_)
    if (is_late(*sequence)) expire(sequence.get(), LateError(*sequence));
  Retire(out);  // now: one that has ended must not be preempted, and wait for a place to say so
}

// What runs gets its pages first; what is left decides who may come in. A request that does not fit
// holds the ones behind it, so none of its class starves; it takes the place of one of a lower
// class.
void Batcher::Admit() {
  Guarded([this] { AdmitWaiting(); });
}

void Batcher::AdmitWaiting() {
  ReservePages();
  while (!waiting_.empty()) {
    Sequence* next = waiting_.front();
    const bool slot = static_cast<int>(running_.size()) < options_.max_sequences;
    if (slot && TryAdmit(next)) {
      InsertRunning(waiting_.PopFront());
    } else if (!PreemptFor(*next)) {
      return;
    }
  }
}

bool Batcher::PreemptFor(const Sequence& sequence) {
  if (running_.empty() || running_.back()->finished()) return false;
  if (running_.back()->priority() <= sequence.priority()) return false;
  PreemptYoungest();
  return true;
}

void Batcher::InsertRunning(SequencePtr sequence) {
  const auto it = std::find_if(running_.begin(), running_.end(), [&](const SequencePtr& s) {
    return s->priority() > sequence->priority();
  });
  running_.insert(it, std::move(sequence));
}

// For what there is and some more; without a pool to account for, for the longest answer.
int64_t Batcher::PagesWanted(const Sequence& sequence) const {
  if (options_.kv_pool_tokens <= 0) return Pages(sequence.max_kv_tokens());
  const int64_t size = static_cast<int64_t>(sequence.tokens().size());
  return Pages(std::min(sequence.max_kv_tokens(), size + options_.answer_room_tokens));
}

bool Batcher::TryAdmit(Sequence* sequence) {
  Release(sequence);  // of a try that was left in its middle
  const int64_t pages = PagesWanted(*sequence);
  const bool alone = running_.empty();
  if (options_.kv_pool_tokens > 0 && !alone &&
      reserved_pages_ + pages > options_.kv_pool_tokens / kPage) {
    return false;
  }
  const Result<int> opened = runner_.OpenSequence();
  if (!opened.ok() && !alone) return false;
  if (opened.ok()) {
    sequence->runner_sequence = *opened;
    const Status adapted = runner_.SetAdapters(*opened, sequence->adapters());
    if (!adapted.ok()) sequence->End(FinishReason::kError, adapted.error());
    const int64_t tokens =
        alone ? sequence->max_kv_tokens() : std::min(sequence->max_kv_tokens(), pages * kPage);
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
  if (sequence->admit_ns == 0) sequence->admit_ns = options_.now_ns();
  sequence->reserved_pages = pages;
  reserved_pages_ += pages;
  return true;
}

// Answers that have used up their room get more, the oldest of the highest class first. Where the
// pool has none left the youngest of the lowest gives up its pages and waits at the head of its
// queue; its tokens are computed again later, to the same bits. So the first always goes on, and
// nothing can deadlock.
void Batcher::ReservePages() {
  if (options_.kv_pool_tokens <= 0) return;
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence* sequence = running_[i].get();
    const int64_t pages = Pages(static_cast<int64_t>(sequence->tokens().size()));
    if (sequence->finished() || pages <= sequence->reserved_pages) continue;
    if (!MakeRoom(sequence, pages - sequence->reserved_pages)) return;
    const int64_t free = options_.kv_pool_tokens / kPage - reserved_pages_;
    const int64_t more = std::min(PagesWanted(*sequence) - sequence->reserved_pages, free);
    sequence->reserved_pages += more;
    reserved_pages_ += more;
  }
}

// False: the sequence itself was the youngest and has gone, or has ended.
bool Batcher::MakeRoom(Sequence* sequence, int64_t pages) {
  const int64_t total = options_.kv_pool_tokens / kPage;
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
  Sequence* youngest = running_.back().get();
  waiting_.PutBack(std::move(running_.back()));
  running_.pop_back();
  Release(youngest);
  youngest->most_computed = std::max(youngest->most_computed, youngest->computed);
  youngest->computed = 0;
  ++counts_.preempted;
}

// Answers first, one row each; then the prompts up to the chunk: by class, the account that has had
// the fewest rows first, then the oldest.
void Batcher::BuildBatch() {
  rows_.clear();
  logits_rows_.clear();
  shares_.clear();
  prompts_.clear();
  for (const SequencePtr& sequence : running_) {
    if (sequence->finished() || Pauses(*sequence)) continue;
    if (sequence->decoding()) {
      AddRows(sequence.get(), 1);
    } else {
      prompts_.push_back(sequence.get());
    }
  }
  std::stable_sort(prompts_.begin(), prompts_.end(), [this](const Sequence* a, const Sequence* b) {
    return std::pair(a->priority(), waiting_.rows_served(*a)) <
           std::pair(b->priority(), waiting_.rows_served(*b));
  });
  AddPromptRows();
}

void Batcher::AddPromptRows() {
  leaders_.clear();
  int64_t room = PromptRoom();
  for (Sequence* sequence : prompts_) {
    if (room <= 0) break;
    if (WaitsForPages(*sequence)) continue;
    leaders_.push_back(sequence);
    if (sequence->computed == 0) AdoptPrefix(sequence);
    const size_t before = rows_.size();
    AddRows(sequence, room);
    room -= static_cast<int64_t>(rows_.size() - before);
    ctx_.Checkpoint();
  }
}

// Answers in progress wait for the prompts of their step: no longer than is allowed, but never for
// so little that the prompts get nowhere.
int64_t Batcher::PromptRoom() const {
  const auto answers = static_cast<int64_t>(rows_.size());
  const int64_t most =
      std::min<int64_t>(options_.prefill_chunk_tokens, runner_.max_batch_rows() - answers);
  const double row_s = step_times_.row_s();
  if (answers == 0 || !step_times_.known() || row_s <= 0.0) return most;
  const double rows = (MaxStepSeconds() - step_times_.base_s()) / row_s;
  const auto fits = static_cast<int64_t>(std::clamp(rows, 0.0, 1e6)) - answers;
  return std::min(most, std::max(fits / kRowStep * kRowStep, kRowStep));
}

double Batcher::MaxStepSeconds() const {
  const double p95_s = options_.p95_latency_s ? options_.p95_latency_s() : 0.0;
  return p95_s > 0.0 ? std::min(options_.max_step_s, p95_s / 10.0) : options_.max_step_s;
}

bool Batcher::Shares(const Sequence& sequence) const {
  return options_.prefix_cache && sequence.use_prefix_cache();
}

// Of prompts that begin alike one is computed, and the others take over its pages.
bool Batcher::WaitsForPages(const Sequence& sequence) const {
  if (!Shares(sequence) || sequence.computed > 0) return false;
  const std::vector<int32_t>& own = sequence.tokens();
  for (const Sequence* leader : leaders_) {
    if (!Shares(*leader) || leader->adapters() != sequence.adapters()) continue;
    const std::vector<int32_t>& tokens = leader->tokens();
    const auto differ =
        std::mismatch(own.begin(), own.end() - 1, tokens.begin(), tokens.end()).first;
    if ((differ - own.begin()) / kPage > leader->computed / kPage) return true;
  }
  return false;
}

void Batcher::AdoptPrefix(Sequence* sequence) {
  if (!Shares(*sequence)) return;
  sequence->computed = runner_.AdoptPrefix(sequence->runner_sequence, sequence->tokens());
  if (sequence->most_computed > 0) return;  // its own pages, from before a preemption
  sequence->cached_tokens = sequence->computed;
  counts_.prefix_queries += sequence->prompt_tokens();
  counts_.prefix_hits += sequence->cached_tokens;
}

// Background work stands still while somebody waits for an interactive answer.
bool Batcher::Pauses(const Sequence& sequence) const {
  return sequence.priority() == Priority::kBackground &&
         running_.front()->priority() == Priority::kInteractive && !running_.front()->finished();
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

// The choice over the vocabulary is most of the work beside the pass, and each row's is its own.
void Batcher::Sample(std::vector<Delivery>* out) {
  const size_t vocab = static_cast<size_t>(limits_.vocab_size);
  choosing_.clear();
  for (const Share& share : shares_) {
    if (share.logits_slot < 0 || share.sequence->finished()) continue;
    share.sequence->PrepareChoice(vocab);
    ctx_.Checkpoint();
    choosing_.push_back(&share);
  }
  runner_.ForEachRow(ctx_, choosing_.size(), [&](size_t i) {
    const Share& share = *choosing_[i];
    float* logits = logits_.get() + static_cast<size_t>(share.logits_slot) * vocab;
    share.sequence->Choose(ctx_, {logits, vocab});
  });
  for (const Share* share : choosing_) {
    share->sequence->Advance(options_.now_ns(), out);
    ctx_.Checkpoint();
  }
}

// Splits what the step cost by rows, so that all receipts add up to what the process used. The time
// slept counts in full for everyone: each waited for it.
void Batcher::Meter() {
  const StepCost cost = meter_.End();
  const int64_t rows = static_cast<int64_t>(rows_.size());
  step_times_.Add(rows, cost.wall_s);
  const int64_t bytes = runner_.bytes_moved() - std::exchange(bytes_moved_, runner_.bytes_moved());
  for (const Share& share : shares_) {
    Sequence* sequence = share.sequence;
    const int64_t begin = static_cast<int64_t>(share.row_begin);
    const int64_t end = begin + static_cast<int64_t>(share.num_rows);
    sequence->cpu_ms += cost.cpu_ms * static_cast<double>(end - begin) / static_cast<double>(rows);
    sequence->throttled_ms += cost.throttled_ms;
    waiting_.Charge(*sequence, end - begin);
    sequence->bytes_moved += bytes * end / rows - bytes * begin / rows;
    sequence->kv_bytes =
        std::max(sequence->kv_bytes, runner_.SequenceKvBytes(sequence->runner_sequence));
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
  waiting_.Leave(*sequence);
  deadlines_ -= sequence->deadline_ns() != 0;
  Delivery delivery = sequence->TakeFinish(ctx_, options_.now_ns());
  const double new_tokens = static_cast<double>(delivery.event.stats.new_tokens);
  if (delivery.event.reason != FinishReason::kCancelled)
    answer_tokens_ += (answer_tokens_ == 0.0 ? 1.0 : 0.1) * (new_tokens - answer_tokens_);
  ++(delivery.event.reason == FinishReason::kCancelled ? counts_.cancelled : counts_.finished);
  counts_.prompt_tokens += PromptComputed(*sequence);
  counts_.new_tokens += delivery.event.stats.new_tokens;
  return delivery;
}

BatcherCounts Batcher::counts() const {
  BatcherCounts counts = counts_;
  counts.idle_cpu_ms = meter_.idle_cpu_ms();
  counts.running = static_cast<int64_t>(running_.size());
  counts.waiting = waiting_.size();
  const auto add = [&counts](const Sequence& sequence) {
    counts.prompt_tokens += PromptComputed(sequence);
    counts.new_tokens += static_cast<int64_t>(sequence.tokens().size()) - sequence.prompt_tokens();
  };
  for (const SequencePtr& sequence : running_) add(*sequence);
  waiting_.ForEach(add);  // preempted ones among them
  return counts;
}

int64_t Batcher::oldest_submit_ns() const {
  int64_t oldest = 0;
  waiting_.ForEach([&oldest](const Sequence& s) {
    if (s.admit_ns == 0 && (oldest == 0 || s.submit_ns() < oldest)) oldest = s.submit_ns();
  });
  return oldest;
}

LoadEstimate Batcher::load() const {
  LoadEstimate load;
  load.known = step_times_.known();
  load.base_s = step_times_.base_s();
  load.row_s = step_times_.row_s();
  load.chunk_tokens = options_.prefill_chunk_tokens;
  load.slots = options_.max_sequences;
  load.running = static_cast<int64_t>(running_.size());
  load.answer_tokens = answer_tokens_;
  return load;
}

Backlog Batcher::BacklogOf(Priority priority) const {
  Backlog backlog;
  const LoadEstimate estimate = load();
  for (const SequencePtr& s : running_) {
    if (s->priority() > priority || s->decoding()) continue;
    backlog.prompt_tokens += static_cast<int64_t>(s->tokens().size()) - s->computed;
  }
  waiting_.ForEach([&](const Sequence& s) {
    if (s.priority() > priority) return;
    ++backlog.requests;
    backlog.prompt_tokens += static_cast<int64_t>(s.tokens().size());
    backlog.new_tokens += estimate.ExpectedNewTokens(s.new_tokens_left(), s.ignore_eog());
  });
  return backlog;
}

}  // namespace lull
