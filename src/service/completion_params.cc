#include "service/completion_params.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>

#include "service/adapters.h"

namespace lull {
namespace {

constexpr size_t kMaxStopStrings = 16;
constexpr int kMaxLogprobs = 20;
constexpr int kMaxChoices = 64;  // answers to a prompt
constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxDeadlineMs = int64_t{7} * 24 * 3600 * 1000;

void ReadStop(JsonFields& fields, Request* request) {
  const Json* stop = fields.Get("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) {
    request->stop.push_back(stop->get<std::string>());
    return;
  }
  if (!stop->is_array() || stop->size() > kMaxStopStrings)
    return fields.Fail("stop", "must be a string or an array of at most 16 strings");
  for (const Json& entry : *stop) {
    if (!entry.is_string()) return fields.Fail("stop", "must hold strings");
    request->stop.push_back(entry.get<std::string>());
  }
}

void ReadLogitBias(JsonFields& fields, Request* request) {
  const Json* bias = fields.Get("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object() || bias->size() > 1024)
    return fields.Fail("logit_bias", "must be an object of at most 1024 entries");
  for (const auto& [key, value] : bias->items()) {
    char* end = nullptr;
    const long long id = strtoll(key.c_str(), &end, 10);
    if (key.empty() || *end != 0 || id < 0 || id > std::numeric_limits<int32_t>::max() ||
        !value.is_number())
      return fields.Fail("logit_bias", "must map token ids to numbers");
    request->sampling.logit_bias.push_back({static_cast<int32_t>(id), value.get<double>()});
  }
}

void ReadSampling(const Service& service, JsonFields& fields, CompletionParams* params) {
  SamplingParams& sampling = params->request.sampling;
  sampling.temperature = fields.Number("temperature", service.default_temperature, 0.0, 100.0);
  sampling.top_p = fields.Number("top_p", 1.0, 0.0, 1.0);
  if (sampling.top_p == 0.0) sampling.top_k = 1, sampling.top_p = 1.0;
  const int64_t top_k = fields.Integer("top_k", 0, -1, kMaxTokens);
  if (top_k > 0) sampling.top_k = top_k;
  sampling.min_p = fields.Number("min_p", 0.0, 0.0, 1.0);
  sampling.frequency_penalty = fields.Number("frequency_penalty", 0.0, -2.0, 2.0);
  sampling.presence_penalty = fields.Number("presence_penalty", 0.0, -2.0, 2.0);
  sampling.repetition_penalty = fields.Number("repetition_penalty", 1.0, 0.01, 100.0);
  sampling.penalty_last_n = -1;
  params->seeded = fields.Get("seed") != nullptr;
  const int64_t seed = fields.Integer("seed", 0, std::numeric_limits<int64_t>::min(),
                                      std::numeric_limits<int64_t>::max());
  sampling.seed = params->seeded ? static_cast<uint64_t>(seed) : FreshSeed();
  ReadLogitBias(fields, &params->request);
}

void ReadStreamOptions(JsonFields& fields, CompletionParams* params) {
  params->stream = fields.Bool("stream", false);
  const Json* options = fields.Get("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.Fail("stream_options", "must be an object");
  for (const auto& [name, value] : options->items()) {
    const bool usage = name == "include_usage";
    if (!usage && name != "include_obfuscation")
      return fields.Fail("stream_options", name + " is not supported");
    if (!value.is_boolean()) return fields.Fail("stream_options", name + " must be true or false");
    if (usage) params->include_usage = value.get<bool>();
  }
}

// OpenAI's fields that change nothing here, whatever their value.
void IgnoreFields(JsonFields& fields) {
  for (const char* name : {"model", "store", "metadata", "service_tier", "safety_identifier",
                           "prompt_cache_key", "prompt_cache_retention"})
    fields.Ignore(name);
}

}  // namespace

void ReadScheduling(const ModelCall& call, JsonFields& fields, Request* request) {
  const std::string header = call.request.Field("x-lull-priority");
  const std::string name = fields.String("priority", header.empty() ? "interactive" : header);
  if (name == "interactive")
    request->priority = Priority::kInteractive;
  else if (name == "batch")
    request->priority = Priority::kBatch;
  else if (name == "background")
    request->priority = Priority::kBackground;
  else
    fields.Fail("priority", "must be interactive, batch or background");
  request->deadline_ms = fields.Integer("deadline_ms", 0, 1, kMaxDeadlineMs);
  const std::string user = fields.String("user", "");
  request->account = call.request.account.empty() ? user.substr(0, 256) : call.request.account;
}

uint64_t FreshSeed() {
  static std::atomic<uint64_t> next{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return static_cast<uint64_t>(now) * 0x9E3779B97F4A7C15ull + next.fetch_add(1);
}

Status ReadAdapters(const ModelCall& call, const Json* lora, Request* request) {
  if (call.service.adapters == nullptr) {
    if (lora == nullptr) return Status();
    return Status(ErrorCode::kUsage, "lora: this server has no adapters", "lora");
  }
  if (lora == nullptr && !call.served->own) return Status();
  if (!call.served->own)
    return Status(ErrorCode::kUsage, "lora: adapters are of the server's own model", "lora");
  LULL_ASSIGN_OR_RETURN(request->adapters,
                        call.service.adapters->Choose(*call.served->model, call.adapter, lora));
  return Status();
}

CompletionParams ReadCompletionParams(const ModelCall& call, JsonFields& fields) {
  CompletionParams params;
  IgnoreFields(fields);
  ReadSampling(call.service, fields, &params);
  const int64_t max_tokens = fields.Integer("max_tokens", 0, 1, kMaxTokens);
  params.request.max_new_tokens =
      fields.Integer("max_completion_tokens", max_tokens, 1, kMaxTokens);
  params.request.ignore_eog = fields.Bool("ignore_eos", false);
  params.return_token_ids = fields.Bool("return_token_ids", false);
  ReadStreamOptions(fields, &params);
  ReadStop(fields, &params.request);
  ReadScheduling(call, fields, &params.request);
  const Status adapted = ReadAdapters(call, fields.Get("lora"), &params.request);
  if (!adapted.ok()) fields.Fail(adapted.error());
  params.n = static_cast<int>(fields.Integer("n", 1, 1, kMaxChoices));
  if (fields.Integer("best_of", params.n, 1, kMaxChoices) != params.n)
    fields.Fail("best_of", "only the value of n is supported");
  return params;
}

void ReadLogprobs(JsonFields& fields, CompletionParams* params) {
  const Json* logprobs = fields.Get("logprobs");
  if (logprobs == nullptr) return;
  if (logprobs->is_boolean()) {
    params->logprobs = logprobs->get<bool>();
  } else {
    params->top_logprobs = static_cast<int>(fields.Integer("logprobs", 0, 0, kMaxLogprobs));
    params->logprobs = true;
  }
  params->request.logprobs = params->logprobs ? std::max(params->top_logprobs, 1) : 0;
}

void ReadTopLogprobs(JsonFields& fields, CompletionParams* params) {
  if (fields.Get("top_logprobs") == nullptr) return;
  const auto top = static_cast<int>(fields.Integer("top_logprobs", 0, 0, kMaxLogprobs));
  if (top == 0) return;
  if (!params->logprobs) return fields.Fail("top_logprobs", "needs logprobs: true");
  params->top_logprobs = top;
  params->request.logprobs = top;
}

Result<std::vector<Request>> ToChoices(const ServedModel& served, const CompletionParams& params,
                                       std::vector<std::vector<int32_t>> prompts) {
  std::vector<Request> choices;
  for (std::vector<int32_t>& prompt : prompts) {
    for (int i = 0; i < params.n; ++i) {
      Request request = params.request;
      request.prompt_tokens = prompt;
      request.sampling.seed += static_cast<uint64_t>(i);
      if (request.max_new_tokens == 0)
        request.max_new_tokens = std::max<int64_t>(
            served.engine->max_context_tokens() - static_cast<int64_t>(prompt.size()), 1);
      if (params.new_constraint) {
        LULL_ASSIGN_OR_RETURN(request.constraint, params.new_constraint());
      }
      choices.push_back(std::move(request));
    }
  }
  return choices;
}

}  // namespace lull
