// What a caller asks for and what comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lull/status.h"

namespace lull {

// Applied in this order: logit_bias, repetition/frequency/presence penalties, top_k, top_p, min_p,
// temperature. temperature 0 is greedy: the highest biased and penalised logit, ties to the lowest
// id. Randomness is counter-based, keyed by (seed, absolute position).
struct SamplingParams {
  double temperature = 0.0;
  int64_t top_k = 0;                // 0: off
  double top_p = 1.0;               // 1: off
  double min_p = 0.0;               // 0: off
  double repetition_penalty = 1.0;  // 1: off
  double frequency_penalty = 0.0;
  double presence_penalty = 0.0;
  int64_t penalty_last_n = 64;  // tokens the penalties look back on; -1: all
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, double>> logit_bias;
};

// Which tokens may come next: a grammar, seen from the sampler. One per request; called by the
// engine's thread only.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // Bit id % 32 of word id / 32 set: the token is allowed. mask has (vocab_size + 31) / 32 words,
  // all of which are written. An end-of-generation token is allowed where the text is complete.
  virtual Status FillMask(std::span<uint32_t> mask) = 0;
  // The token that was chosen, in order.
  virtual Status Accept(int32_t token) = 0;
  // Nothing but the end may follow.
  virtual bool finished() const = 0;
};

// Who goes first; within a class, accounts share fairly, then the order of arrival counts.
enum class Priority { kInteractive, kBatch, kBackground };

class Adapter;  // lull/adapter.h

struct AdapterUse {
  std::shared_ptr<const Adapter> adapter;  // of the model that answers
  double scale = 1.0;                      // times the adapter's own; 0: as without it
  bool operator==(const AdapterUse&) const = default;
};

struct Request {
  std::vector<int32_t> prompt_tokens;  // at least one
  SamplingParams sampling;
  int64_t max_new_tokens = 128;
  std::vector<std::string> stop;  // stop strings; not part of the answer
  int logprobs = 0;               // K highest per new token; 0: none
  // Control tokens whose text is part of the answer, as marks of calls and reasoning are; that of
  // others is not.
  std::vector<int32_t> shown_tokens;
  bool ignore_eog = false;
  std::shared_ptr<TokenConstraint> constraint;  // null: none
  Priority priority = Priority::kInteractive;
  int64_t deadline_ms = 0;  // from submission to the last token; 0: none
  std::string account;      // whose fair share it uses, e.g. the name of an API key
  // Added to the model's matrices for this request alone, in this order; at most kMaxAdapters. They
  // are held until it ends.
  std::vector<AdapterUse> adapters;
  bool use_prefix_cache = true;  // reuse, and leave behind, the prompt's K and V
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0.0f;  // natural log-softmax of the unmodified logits
};

enum class FinishReason { kStop, kLength, kEog, kCancelled, kError };
const char* FinishReasonName(FinishReason reason);  // "stop", "length", "eog", ...

// Meters of one request, all in its own units.
struct RequestStats {
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  double queue_ms = 0;
  double prefill_ms = 0;      // admission to first token
  double decode_ms = 0;       // first to last token
  double cpu_ms = 0;          // share of the process CPU time, split by rows
  double throttled_ms = 0;    // time that its steps slept to keep the budget
  int64_t bytes_moved = 0;    // share of the weights and KV read, split by rows
  int64_t kv_bytes = 0;       // most K and V held at once
  int64_t cached_tokens = 0;  // of the prompt, taken from the prefix cache
};

// Events of one request, in order: any number of kToken, then one kFinish.
struct Event {
  enum class Kind { kToken, kFinish };
  Kind kind = Kind::kToken;
  // kToken
  int32_t token = -1;
  std::string text;               // complete characters only; may be empty
  TokenLogprob chosen;            // filled where logprobs > 0
  std::vector<TokenLogprob> top;  // K highest, ties to the lowest id
  // kFinish (text may carry a last piece)
  FinishReason reason = FinishReason::kStop;
  Error error;  // where reason is kError
  RequestStats stats;
};

// Called on the engine's thread, in order; must not block.
using EventFn = std::function<void(const Event&)>;

}  // namespace lull
