#include "service/ollama/answer.h"

#include <utility>

#include "lull/grammar.h"
#include "service/acquire.h"
#include "service/adapters.h"
#include "service/chat_setup.h"
#include "service/completion_params.h"
#include "service/ollama/call_collector.h"
#include "service/ollama/ollama.h"
#include "service/receipt.h"
#include "service/runtime_context.h"

namespace lull {
namespace {

using Steady = std::chrono::steady_clock;

int64_t Nanoseconds(Steady::duration time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}
int64_t NanosecondsOfMs(double ms) { return static_cast<int64_t>(ms * 1e6); }

std::string Now() { return Rfc3339(std::chrono::system_clock::now()); }

// The fields that hold text: {"message": {...}} or {"response": ...}.
Json TextFields(OllamaKind kind, OllamaText text) {
  if (kind == OllamaKind::kGenerate) {
    Json fields = {{"response", text.content}};
    if (!text.thinking.empty()) fields["thinking"] = text.thinking;
    return fields;
  }
  Json message = {{"role", "assistant"}, {"content", text.content}};
  if (!text.thinking.empty()) message["thinking"] = text.thinking;
  if (!text.calls.empty()) message["tool_calls"] = std::move(text.calls);
  return {{"message", std::move(message)}};
}

class OllamaWriter : public AnswerWriter {
 public:
  OllamaWriter(const OllamaCall& call, OllamaKind kind, std::string id,
               std::vector<int32_t> context, bool show_context)
      : service_(call.call.service),
        served_(call.call.served),
        responder_(call.call.responder),
        kind_(kind),
        id_(std::move(id)),
        model_(call.params.model),
        stream_(call.params.stream),
        show_context_(show_context),
        logprobs_(call.params.logprobs),
        top_logprobs_(static_cast<size_t>(call.params.top_logprobs)),
        arrived_(call.arrived),
        load_time_(call.load_time),
        collector_(call.params.style),
        context_(std::move(context)) {}

  void OnToken(size_t, const Event& event) override {
    if (show_context_) context_.push_back(event.token);
    if (logprobs_) logprob_rows_.push_back(LogprobsOf(event));
    Take(event.text);
  }

  void OnFinish(size_t, const Event& event, const RequestStats* total) override {
    Take(event.text);
    collector_.Finish(&text_);
    SendNews();
    Json last = Envelope();
    last["done"] = true;
    last["done_reason"] = event.reason == FinishReason::kLength ? "length" : "stop";
    if (show_context_) last["context"] = context_;
    AddDurations(total == nullptr ? event.stats : *total, &last);
    last["lull"] = Receipt(id_, total == nullptr ? event.stats : *total);
    if (!stream_)
      return responder_->Send({200, "application/json", Dump(last), {{"X-Request-Id", id_}}});
    WriteLine(last);
    responder_->End();
  }

  void OnError(const Error& error) override {
    if (!started_) return SendError(service_, *responder_, error);
    responder_->Write(OllamaErrorBody(error) + "\n");
    responder_->End();
  }

 private:
  // A piece of the answer: sent, or kept for the whole.
  void Take(const std::string& text) {
    collector_.Push(text, &text_);
    SendNews();
  }
  void SendNews() {
    const bool news = !text_.empty() || !logprob_rows_.empty();
    if (stream_ && news) WriteLine(Envelope());
  }

  // Takes what has not been sent yet.
  Json Envelope() {
    Json json = {{"model", model_}, {"created_at", Now()}};
    json.update(TextFields(kind_, std::exchange(text_, {})));
    if (logprobs_ && !logprob_rows_.empty())
      json["logprobs"] = std::exchange(logprob_rows_, Json::array());
    json["done"] = false;
    return json;
  }

  void AddDurations(const RequestStats& stats, Json* json) const {
    (*json)["total_duration"] = Nanoseconds(Steady::now() - arrived_);
    (*json)["load_duration"] = Nanoseconds(load_time_);
    (*json)["prompt_eval_count"] = stats.prompt_tokens;
    (*json)["prompt_eval_duration"] = NanosecondsOfMs(stats.prefill_ms);
    (*json)["eval_count"] = stats.new_tokens;
    (*json)["eval_duration"] = NanosecondsOfMs(stats.decode_ms);
  }

  Json LogprobOf(const TokenLogprob& token) const {
    return {{"token", served_->model->Detokenize({token.id}, true)}, {"logprob", token.logprob}};
  }
  Json LogprobsOf(const Event& event) const {
    Json row = LogprobOf(event.chosen);
    if (top_logprobs_ == 0) return row;
    row["top_logprobs"] = Json::array();
    for (size_t i = 0; i < std::min(top_logprobs_, event.top.size()); ++i)
      row["top_logprobs"].push_back(LogprobOf(event.top[i]));
    return row;
  }

  void WriteLine(const Json& json) {
    if (!std::exchange(started_, true))
      responder_->StartStream("application/x-ndjson", {{"X-Request-Id", id_}});
    responder_->Write(Dump(json) + "\n");
  }

  Service& service_;
  const ServedModelPtr served_;
  const ResponderPtr responder_;
  const OllamaKind kind_;
  const std::string id_;
  const std::string model_;
  const bool stream_, show_context_, logprobs_;
  const size_t top_logprobs_;
  const Steady::time_point arrived_;
  const Steady::duration load_time_;
  CallCollector collector_;
  std::vector<int32_t> context_;
  OllamaText text_;  // not sent yet
  Json logprob_rows_ = Json::array();
  bool started_ = false;
};

// What answers a request without a prompt: the model has been loaded, or let go.
void SendDone(Responder& responder, OllamaKind kind, const OllamaParams& params,
              const char* reason) {
  Json json = {{"model", params.model}, {"created_at", Now()}};
  json.update(TextFields(kind, {}));
  json["done"] = true;
  json["done_reason"] = reason;
  responder.Send({200, "application/json", Dump(json) + "\n", {}});
}

bool HasPrompt(OllamaKind kind, const Json& body) {
  const auto it = body.find(kind == OllamaKind::kChat ? "messages" : "prompt");
  return it != body.end() && !it->is_null() && !it->empty() && *it != "";
}

// One that is loaded goes; one that is not need not be loaded for that. With an adapter goes what
// it adapts.
Status Unload(Service& service, Responder& responder, OllamaKind kind, const OllamaParams& params) {
  const bool adapter = FindAdapter(service, params.model).has_value();
  const std::string name = adapter ? service.hub->own_name() : params.model;
  if (!service.hub->Unload(name) && service.catalog != nullptr)
    LULL_RETURN_IF_ERROR(service.catalog->Find(name).status());
  SendDone(responder, kind, params, "unload");
  return Status();
}

Status Begin(Service& service, const HttpRequest& request, const ResponderPtr& responder,
             OllamaKind kind, OllamaHandler handle) {
  const Steady::time_point arrived = Steady::now();
  LULL_ASSIGN_OR_RETURN(Json body, ParseJson(request.body, {}, TextContext(service)));
  const bool has_prompt = HasPrompt(kind, body);
  auto call = std::make_shared<OllamaCall>(
      OllamaCall{{service, nullptr, request, std::move(body), responder}, {}, arrived});
  call->call.request.body.clear();
  JsonFields fields(call->call.body);
  call->params = ReadOllamaParams(service, fields);
  LULL_RETURN_IF_ERROR(fields.FirstError());
  if (!has_prompt && call->params.keep_alive_ms == 0)
    return Unload(service, *responder, kind, call->params);
  ModelQuery query;
  query.name = call->params.model;
  query.keep_alive_ms = call->params.keep_alive_ms;
  query.exact = true;
  call->call.adapter = TakeAdapter(service, &query);
  AcquireModel(service, std::move(query), responder,
               [call, has_prompt, kind, handle](ServedModelPtr served) {
                 call->load_time = Steady::now() - call->arrived;
                 call->call.served = std::move(served);
                 if (has_prompt) return handle(*call);
                 SendDone(*call->call.responder, kind, call->params, "load");
                 return Status();
               });
  return Status();
}

}  // namespace

void WithOllamaModel(Service& service, const HttpRequest& request, const ResponderPtr& responder,
                     OllamaKind kind, OllamaHandler handle) {
  const Status status = Begin(service, request, responder, kind, handle);
  if (!status.ok()) SendError(service, *responder, status.error());
}

Result<Json> TemplateVariables(const OllamaCall& call) {
  if (call.params.think.value_or(false) && !Thinks(call.call.served->model->chat_template()))
    return Status(ErrorCode::kUnsupported, "'" + call.params.model + "' does not support thinking",
                  "think", "leave think out");
  Json variables = Json::object();
  if (call.params.think.has_value()) variables["enable_thinking"] = *call.params.think;
  SetEffort(call.params.think_level, &variables);
  return variables;
}

namespace {

// What `format` asks of the answer.
Status SetConstraint(const Model& model, const Json& format, Request* request) {
  if (format.is_null()) return Status();  // the tools' may be there
  GrammarSpec spec;
  if (format.is_object()) {
    spec.kind = GrammarSpec::Kind::kJsonSchema;
    spec.text = Dump(format);
  }
  LULL_ASSIGN_OR_RETURN(request->constraint, model.NewConstraint(spec));
  return Status();
}

}  // namespace

Status SubmitOllama(OllamaCall& call, OllamaKind kind, std::vector<int32_t> prompt_tokens,
                    bool show_context) {
  const int64_t context = ContextTokens(call.params, *call.call.served->engine);
  const int64_t room = context - static_cast<int64_t>(prompt_tokens.size());
  if (room < 1)
    return Status(ErrorCode::kContextOverflow,
                  "the prompt has " + std::to_string(prompt_tokens.size()) +
                      " tokens, the context " + std::to_string(context),
                  "prompt", "shorten the prompt, or raise num_ctx or lull serve --ctx");
  Request& request = call.params.request;
  request.max_new_tokens =
      request.max_new_tokens == 0 ? room : std::min(request.max_new_tokens, room);
  JsonFields fields(call.call.body);
  ReadScheduling(call.call, fields, &request);
  LULL_RETURN_IF_ERROR(fields.FirstError());
  LULL_RETURN_IF_ERROR(ReadAdapters(call.call, nullptr, &request));
  LULL_RETURN_IF_ERROR(SetConstraint(*call.call.served->model, call.params.format, &request));
  GenerationJob generation;
  generation.id = NextId(kind == OllamaKind::kChat ? "chat-" : "gen-");
  generation.stream = call.params.stream;
  generation.prompt_field = kind == OllamaKind::kChat ? "messages" : "prompt";
  std::vector<int32_t> shown = show_context ? prompt_tokens : std::vector<int32_t>();
  request.prompt_tokens = std::move(prompt_tokens);
  generation.choices.push_back(std::move(request));
  auto writer =
      std::make_shared<OllamaWriter>(call, kind, generation.id, std::move(shown), show_context);
  StartGeneration(call.call, std::move(generation), std::move(writer));
  return Status();
}

}  // namespace lull
