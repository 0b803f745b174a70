#include "service/generation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>

#include "engine/runtime_rep.h"
#include "service/status_map.h"

namespace lull {
namespace {

constexpr int kMaxStopStrings = 16;
constexpr int kMaxLogprobs = 20;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string NextId(const char* prefix) {
  static std::atomic<uint64_t> next{0};
  return prefix + std::to_string(UnixSeconds()) + "-" + std::to_string(next.fetch_add(1));
}

const char* OpenAiReason(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

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

int64_t Characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

// OpenAI's fields that change nothing here, whatever their value.
void IgnoreFields(JsonFields& fields) {
  for (const char* name : {"model", "user", "store", "metadata", "service_tier",
                           "safety_identifier", "prompt_cache_key", "parallel_tool_calls"})
    fields.Ignore(name);
}

// Fields of which only the value that asks for nothing is supported.
void ReadNeutralFields(JsonFields& fields) {
  if (const Json* tools = fields.Get("tools");
      tools != nullptr && !(tools->is_array() && tools->empty()))
    fields.Fail("tools", "not supported");
  if (const Json* format = fields.Get("response_format"); format != nullptr) {
    const bool text = format->is_object() && format->value("type", Json()) == "text";
    if (!text) fields.Fail("response_format", "only {\"type\": \"text\"} is supported");
  }
  if (fields.Integer("n", 1, 1, 1 << 20) != 1)
    fields.Fail("n", "only 1 answer per request is supported");
  if (fields.Integer("best_of", 1, 1, 1 << 20) != 1) fields.Fail("best_of", "only 1 is supported");
}

// Different for every request of this server, and for the next server.
uint64_t FreshSeed() {
  static std::atomic<uint64_t> next{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return static_cast<uint64_t>(now) * 0x9E3779B97F4A7C15ull + next.fetch_add(1);
}

// Turns the events of one request into HTTP. Used from the engine's thread only.
class Answering {
 public:
  Answering(ServedModelPtr served, const CompletionParams& params,
            std::shared_ptr<AnswerShape> shape, ResponderPtr responder)
      : served_(std::move(served)),
        stream_(params.stream),
        include_usage_(params.include_usage),
        logprobs_(params.request.logprobs > 0),
        shape_(std::move(shape)),
        responder_(std::move(responder)),
        id_(NextId(shape_->id_prefix())),
        created_(UnixSeconds()) {}

  void OnEvent(const Event& event) {
    if (event.kind == Event::Kind::kToken) {
      if (logprobs_) shape_->AddLogprobs(*served_->model, event, text_characters_, &logprob_rows_);
      text_characters_ += Characters(event.text);
      if (stream_)
        StreamPiece(event.text);
      else
        text_ += event.text;
      return;
    }
    if (event.reason == FinishReason::kError) return Fail(event.error);
    if (event.reason == FinishReason::kCancelled)
      return Fail({ErrorCode::kCancelled, "cancelled", "", ""});
    if (stream_)
      FinishStream(event);
    else
      FinishWhole(event);
  }

 private:
  Json Envelope(const char* object, Json choices) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", served_->id},
            {"choices", std::move(choices)}};
  }
  static Json Usage(const RequestStats& stats) {
    return {{"prompt_tokens", stats.prompt_tokens},
            {"completion_tokens", stats.new_tokens},
            {"total_tokens", stats.prompt_tokens + stats.new_tokens}};
  }
  // What the request cost, beside the standard fields.
  static Json Receipt(const RequestStats& stats) {
    return {{"queue_ms", stats.queue_ms},
            {"prefill_ms", stats.prefill_ms},
            {"decode_ms", stats.decode_ms},
            {"cpu_ms", stats.cpu_ms},
            {"kv_bytes", stats.kv_bytes}};
  }
  Json TakeLogprobs() { return logprobs_ ? std::exchange(logprob_rows_, Json()) : Json(nullptr); }

  void Fail(const Error& error) {
    if (!started_) return responder_->Send(ErrorResponse(error));
    responder_->Write("data: " + ErrorResponse(error).body + "\n\n");
    responder_->End();
  }
  void EnsureStarted() {
    if (std::exchange(started_, true)) return;
    responder_->StartStream("text/event-stream");
    Json choice = shape_->Piece("", nullptr, true);
    choice["finish_reason"] = nullptr;
    SendChunk(Json::array({choice}), Json());
  }
  void SendChunk(Json choices, const Json& usage) {
    Json chunk = Envelope(shape_->stream_object(), std::move(choices));
    if (include_usage_) chunk["usage"] = usage;
    responder_->Write("data: " + Dump(chunk) + "\n\n");
  }
  void StreamPiece(const std::string& text) {
    EnsureStarted();
    if (text.empty() && !logprobs_) return;
    Json choice = shape_->Piece(text, TakeLogprobs(), false);
    choice["finish_reason"] = nullptr;
    SendChunk(Json::array({choice}), Json());
  }
  void FinishStream(const Event& event) {
    if (!event.text.empty()) StreamPiece(event.text);
    EnsureStarted();
    Json choice = shape_->Piece("", nullptr, false);
    choice["finish_reason"] = OpenAiReason(event.reason);
    SendChunk(Json::array({choice}), Json());
    if (include_usage_) SendChunk(Json::array(), Usage(event.stats));
    responder_->Write("data: [DONE]\n\n");
    responder_->End();
  }
  void FinishWhole(const Event& event) {
    text_ += event.text;
    Json choice = shape_->Whole(text_, TakeLogprobs());
    choice["finish_reason"] = OpenAiReason(event.reason);
    Json body = Envelope(shape_->whole_object(), Json::array({choice}));
    body["usage"] = Usage(event.stats);
    body["lull"] = Receipt(event.stats);
    responder_->Send({200, "application/json", Dump(body), {}});
  }

  const ServedModelPtr served_;
  const bool stream_, include_usage_, logprobs_;
  std::shared_ptr<AnswerShape> shape_;
  ResponderPtr responder_;
  const std::string id_;
  const int64_t created_;
  bool started_ = false;
  int64_t text_characters_ = 0;  // of the answer so far
  std::string text_;
  Json logprob_rows_;
};

}  // namespace

CompletionParams ReadCompletionParams(const Service& service, JsonFields& fields) {
  constexpr int64_t kMaxTokens = int64_t{1} << 30;
  CompletionParams params;
  SamplingParams& sampling = params.request.sampling;
  IgnoreFields(fields);
  ReadNeutralFields(fields);
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
  const bool seeded = fields.Get("seed") != nullptr;
  const int64_t seed = fields.Integer("seed", 0, std::numeric_limits<int64_t>::min(),
                                      std::numeric_limits<int64_t>::max());
  sampling.seed = seeded ? static_cast<uint64_t>(seed) : FreshSeed();
  const int64_t max_tokens = fields.Integer("max_tokens", 0, 1, kMaxTokens);
  params.request.max_new_tokens =
      fields.Integer("max_completion_tokens", max_tokens, 1, kMaxTokens);
  params.request.ignore_eog = fields.Bool("ignore_eos", false);
  params.stream = fields.Bool("stream", false);
  if (const Json* options = fields.Get("stream_options"); options != nullptr) {
    if (!options->is_object())
      fields.Fail("stream_options", "must be an object");
    else if (const auto it = options->find("include_usage"); it != options->end())
      params.include_usage = it->is_boolean() && it->get<bool>();
  }
  ReadStop(fields, &params.request);
  ReadLogitBias(fields, &params.request);
  return params;
}

void WithModel(Service& service, const HttpRequest& request, const ResponderPtr& responder,
               ModelHandler handle) {
  Result<Json> parsed = ParseJson(request.body, {}, service.runtime->rep().SingleThreaded());
  if (!parsed.ok()) return SendError(service, *responder, parsed.error());
  auto body = std::make_shared<Json>(std::move(*parsed));
  std::string name;
  if (body->is_object() && body->contains("model") && (*body)["model"].is_string())
    name = (*body)["model"].get<std::string>();
  service.hub->Acquire(name, [&service, body, responder, handle](Result<ServedModelPtr> served) {
    const Status status =
        served.ok() ? handle(service, std::move(*served), *body, responder) : served.status();
    if (!status.ok()) SendError(service, *responder, status.error());
  });
}

void SubmitCompletion(Service& service, ServedModelPtr served, CompletionParams params,
                      std::shared_ptr<AnswerShape> shape, ResponderPtr responder) {
  Request& request = params.request;
  if (request.logprobs > kMaxLogprobs)
    return SendError(service, *responder,
                     {ErrorCode::kUsage, "at most 20 logprobs", "logprobs", ""});
  if (request.max_new_tokens == 0) {
    const int64_t room =
        served->engine->max_context_tokens() - static_cast<int64_t>(request.prompt_tokens.size());
    request.max_new_tokens = std::max<int64_t>(room, 1);
  }
  auto answering = std::make_shared<Answering>(served, params, shape, responder);
  const Result<RequestId> id = served->engine->Submit(
      std::move(request), [answering](const Event& event) { answering->OnEvent(event); });
  if (!id.ok()) {
    Error error = id.error();
    if (error.where == "prompt_tokens") error.where = shape->prompt_field();
    return SendError(service, *responder, error);
  }
  responder->OnDisconnect([served, id = *id] { served->engine->Cancel(id); });
}

}  // namespace lull
