#include "service/ollama/options.h"

#include <algorithm>
#include <limits>

#include "service/completion_params.h"
#include "service/ollama/ollama.h"

namespace lull {
namespace {

constexpr int64_t kMany = int64_t{1} << 30;
constexpr size_t kMaxStopStrings = 16;

void ReadStop(JsonFields& options, Request* request) {
  const Json* stop = options.Get("stop");
  if (stop == nullptr) return;
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  if (list.size() > kMaxStopStrings)
    return options.Fail("stop", "must be an array of at most 16 strings");
  for (const Json& entry : list) {
    if (!entry.is_string()) return options.Fail("stop", "must be an array of strings");
    // An empty one never stops Ollama.
    if (!entry.get_ref<const std::string&>().empty()) request->stop.push_back(entry);
  }
}

// Defaults are Ollama's.
void ReadSampling(const Service& service, JsonFields& options, SamplingParams* sampling) {
  sampling->temperature = options.Number("temperature", service.ollama_temperature, 0.0, 100.0);
  sampling->top_k = std::max<int64_t>(options.Integer("top_k", 40, -kMany, kMany), 0);
  sampling->top_p = options.Number("top_p", 0.9, 0.0, 1.0);
  if (sampling->top_p == 0.0) sampling->top_k = 1, sampling->top_p = 1.0;
  sampling->min_p = options.Number("min_p", 0.0, 0.0, 1.0);
  sampling->repetition_penalty = options.Number("repeat_penalty", 1.1, 0.01, 100.0);
  sampling->presence_penalty = options.Number("presence_penalty", 0.0, -2.0, 2.0);
  sampling->frequency_penalty = options.Number("frequency_penalty", 0.0, -2.0, 2.0);
  sampling->penalty_last_n = options.Integer("repeat_last_n", 64, -1, kMany);
  if (sampling->penalty_last_n == 0) {  // no look back: no penalties
    sampling->repetition_penalty = 1.0;
    sampling->presence_penalty = sampling->frequency_penalty = 0.0;
    sampling->penalty_last_n = 64;
  }
  const int64_t seed = options.Integer("seed", -1, std::numeric_limits<int64_t>::min(),
                                       std::numeric_limits<int64_t>::max());
  sampling->seed = seed < 0 ? FreshSeed() : static_cast<uint64_t>(seed);
}

void ReadOptions(const Service& service, JsonFields& options, OllamaParams* params) {
  ReadSampling(service, options, &params->request.sampling);
  ReadStop(options, &params->request);
  params->request.max_new_tokens =
      std::max<int64_t>(options.Integer("num_predict", -1, -kMany, kMany), 0);
  params->num_ctx = options.Integer("num_ctx", 0, 0, kMany);
}

void ReadThink(JsonFields& fields, OllamaParams* params) {
  const Json* think = fields.Get("think");
  if (think == nullptr) return;
  params->think = *think != false;
  if (think->is_string())
    params->think_level = think->get<std::string>();
  else if (!think->is_boolean())
    fields.Fail("think", "must be true, false or a level");
}

}  // namespace

OllamaParams ReadOllamaParams(const Service& service, JsonFields& fields) {
  OllamaParams params;
  params.model = ReadModelName(fields);
  params.keep_alive_ms = ReadKeepAlive(fields);
  params.stream = fields.Bool("stream", true);
  params.truncate = fields.Bool("truncate", true);
  ReadThink(fields, &params);
  params.logprobs = fields.Bool("logprobs", false);
  params.top_logprobs = static_cast<int>(fields.Integer("top_logprobs", 0, 0, 20));
  if (params.logprobs) params.request.logprobs = std::max(params.top_logprobs, 1);
  if (const Json* format = fields.Get("format"); format != nullptr && *format != "") {
    if (*format != "json" && !format->is_object())
      fields.Fail("format", "must be \"json\" or a JSON schema");
    params.format = *format;
  }
  static const Json kNone = Json::object();
  const Json* given = fields.Get("options");
  if (given != nullptr && !given->is_object()) fields.Fail("options", "must be an object");
  JsonFields options(given != nullptr && given->is_object() ? *given : kNone);
  ReadOptions(service, options, &params);
  if (const Status status = options.FirstError(); !status.ok())
    fields.Fail(("options." + status.error().where).c_str(), status.error().message);
  return params;
}

int64_t ContextTokens(const OllamaParams& params, const Engine& engine) {
  const int64_t most = engine.max_context_tokens();
  return params.num_ctx == 0 ? most : std::min(params.num_ctx, most);
}

}  // namespace lull
