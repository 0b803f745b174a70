#include "service/generation.h"

namespace lull {
namespace {

class TextShape : public AnswerShape {
 public:
  Json Whole(const std::string& text, const Json& logprobs) const override {
    return {{"index", 0}, {"text", text}, {"logprobs", logprobs}};
  }
  Json Piece(const std::string& text, const Json& logprobs, bool) const override {
    return {{"index", 0}, {"text", text}, {"logprobs", logprobs}};
  }
  const char* whole_object() const override { return "text_completion"; }
  const char* stream_object() const override { return "text_completion"; }
  const char* id_prefix() const override { return "cmpl-"; }
  const char* prompt_field() const override { return "prompt"; }

  void AddLogprobs(const Model& model, const Event& event, int64_t text_offset,
                   Json* logprobs) const override {
    if (logprobs->is_null())
      *logprobs = {{"tokens", Json::array()},
                   {"token_logprobs", Json::array()},
                   {"top_logprobs", Json::array()},
                   {"text_offset", Json::array()}};
    Json top = Json::object();
    for (const TokenLogprob& entry : event.top)
      top[model.Detokenize({entry.id}, true)] = entry.logprob;
    (*logprobs)["tokens"].push_back(model.Detokenize({event.token}, true));
    (*logprobs)["token_logprobs"].push_back(event.chosen.logprob);
    (*logprobs)["top_logprobs"].push_back(top);
    (*logprobs)["text_offset"].push_back(text_offset);
  }
};

// A string, or an array of token ids taken as they are.
Result<std::vector<int32_t>> PromptTokens(const Model& model, const Json* prompt) {
  if (prompt == nullptr) return Status(ErrorCode::kUsage, "prompt: missing", "prompt");
  std::vector<int32_t> tokens;
  if (prompt->is_array() && prompt->size() == 1 && prompt->front().is_string())
    prompt = &prompt->front();
  if (prompt->is_string()) {
    TokenizeOptions options;
    options.add_bos = true;
    return model.Tokenize(prompt->get<std::string>(), options);
  }
  if (!prompt->is_array())
    return Status(ErrorCode::kUsage, "prompt: must be a string or an array of token ids", "prompt");
  for (const Json& id : *prompt) {
    if (!id.is_number_integer())
      return Status(ErrorCode::kUnsupported,
                    "prompt: must be one prompt, as a string or as token ids", "prompt");
    const int64_t value =
        id.is_number_unsigned() && id.get<uint64_t>() > INT64_MAX ? -1 : id.get<int64_t>();
    if (value < 0 || value >= model.info().vocab_size)
      return Status(ErrorCode::kUsage,
                    "prompt: token id " + id.dump() + " is not in the vocabulary", "prompt");
    tokens.push_back(static_cast<int32_t>(value));
  }
  return tokens;
}

Status Handle(Service& service, ServedModelPtr served, const Json& body,
              const ResponderPtr& responder) {
  JsonFields fields(body);
  CompletionParams params = ReadCompletionParams(service, fields);
  params.request.logprobs = static_cast<int>(fields.Integer("logprobs", 0, 0, 20));
  if (params.request.max_new_tokens == 0)
    params.request.max_new_tokens = 16;  // OpenAI's default here
  const Json* prompt = fields.Get("prompt");
  if (fields.Bool("echo", false)) fields.Fail("echo", "not supported");
  LULL_RETURN_IF_ERROR(fields.Finish());
  LULL_ASSIGN_OR_RETURN(params.request.prompt_tokens, PromptTokens(*served->model, prompt));
  SubmitCompletion(service, std::move(served), std::move(params), std::make_shared<TextShape>(),
                   responder);
  return Status();
}

}  // namespace

void HandleCompletions(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, Handle);
}

}  // namespace lull
