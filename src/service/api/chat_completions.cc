#include <algorithm>

#include "service/openai_answer.h"

namespace lull {
namespace {

class ChatText : public ChoiceText {
 public:
  Json Opening() const override { return {{"delta", {{"role", "assistant"}, {"content", ""}}}}; }
  std::vector<Json> Push(const std::string& text) override {
    text_ += text;
    if (text.empty()) return {};
    return {Json{{"delta", {{"content", text}}}}};
  }
  Json Ending() const override { return {{"delta", Json::object()}}; }
  Json Whole() const override { return {{"message", {{"role", "assistant"}, {"content", text_}}}}; }

 private:
  std::string text_;
};

class ChatForm : public AnswerForm {
 public:
  explicit ChatForm(int top_logprobs) : top_logprobs_(static_cast<size_t>(top_logprobs)) {}

  std::unique_ptr<ChoiceText> NewChoice(size_t) const override {
    return std::make_unique<ChatText>();
  }
  const char* whole_object() const override { return "chat.completion"; }
  const char* stream_object() const override { return "chat.completion.chunk"; }
  const char* id_prefix() const override { return "chatcmpl-"; }
  const char* prompt_field() const override { return "messages"; }
  bool prompt_ids_in_choice() const override { return false; }

  void AddLogprobs(const Model& model, const Event& event, int64_t, Json* logprobs) const override {
    if (logprobs->is_null()) *logprobs = {{"content", Json::array()}};
    Json entry = Entry(model, event.chosen);
    entry["top_logprobs"] = Json::array();
    for (size_t i = 0; i < std::min(top_logprobs_, event.top.size()); ++i)
      entry["top_logprobs"].push_back(Entry(model, event.top[i]));
    (*logprobs)["content"].push_back(entry);
  }

 private:
  static Json Entry(const Model& model, const TokenLogprob& token) {
    const std::string text = model.Detokenize({token.id}, true);
    Json bytes = Json::array();
    for (const unsigned char byte : text) bytes.push_back(byte);
    return {{"token", text}, {"logprob", token.logprob}, {"bytes", bytes}};
  }

  const size_t top_logprobs_;
};

// Text of a message's content: a string, or the text parts of an array.
Status FlattenContent(Json* message, size_t index) {
  const std::string where = "messages[" + std::to_string(index) + "]";
  if (!message->is_object()) return Status(ErrorCode::kUsage, "a message must be an object", where);
  if (!message->contains("role") || !(*message)["role"].is_string())
    return Status(ErrorCode::kUsage, "role must be a string", where + ".role");
  Json& content = (*message)["content"];
  if (content.is_string()) return Status();
  if (content.is_null()) {
    content = "";
    return Status();
  }
  if (!content.is_array())
    return Status(ErrorCode::kUsage, "content must be a string or an array of parts", where);
  std::string text;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && part.contains("type") && part["type"] == "text" &&
                         part.contains("text") && part["text"].is_string();
    if (!is_text)
      return Status(ErrorCode::kUnsupported, "only text parts are supported", where + ".content");
    text += part["text"].get<std::string>();
  }
  content = text;
  return Status();
}

Result<std::vector<int32_t>> PromptTokens(const Model& model, const Json& messages,
                                          const Json* variables) {
  if (!messages.is_array() || messages.empty())
    return Status(ErrorCode::kUsage, "messages: must be a non-empty array", "messages");
  Json copy = messages;
  for (size_t i = 0; i < copy.size(); ++i) LULL_RETURN_IF_ERROR(FlattenContent(&copy[i], i));
  const auto dump = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  LULL_ASSIGN_OR_RETURN(
      const std::string prompt,
      model.RenderChat(dump(copy), variables == nullptr ? "" : dump(*variables), true));
  return model.TokenizePrompt(prompt);
}

// Fields of which only the value that asks for nothing is supported.
void ReadNeutralFields(JsonFields& fields) {
  if (const Json* tools = fields.Get("tools");
      tools != nullptr && !(tools->is_array() && tools->empty()))
    fields.Fail("tools", "not supported");
  fields.Ignore("parallel_tool_calls");
  if (const Json* format = fields.Get("response_format"); format != nullptr) {
    const bool text = format->is_object() && format->value("type", Json()) == "text";
    if (!text) fields.Fail("response_format", "only {\"type\": \"text\"} is supported");
  }
}

Status Handle(ModelCall& call) {
  JsonFields fields(call.body);
  CompletionParams params = ReadCompletionParams(call, fields);
  ReadNeutralFields(fields);
  ReadLogprobs(fields, &params);
  ReadTopLogprobs(fields, &params);
  const Json* messages = fields.Get("messages");
  const Json* variables = fields.Get("chat_template_kwargs");
  if (variables != nullptr && !variables->is_object())
    fields.Fail("chat_template_kwargs", "must be an object");
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (messages == nullptr) return Status(ErrorCode::kUsage, "messages: missing", "messages");
  LULL_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                        PromptTokens(*call.served->model, *messages, variables));
  SubmitCompletion(call, params, {std::move(tokens)},
                   std::make_shared<ChatForm>(params.top_logprobs));
  return Status();
}

}  // namespace

void HandleChatCompletions(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, Handle);
}

}  // namespace lull
