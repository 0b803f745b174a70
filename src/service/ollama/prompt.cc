#include "service/ollama/prompt.h"

namespace lull {
namespace {

std::string TextOf(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

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

}  // namespace

Status NormalizeMessages(Json* messages) {
  if (!messages->is_array() || messages->empty())
    return Status(ErrorCode::kUsage, "messages: must be a non-empty array", "messages");
  for (size_t i = 0; i < messages->size(); ++i)
    LULL_RETURN_IF_ERROR(FlattenContent(&(*messages)[i], i));
  return Status();
}

Result<std::vector<int32_t>> ChatPromptTokens(const Model& model, const Json& messages,
                                              const Json& variables) {
  const std::string extra = variables.is_null() ? "" : TextOf(variables);
  LULL_ASSIGN_OR_RETURN(const std::string prompt, model.RenderChat(TextOf(messages), extra, true));
  return model.TokenizePrompt(prompt);
}

}  // namespace lull
