#include <algorithm>
#include <optional>

#include "service/chat_setup.h"
#include "service/grammar_params.h"
#include "service/openai_answer.h"

namespace lull {
namespace {

// A message: reasoning, text, and calls of the tools that were offered.
class ChatText : public ChoiceText {
 public:
  ChatText(const AnswerStyle& style, bool reasoning_is_text)
      : parser_(NewAnswerParser(style)), reasoning_is_text_(reasoning_is_text) {}

  Json Opening() const override { return {{"delta", {{"role", "assistant"}, {"content", ""}}}}; }
  std::vector<Json> Push(const std::string& text) override {
    std::vector<ToolPiece> pieces;
    parser_->Push(text, &pieces);
    return Deltas(pieces);
  }
  std::vector<Json> Finish() override {
    std::vector<ToolPiece> pieces;
    parser_->Finish(&pieces);
    return Deltas(pieces);
  }
  Json Ending() const override { return {{"delta", Json::object()}}; }
  Json Whole() const override {
    Json message = {{"role", "assistant"}, {"content", text_}};
    if (!reasoning_.empty()) message["reasoning_content"] = reasoning_;
    if (!calls_.empty()) {
      if (text_.empty()) message["content"] = nullptr;
      message["tool_calls"] = calls_;
    }
    return {{"message", std::move(message)}};
  }
  std::string FinishReasonFor(FinishReason reason) const override {
    if (reason == FinishReason::kLength) return "length";
    return calls_.empty() ? "stop" : "tool_calls";
  }

 private:
  std::vector<Json> Deltas(const std::vector<ToolPiece>& pieces) {
    std::vector<Json> deltas;
    for (const ToolPiece& piece : pieces) deltas.push_back({{"delta", Delta(piece)}});
    return deltas;
  }

  // Keeps the piece for the whole message, too.
  Json Delta(const ToolPiece& piece) {
    if (piece.kind == ToolPiece::Kind::kReasoning && !reasoning_is_text_) {
      reasoning_ += piece.text;
      return {{"reasoning_content", piece.text}};
    }
    if (piece.kind == ToolPiece::Kind::kText || piece.kind == ToolPiece::Kind::kReasoning) {
      text_ += piece.text;
      return {{"content", piece.text}};
    }
    Json call = {{"index", piece.call}};
    if (piece.kind == ToolPiece::Kind::kBegin) {
      const Json whole = {{"id", NextId("call_")},
                          {"type", "function"},
                          {"function", {{"name", piece.text}, {"arguments", ""}}}};
      calls_.push_back(whole);
      call.update(whole);
    } else {
      calls_.back()["function"]["arguments"].get_ref<std::string&>() += piece.text;
      call["function"] = {{"arguments", piece.text}};
    }
    return {{"tool_calls", Json::array({std::move(call)})}};
  }

  const std::unique_ptr<AnswerParser> parser_;
  const bool reasoning_is_text_;
  std::string text_, reasoning_;
  Json calls_ = Json::array();
};

class ChatForm : public AnswerForm {
 public:
  ChatForm(int top_logprobs, AnswerStyle style, bool reasoning_is_text)
      : top_logprobs_(static_cast<size_t>(top_logprobs)),
        style_(std::move(style)),
        reasoning_is_text_(reasoning_is_text) {}

  std::unique_ptr<ChoiceText> NewChoice(size_t) const override {
    return std::make_unique<ChatText>(style_, reasoning_is_text_);
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
  const AnswerStyle style_;
  const bool reasoning_is_text_;
};

// Whether reasoning stays in the text: reasoning_format "none", as llama-server has it.
bool KeepsReasoning(JsonFields& fields) {
  const std::string format = fields.String("reasoning_format", "auto");
  if (format != "auto" && format != "none" && format != "deepseek")
    fields.Fail("reasoning_format", "must be auto, deepseek or none");
  return format == "none";
}

Status Handle(ModelCall& call) {
  JsonFields fields(call.body);
  CompletionParams params = ReadCompletionParams(call, fields);
  ReadLogprobs(fields, &params);
  ReadTopLogprobs(fields, &params);
  const ToolParams tools = ReadToolParams(fields, /*flat=*/false);
  const std::optional<GrammarSpec> grammar = ReadGrammar(fields);
  const Json* messages = fields.Get("messages");
  const Json variables = ReadTemplateVariables(fields);
  const bool reasoning_is_text = KeepsReasoning(fields);
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (messages == nullptr) return Status(ErrorCode::kUsage, "messages: missing", "messages");
  LULL_ASSIGN_OR_RETURN(ChatSetup setup,
                        SetUpChat(call, *messages, tools, grammar, &variables, &params));
  if (reasoning_is_text) setup.style.reasoning = {};
  SubmitCompletion(
      call, params, {std::move(setup.tokens)},
      std::make_shared<ChatForm>(params.top_logprobs, std::move(setup.style), reasoning_is_text));
  return Status();
}

}  // namespace

void HandleChatCompletions(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, Handle);
}

}  // namespace lull
