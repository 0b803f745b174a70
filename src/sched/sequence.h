// One request from admission to its last event: tokens, meters and the state of its decoding.
// Owned by the batcher's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/exec_context.h"
#include "decode/logprobs.h"
#include "decode/sampler.h"
#include "decode/stop.h"
#include "lull/request.h"
#include "tokenizer/tokenizer.h"

namespace lull {

struct Submission {
  uint64_t id = 0;
  Request request;
  std::shared_ptr<EventFn> on_event;
  int64_t submit_ns = 0;  // monotonic
};

// An event on its way to the caller; the function outlives the request it belongs to.
struct Delivery {
  uint64_t id = 0;
  std::shared_ptr<EventFn> on_event;
  Event event;
};

class Sequence {
 public:
  // Requires: CheckRequest is ok. max_new_tokens: NewTokenLimit.
  Sequence(const ExecContext& ctx, Submission submission, const Tokenizer& tokenizer,
           int64_t max_new_tokens);

  uint64_t id() const { return id_; }
  Priority priority() const { return request_.priority; }
  const std::string& account() const { return request_.account; }
  int64_t deadline_ns() const { return deadline_ns_; }  // monotonic; 0: none
  int64_t submit_ns() const { return submit_ns_; }
  // At most this many new tokens are still to come.
  int64_t new_tokens_left() const {
    return max_kv_tokens() + 1 - static_cast<int64_t>(tokens_.size());
  }
  bool ignore_eog() const { return request_.ignore_eog; }
  const std::vector<AdapterUse>& adapters() const { return request_.adapters; }
  bool use_prefix_cache() const { return request_.use_prefix_cache; }
  const std::vector<int32_t>& tokens() const { return tokens_; }  // prompt, then the answer
  int64_t prompt_tokens() const { return prompt_tokens_; }
  // Positions the KV cache may come to hold; the last token of an answer is never computed.
  int64_t max_kv_tokens() const { return prompt_tokens_ + max_new_tokens_ - 1; }
  bool has_answer() const { return static_cast<int64_t>(tokens_.size()) > prompt_tokens_; }
  bool finished() const { return finished_; }
  // All but the last token are computed: one row gives the next one.
  bool decoding() const {
    return has_answer() && computed + 1 == static_cast<int64_t>(tokens_.size());
  }

  // The next token, in three steps: what the constraint allows; the choice from the logits of the
  // last one, which several sequences may make at once on different threads; and what the caller is
  // to see of it: a token, or nothing where the answer has ended; finished() tells. What they throw
  // is the error of this request alone.
  void PrepareChoice(size_t vocab_size);
  void Choose(const ExecContext& ctx, std::span<float> logits);
  void Advance(int64_t now_ns, std::vector<Delivery>* out);
  void End(FinishReason reason, Error error = {});
  // The last event. Requires: finished(). Short of memory it loses text, but comes.
  Delivery TakeFinish(const ExecContext& ctx, int64_t now_ns);

  int runner_sequence = -1;   // in the runner, -1 while waiting
  int64_t computed = 0;       // tokens whose K and V are in the cache
  int64_t most_computed = 0;  // before a preemption
  int64_t reserved_pages = 0;
  int64_t admit_ns = 0;  // 0 while waiting
  // Of its receipt.
  double cpu_ms = 0.0;
  double throttled_ms = 0.0;
  int64_t bytes_moved = 0;
  int64_t kv_bytes = 0;       // most held
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache

 private:
  template <typename Fn>
  void EndIfThrows(Fn&& fn);
  void Accept(int64_t now_ns, std::vector<Delivery>* out);
  void TakeLastText(const ExecContext& ctx, Event* event);
  bool EndsAnswer(int32_t token) const;
  bool IsShown(int32_t token) const;
  void DeliverToken(int32_t token, std::vector<Delivery>* out);

  uint64_t id_;
  Request request_;
  std::shared_ptr<EventFn> on_event_;
  int64_t submit_ns_;
  int64_t deadline_ns_;
  const Tokenizer& tokenizer_;
  std::vector<int32_t> tokens_;
  int64_t prompt_tokens_;
  int64_t max_new_tokens_;
  Sampler sampler_;
  StopMatcher stop_;
  std::vector<uint32_t> allowed_;  // of the constraint, where there is one
  Result<int32_t> chosen_ = int32_t{-1};
  Logprobs logprobs_;  // of the choice, where they are asked for
  std::unique_ptr<TextStream> text_;
  int64_t first_token_ns_ = 0;
  int64_t last_token_ns_ = 0;
  bool finished_ = false;
  FinishReason reason_ = FinishReason::kStop;
  Error error_;
};

}  // namespace lull
