#include "service/ollama/answer.h"
#include "service/ollama/prompt.h"

namespace lull {
namespace {

// Ollama's messages as templates know them: a tool's answer names its tool in `name`.
Status ReadMessages(Json* messages) {
  for (Json& message : *messages) {
    if (!message.is_object()) continue;  // NormalizeMessages says so
    const auto images = message.find("images");
    if (images != message.end() && !images->is_null() && !images->empty())
      return Status(ErrorCode::kUnsupported, "images: this model takes text only",
                    "messages.images");
    message.erase("images");
    if (message.contains("tool_name") && !message.contains("name"))
      message["name"] = message["tool_name"];
  }
  return NormalizeMessages(messages);
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

// As many of the newest messages as leave a token for the answer. Rendering costs, so the number to
// drop is halved in on.
Result<std::vector<int32_t>> FittingPrompt(const Model& model, const Json& messages,
                                           const Json& variables, int64_t context_tokens) {
  const auto fits = [&](const std::vector<int32_t>& tokens) {
    return static_cast<int64_t>(tokens.size()) < context_tokens;
  };
  LULL_ASSIGN_OR_RETURN(std::vector<int32_t> best, ChatPromptTokens(model, messages, variables));
  if (fits(best)) return best;
  size_t too_few = 0, enough = messages.size();
  while (enough - too_few > 1) {
    const size_t middle = too_few + (enough - too_few) / 2;
    LULL_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                          ChatPromptTokens(model, Shortened(messages, middle), variables));
    if (fits(tokens)) {
      enough = middle;
      best = std::move(tokens);
    } else {
      too_few = middle;
    }
  }
  return best;  // too long still where even the last message is
}

Status Handle(OllamaCall& call) {
  Json messages = call.call.body["messages"];
  LULL_RETURN_IF_ERROR(ReadMessages(&messages));
  const Model& model = *call.call.served->model;
  LULL_ASSIGN_OR_RETURN(const Json variables, TemplateVariables(call));
  const int64_t context = ContextTokens(call.params, *call.call.served->engine);
  Result<std::vector<int32_t>> tokens = call.params.truncate
                                            ? FittingPrompt(model, messages, variables, context)
                                            : ChatPromptTokens(model, messages, variables);
  if (!tokens.ok()) return tokens.status();
  return SubmitOllama(call, OllamaKind::kChat, std::move(*tokens), false);
}

}  // namespace

void HandleOllamaChat(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithOllamaModel(service, request, responder, OllamaKind::kChat, Handle);
}

}  // namespace lull
