// The parameters that OpenAI's endpoints have in common, from JSON to requests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "service/generation.h"

namespace lull {

struct CompletionParams {
  using NewConstraintFn = std::function<Result<std::shared_ptr<TokenConstraint>>()>;

  Request request;  // prompt tokens are set by ToChoices
  int n = 1;        // answers to a prompt
  bool seeded = false;
  bool stream = false;
  bool include_usage = false;
  bool return_token_ids = false;
  bool logprobs = false;
  NewConstraintFn new_constraint;  // one for every choice; null: none
  int top_logprobs = 0;  // shown per token; request.logprobs is at least 1 where any are asked for
};

// Marks the fields as read; the first error stays in fields. max_tokens absent: 0, which ToChoices
// makes what the context holds.
CompletionParams ReadCompletionParams(const ModelCall& call, JsonFields& fields);

// What the name in `model` and the field `lora` (null: none) ask of adapters.
Status ReadAdapters(const ModelCall& call, const Json* lora, Request* request);

// Fields beside the standard ones: priority (or the header X-Lull-Priority), deadline_ms, user.
void ReadScheduling(const ModelCall& call, JsonFields& fields, Request* request);

// Different for every request of this server, and for the next server.
uint64_t FreshSeed();

// `logprobs`, a boolean or the number of alternatives.
void ReadLogprobs(JsonFields& fields, CompletionParams* params);
// `top_logprobs`, after ReadLogprobs: the number of alternatives where logprobs is true.
void ReadTopLogprobs(JsonFields& fields, CompletionParams* params);

// n requests for every prompt, in the order of choice indices. A seed is counted up over the n of a
// prompt, so that an answer does not depend on the prompts beside it. An error of new_constraint.
Result<std::vector<Request>> ToChoices(const ServedModel& served, const CompletionParams& params,
                                       std::vector<std::vector<int32_t>> prompts);

}  // namespace lull
