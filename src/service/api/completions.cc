#include "service/grammar_params.h"
#include "service/openai_answer.h"

namespace lull {
namespace {

using Tokens = std::vector<int32_t>;

constexpr size_t kMaxEngineRequests = 256;  // for one client's request

class PlainText : public ChoiceText {
 public:
  explicit PlainText(std::string echo) : text_(echo), echo_(std::move(echo)) {}
  Json Opening() const override { return {{"text", echo_}}; }
  std::vector<Json> Push(const std::string& text) override {
    text_ += text;
    if (text.empty()) return {};
    return {Json{{"text", text}}};
  }
  Json Ending() const override { return {{"text", ""}}; }
  Json Whole() const override { return {{"text", text_}}; }

 private:
  std::string text_;
  const std::string echo_;
};

class TextForm : public AnswerForm {
 public:
  explicit TextForm(std::vector<std::string> echoes) : echoes_(std::move(echoes)) {}
  std::unique_ptr<ChoiceText> NewChoice(size_t prompt) const override {
    return std::make_unique<PlainText>(echoes_.empty() ? "" : echoes_[prompt]);
  }
  const char* whole_object() const override { return "text_completion"; }
  const char* stream_object() const override { return "text_completion"; }
  const char* id_prefix() const override { return "cmpl-"; }
  const char* prompt_field() const override { return "prompt"; }
  bool prompt_ids_in_choice() const override { return true; }

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

 private:
  const std::vector<std::string> echoes_;  // of every prompt, or none
};

Result<Tokens> TokensOf(const Model& model, const Json& ids) {
  Tokens tokens;
  for (const Json& id : ids) {
    if (!id.is_number_integer())
      return Status(ErrorCode::kUsage, "prompt: token ids must be integers", "prompt");
    const int64_t value =
        id.is_number_unsigned() && id.get<uint64_t>() > INT64_MAX ? -1 : id.get<int64_t>();
    if (value < 0 || value >= model.info().vocab_size)
      return Status(ErrorCode::kUsage,
                    "prompt: token id " + id.dump() + " is not in the vocabulary", "prompt");
    tokens.push_back(static_cast<int32_t>(value));
  }
  return tokens;
}

struct Prompt {
  Tokens tokens;
  std::string text;  // as echo shows it
};

// A string, or an array of token ids taken as they are.
Result<Prompt> OnePrompt(const Model& model, const Json& prompt) {
  if (prompt.is_array()) {
    LULL_ASSIGN_OR_RETURN(Tokens tokens, TokensOf(model, prompt));
    std::string text = model.Detokenize(tokens, false);
    return Prompt{std::move(tokens), std::move(text)};
  }
  if (!prompt.is_string())
    return Status(ErrorCode::kUsage,
                  "prompt: must be a string, an array of token ids, or an array of those",
                  "prompt");
  TokenizeOptions options;
  options.add_bos = true;
  LULL_ASSIGN_OR_RETURN(Tokens tokens, model.Tokenize(prompt.get<std::string>(), options));
  return Prompt{std::move(tokens), prompt.get<std::string>()};
}

// n: answers to each.
Result<std::vector<Prompt>> Prompts(const Model& model, const Json* prompt, int n) {
  if (prompt == nullptr) return Status(ErrorCode::kUsage, "prompt: missing", "prompt");
  const bool many = prompt->is_array() && !prompt->empty() && !prompt->front().is_number();
  const size_t count = (many ? prompt->size() : 1) * static_cast<size_t>(n);
  if (count > kMaxEngineRequests)  // before any is tokenized
    return Status(ErrorCode::kUsage,
                  "prompts times n are " + std::to_string(count) + ", at most " +
                      std::to_string(kMaxEngineRequests),
                  n > 1 ? "n" : "prompt", "send several requests");
  std::vector<Prompt> prompts;
  for (const Json& entry : many ? *prompt : Json::array({*prompt})) {
    LULL_ASSIGN_OR_RETURN(Prompt one, OnePrompt(model, entry));
    prompts.push_back(std::move(one));
  }
  return prompts;
}

Status Handle(ModelCall& call) {
  JsonFields fields(call.body);
  CompletionParams params = ReadCompletionParams(call, fields);
  ReadLogprobs(fields, &params);
  if (params.request.max_new_tokens == 0)
    params.request.max_new_tokens = 16;  // OpenAI's default here
  const Json* prompt = fields.Get("prompt");
  if (const auto grammar = ReadGrammar(fields))
    params.new_constraint = [served = call.served, grammar = *grammar] {
      return served->model->NewConstraint(grammar);
    };
  const bool echo = fields.Bool("echo", false);
  if (echo && params.logprobs)
    fields.Fail("echo", "the prompt's logprobs are not computed; leave out echo or logprobs");
  LULL_RETURN_IF_ERROR(fields.Finish());
  LULL_ASSIGN_OR_RETURN(std::vector<Prompt> prompts,
                        Prompts(*call.served->model, prompt, params.n));
  std::vector<Tokens> tokens;
  std::vector<std::string> echoes;
  for (Prompt& one : prompts) {
    tokens.push_back(std::move(one.tokens));
    if (echo) echoes.push_back(std::move(one.text));
  }
  SubmitCompletion(call, params, std::move(tokens), std::make_shared<TextForm>(std::move(echoes)));
  return Status();
}

}  // namespace

void HandleCompletions(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, Handle);
}

}  // namespace lull
