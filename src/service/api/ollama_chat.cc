#include "service/chat_setup.h"
#include "service/ollama/answer.h"

namespace lull {
namespace {

// Ollama's messages as templates know them: a tool's answer names its tool in `name`.
Status ReadMessages(Json* messages) {
  for (Json& message : *messages) {
    if (!message.is_object()) continue;  // MakeChatPrompt says so
    const auto images = message.find("images");
    if (images != message.end() && !images->is_null() && !images->empty())
      return Status(ErrorCode::kUnsupported, "images: this model takes text only",
                    "messages.images");
    message.erase("images");
    if (message["content"].is_null()) message["content"] = "";
    if (message.contains("tool_name") && !message.contains("name"))
      message["name"] = message["tool_name"];
    if (message.contains("thinking") && !message.contains("reasoning_content"))
      message["reasoning_content"] = message["thinking"];
  }
  return Status();
}

// As OpenAI's, but that a tool need not say that it is a function.
Result<ToolParams> ReadTools(Json* body) {
  if (const auto tools = body->find("tools"); tools != body->end() && tools->is_array())
    for (Json& tool : *tools)
      if (tool.is_object() && !tool.contains("type")) tool["type"] = "function";
  JsonFields fields(*body);
  ToolParams params = ReadToolParams(fields, /*flat=*/false);
  LULL_RETURN_IF_ERROR(fields.FirstError());
  return params;
}

// Messages without the `dropped` oldest that may go: system messages and the last one stay.
Json Shortened(const Json& messages, size_t dropped) {
  Json kept = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool may_go = messages[i]["role"] != "system" && i + 1 < messages.size();
    if (may_go && dropped > 0)
      --dropped;
    else
      kept.push_back(messages[i]);
  }
  return kept;
}

struct Prompt {
  ChatPrompt chat;
  AnswerStyle style;
  std::vector<int32_t> tokens;
};

Result<Prompt> MakePrompt(const OllamaCall& call, const Json& messages,
                          const std::vector<Tool>& tools, const Json& variables) {
  const Model& model = *call.call.served->model;
  Prompt prompt;
  LULL_ASSIGN_OR_RETURN(prompt.chat, MakeChatPrompt(model, messages, tools, &variables));
  const bool required =
      call.params.tools.offered() && call.params.tools.choice == ToolParams::Choice::kRequired;
  const bool held = required || !call.params.format.is_null();
  prompt.style = StyleOf(model, call.params.tools, held, &prompt.chat);
  LULL_ASSIGN_OR_RETURN(prompt.tokens, model.TokenizePrompt(prompt.chat.text));
  return prompt;
}

// With as many of the newest messages as leave a token for the answer. Rendering costs, so the
// number to drop is halved in on.
Result<Prompt> FittingPrompt(const OllamaCall& call, const Json& messages,
                             const std::vector<Tool>& tools, const Json& variables) {
  const int64_t context_tokens = ContextTokens(call.params, *call.call.served->engine);
  const auto fits = [&](const Prompt& prompt) {
    return static_cast<int64_t>(prompt.tokens.size()) < context_tokens;
  };
  LULL_ASSIGN_OR_RETURN(Prompt best, MakePrompt(call, messages, tools, variables));
  if (fits(best) || !call.params.truncate) return best;
  size_t too_few = 0, enough = messages.size();
  while (enough - too_few > 1) {
    const size_t middle = too_few + (enough - too_few) / 2;
    LULL_ASSIGN_OR_RETURN(Prompt prompt,
                          MakePrompt(call, Shortened(messages, middle), tools, variables));
    if (fits(prompt)) {
      enough = middle;
      best = std::move(prompt);
    } else {
      too_few = middle;
    }
  }
  return best;  // too long still where even the last message is
}

Status Handle(OllamaCall& call) {
  Json messages = call.call.body["messages"];
  LULL_RETURN_IF_ERROR(ReadMessages(&messages));
  LULL_ASSIGN_OR_RETURN(call.params.tools, ReadTools(&call.call.body));
  const ToolParams& tools = call.params.tools;
  LULL_ASSIGN_OR_RETURN(const Json variables, TemplateVariables(call));
  if (tools.offered() && !TakesTools(*call.call.served->model, &variables))
    return Status(ErrorCode::kUnsupported, "'" + call.params.model + "' does not support tools",
                  "tools",
                  "its template has no place for them; /v1/chat/completions describes "
                  "them in words");
  LULL_ASSIGN_OR_RETURN(
      Prompt prompt, FittingPrompt(call, messages,
                                   tools.offered() ? tools.tools : std::vector<Tool>(), variables));
  LULL_ASSIGN_OR_RETURN(const auto new_constraint,
                        ToolConstraint(call.call.served, tools, prompt.chat));
  call.params.request.shown_tokens = ShownTokens(*call.call.served->model, prompt.style);
  call.params.style = std::move(prompt.style);
  // A format holds the whole answer, a call among what it may be.
  if (new_constraint != nullptr && call.params.format.is_null()) {
    LULL_ASSIGN_OR_RETURN(call.params.request.constraint, new_constraint());
  }
  return SubmitOllama(call, OllamaKind::kChat, std::move(prompt.tokens), false);
}

}  // namespace

void HandleOllamaChat(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithOllamaModel(service, request, responder, OllamaKind::kChat, Handle);
}

}  // namespace lull
