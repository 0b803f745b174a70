#include "sched/sequence.h"

#include <algorithm>
#include <utility>

#include "sched/step_failure.h"

namespace lull {
namespace {

double Ms(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

}  // namespace

Sequence::Sequence(const ExecContext& ctx, Submission submission, const Tokenizer& tokenizer,
                   int64_t max_new_tokens)
    : id_(submission.id),
      request_(std::move(submission.request)),
      on_event_(std::move(submission.on_event)),
      submit_ns_(submission.submit_ns),
      deadline_ns_(request_.deadline_ms > 0 ? submit_ns_ + request_.deadline_ms * 1'000'000 : 0),
      tokenizer_(tokenizer),
      tokens_(std::move(request_.prompt_tokens)),
      prompt_tokens_(static_cast<int64_t>(tokens_.size())),
      max_new_tokens_(max_new_tokens),
      sampler_(request_.sampling),
      stop_(request_.stop) {
  sampler_.AcceptAll(ctx, tokens_);
}

template <typename Fn>
void Sequence::EndIfThrows(Fn&& fn) {
  if (finished_) return;
  try {
    fn();
  } catch (...) {
    End(FinishReason::kError, ErrorOfException());
  }
}

void Sequence::PrepareChoice(size_t vocab_size) {
  chosen_ = int32_t{-1};
  if (request_.constraint == nullptr) return;
  EndIfThrows([&] {
    allowed_.resize((vocab_size + 31) / 32);
    const Status filled = request_.constraint->FillMask(allowed_);
    if (!filled.ok()) chosen_ = filled.error();
  });
}

void Sequence::Choose(const ExecContext& ctx, std::span<float> logits) {
  if (!chosen_.ok()) return;
  EndIfThrows([&] {
    chosen_ = sampler_.Sample(ctx, logits, static_cast<int64_t>(tokens_.size()), allowed_);
    if (!chosen_.ok() || request_.logprobs == 0) return;
    logprobs_ = ComputeLogprobs(ctx, logits, *chosen_, request_.logprobs);
  });
}

void Sequence::Advance(int64_t now_ns, std::vector<Delivery>* out) {
  EndIfThrows([&] { Accept(now_ns, out); });
}

void Sequence::Accept(int64_t now_ns, std::vector<Delivery>* out) {
  if (text_ == nullptr) text_ = tokenizer_.NewTextStream(false);
  if (!chosen_.ok()) return End(FinishReason::kError, chosen_.error());
  const int32_t token = *chosen_;
  if (first_token_ns_ == 0) first_token_ns_ = now_ns;
  last_token_ns_ = now_ns;
  if (EndsAnswer(token)) return End(FinishReason::kEog);
  DeliverToken(token, out);
  tokens_.push_back(token);
  sampler_.Accept(token);
  if (stop_.stopped()) return End(FinishReason::kStop);
  if (request_.constraint != nullptr) {
    const Status accepted = request_.constraint->Accept(token);
    if (!accepted.ok()) return End(FinishReason::kError, accepted.error());
    if (request_.constraint->finished()) return End(FinishReason::kStop);
  }
  if (static_cast<int64_t>(tokens_.size()) - prompt_tokens_ >= max_new_tokens_)
    End(FinishReason::kLength);
}

// A constraint that allows an end-of-generation token says that the text may end there.
bool Sequence::EndsAnswer(int32_t token) const {
  const bool may_end = !request_.ignore_eog || request_.constraint != nullptr;
  return may_end && tokenizer_.IsEndOfGeneration(token);
}

bool Sequence::IsShown(int32_t token) const {
  const std::vector<int32_t>& shown = request_.shown_tokens;
  return std::find(shown.begin(), shown.end(), token) != shown.end();
}

void Sequence::DeliverToken(int32_t token, std::vector<Delivery>* out) {
  Event event;
  event.kind = Event::Kind::kToken;
  event.token = token;
  event.text = stop_.Push(IsShown(token) ? text_->Finish() + tokenizer_.TokenText(token)
                                         : text_->Push(token));
  if (request_.logprobs > 0) {
    event.chosen = logprobs_.chosen;
    event.top = std::move(logprobs_.top);
  }
  out->push_back({id_, on_event_, std::move(event)});
}

void Sequence::End(FinishReason reason, Error error) {
  finished_ = true;
  reason_ = reason;
  error_ = std::move(error);
}

void Sequence::TakeLastText(const ExecContext& ctx, Event* event) {
  sampler_.Forget(ctx);
  if (text_ != nullptr) event->text = stop_.Push(text_->Finish());
  const bool ended_itself = reason_ == FinishReason::kLength || reason_ == FinishReason::kEog;
  if (ended_itself && stop_.stopped()) reason_ = FinishReason::kStop;
  event->text += stop_.Finish();
}

Delivery Sequence::TakeFinish(const ExecContext& ctx, int64_t now_ns) {
  Event event;
  event.kind = Event::Kind::kFinish;
  try {
    TakeLastText(ctx, &event);
  } catch (...) {
    End(FinishReason::kError, ErrorOfException());
  }
  event.reason = reason_;
  if (reason_ == FinishReason::kError) event.error = std::move(error_);
  RequestStats& stats = event.stats;
  stats.prompt_tokens = prompt_tokens_;
  stats.new_tokens = static_cast<int64_t>(tokens_.size()) - prompt_tokens_;
  stats.queue_ms = Ms((admit_ns != 0 ? admit_ns : now_ns) - submit_ns_);
  if (admit_ns != 0) {
    stats.prefill_ms = Ms((first_token_ns_ != 0 ? first_token_ns_ : now_ns) - admit_ns);
  }
  stats.decode_ms = Ms(last_token_ns_ - first_token_ns_);
  stats.cpu_ms = cpu_ms;
  stats.throttled_ms = throttled_ms;
  stats.bytes_moved = bytes_moved;
  stats.kv_bytes = kv_bytes;
  stats.cached_tokens = cached_tokens;
  return {id_, on_event_, std::move(event)};
}

}  // namespace lull
