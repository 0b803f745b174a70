#include "service/chat_prompt.h"

#include <algorithm>
#include <utility>

namespace lull {
namespace {

std::string DumpText(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string StringOf(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

Status Wrong(std::string where, const char* message) {
  return Status(ErrorCode::kUsage, where + ": " + message, where);
}

// Text of a message's content: a string, or the text parts of an array. Only the model's own may
// be without.
Status FlattenContent(const std::string& where, const std::string& role, Json* message) {
  Json& content = (*message)["content"];
  if (content.is_string()) return Status();
  if (content.is_null()) {
    if (role != "assistant") return Wrong(where + ".content", "is missing");
    content = "";
    return Status();
  }
  if (!content.is_array()) return Wrong(where, "content must be a string or an array of parts");
  std::string text;
  size_t index = 0;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && StringOf(part, "type") == "text" &&
                         part.contains("text") && part["text"].is_string();
    if (!is_text)
      return Status(ErrorCode::kUnsupported, "only text parts are supported",
                    where + ".content[" + std::to_string(index) + "]");
    text += part["text"].get<std::string>();
    ++index;
  }
  content = text;
  return Status();
}

// Templates write the arguments as JSON: they want the object, not its text.
Status ParseArguments(const std::string& where, Json* message) {
  const auto calls = message->find("tool_calls");
  if (calls == message->end()) return Status();
  if (calls->is_null()) {
    message->erase("tool_calls");
    return Status();
  }
  if (!calls->is_array()) return Wrong(where + ".tool_calls", "must be an array");
  for (Json& call : *calls) {
    const auto function = call.is_object() ? call.find("function") : call.end();
    if (function == call.end() || !function->is_object() || StringOf(*function, "name").empty())
      return Wrong(where + ".tool_calls", "a call needs function.name");
    Json& arguments = (*function)["arguments"];
    if (arguments.is_null()) arguments = Json::object();
    if (arguments.is_string()) {
      const std::string text = arguments.get<std::string>();
      Result<Json> parsed = ParseJson(text.empty() ? "{}" : text);
      if (!parsed.ok()) return Wrong(where + ".tool_calls", "arguments must be a JSON object");
      arguments = std::move(*parsed);
    }
    if (!arguments.is_object())
      return Wrong(where + ".tool_calls", "arguments must be a JSON object");
    if (!call.contains("type")) call["type"] = "function";
  }
  return Status();
}

Status NormalizeMessage(size_t index, Json* message) {
  const std::string where = "messages[" + std::to_string(index) + "]";
  if (!message->is_object()) return Wrong(where, "must be an object");
  const std::string role = StringOf(*message, "role");
  if (role.empty()) return Wrong(where + ".role", "must be a string");
  if (role == "developer") (*message)["role"] = "system";
  if (role == "function") (*message)["role"] = "tool";
  LULL_RETURN_IF_ERROR(FlattenContent(where, role, message));
  return ParseArguments(where, message);
}

bool SpeaksOfTools(const Json& messages) {
  for (const Json& message : messages)
    if (message["role"] == "tool" || message.contains("tool_calls")) return true;
  return false;
}

Json ToolsJson(const std::vector<Tool>& tools) {
  Json json = Json::array();
  for (const Tool& tool : tools)
    json.push_back({{"type", "function"},
                    {"function",
                     {{"name", tool.name},
                      {"description", tool.description},
                      {"parameters", tool.parameters}}}});
  return json;
}

Json WithTools(const Json* variables, const std::vector<Tool>& tools) {
  Json all = variables == nullptr ? Json::object() : *variables;
  if (!tools.empty()) all["tools"] = ToolsJson(tools);
  return all;
}

std::string Description(const std::vector<Tool>& tools) {
  std::string text =
      "You can call functions to help with the user's request. These are the functions, one JSON "
      "object a line:\n";
  for (const Json& tool : ToolsJson(tools)) text += DumpText(tool["function"]) + "\n";
  text +=
      "To call one, answer with its name and arguments as JSON between these marks, once for "
      "every call:\n<tool_call>\n{\"name\": \"function name\", \"arguments\": {\"argument\": "
      "\"value\"}}\n</tool_call>\nThe results are given to you between <tool_response> marks. "
      "Answer in plain text where no function is needed.";
  return text;
}

void AddToSystem(const std::string& text, Json* messages) {
  if (messages->empty() || messages->front()["role"] != "system") {
    const Json system = {{"role", "system"}, {"content", text}};
    messages->insert(messages->begin(), system);
    return;
  }
  Json& content = messages->front()["content"];
  content = content.get<std::string>() + "\n\n" + text;
}

// For templates that know neither tools nor their results: calls and results become text, and
// user messages that meet are joined, since many templates want the roles to alternate.
Json AsPlainText(const Json& messages) {
  Json plain = Json::array();
  for (const Json& message : messages) {
    std::string role = message["role"], content = message["content"];
    if (const auto calls = message.find("tool_calls"); calls != message.end())
      for (const Json& call : *calls)
        content += (content.empty() ? "" : "\n") + std::string("<tool_call>\n") +
                   DumpText({{"name", call["function"]["name"]},
                             {"arguments", call["function"]["arguments"]}}) +
                   "\n</tool_call>";
    if (role == "tool") {
      role = "user";
      content = "<tool_response>\n" + content + "\n</tool_response>";
    }
    if (role == "user" && !plain.empty() && plain.back()["role"] == "user")
      plain.back()["content"] = plain.back()["content"].get<std::string>() + "\n" + content;
    else
      plain.push_back({{"role", role}, {"content", content}});
  }
  return plain;
}

// Nine letters and digits that stand for an id, always the same ones.
std::string ShortId(const std::string& id) {
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (id.size() == 9 && std::all_of(id.begin(), id.end(), is_plain)) return id;
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : id) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  std::string text;
  for (int i = 0; i < 9; ++i, hash /= 36) text += "0123456789abcdefghijklmnopqrstuvwxyz"[hash % 36];
  return text;
}

void ShortenIds(Json* message) {
  const auto shorten = [](Json* object, const char* name) {
    (*object)[name] = ShortId(StringOf(*object, name));
  };
  if (message->contains("tool_calls"))
    for (Json& call : (*message)["tool_calls"]) shorten(&call, "id");
  if ((*message)["role"] == "tool") shorten(message, "tool_call_id");
}

// Templates have names of their own for what clients send: `thinking` for the reasoning of earlier
// turns, which goes with text or with calls but not with both, and ids of nine characters.
void AdaptToTemplate(const std::string& text, Json* messages) {
  const bool thinking = text.find("message.thinking") != std::string::npos;
  const bool short_ids = text.find("[TOOL_CALLS]") != std::string::npos;
  for (Json& message : *messages) {
    if (short_ids) ShortenIds(&message);
    const std::string reasoning = StringOf(message, "reasoning_content");
    const bool both = message.contains("tool_calls") && message["content"] != "";
    if (thinking && !reasoning.empty() && !both && !message.contains("thinking"))
      message["thinking"] = reasoning;
  }
}

// Some templates want a call's arguments as the object's text.
bool WriteArgumentsAsText(Json* messages) {
  bool any = false;
  for (Json& message : *messages) {
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"]) {
      Json& arguments = call["function"]["arguments"];
      arguments = DumpText(arguments);
      any = true;
    }
  }
  return any;
}

Result<std::string> Rendered(const Model& model, Json messages, const Json& variables,
                             bool add_generation_prompt) {
  const std::string extra = variables.empty() ? "" : DumpText(variables);
  Result<std::string> text = model.RenderChat(DumpText(messages), extra, add_generation_prompt);
  if (text.ok() || !WriteArgumentsAsText(&messages)) return text;
  Result<std::string> again = model.RenderChat(DumpText(messages), extra, add_generation_prompt);
  return again.ok() ? again : text;
}

}  // namespace

bool TemplateTakesTools(const RenderFn& render, const Json* variables) {
  const std::vector<Tool> probe = {
      {"probe_of_template", "", {{"type", "object"}, {"properties", Json::object()}}}};
  const Json messages = Json::array({{{"role", "user"}, {"content", "x"}}});
  const Result<std::string> text =
      render(DumpText(messages), DumpText(WithTools(variables, probe)));
  return text.ok() && text->find(probe[0].name) != std::string::npos;
}

bool TakesTools(const Model& model, const Json* variables) {
  return TemplateTakesTools(
      [&model](const std::string& messages, const std::string& extra) {
        return model.RenderChat(messages, extra, true);
      },
      variables);
}

std::set<std::string> NamesOf(const std::vector<Tool>& tools) {
  std::set<std::string> names;
  for (const Tool& tool : tools) names.insert(tool.name);
  return names;
}

Result<ChatPrompt> MakeChatPrompt(const Model& model, const Json& messages,
                                  const std::vector<Tool>& tools, const Json* variables,
                                  bool add_generation_prompt) {
  if (!messages.is_array() || messages.empty())
    return Status(ErrorCode::kUsage, "messages: must be a non-empty array", "messages");
  Json copy = messages;
  for (size_t i = 0; i < copy.size(); ++i) LULL_RETURN_IF_ERROR(NormalizeMessage(i, &copy[i]));
  ChatPrompt prompt;
  std::vector<Tool> shown = tools;
  if ((!tools.empty() || SpeaksOfTools(copy)) && !TakesTools(model, variables)) {
    copy = AsPlainText(copy);
    if (!tools.empty()) AddToSystem(Description(tools), &copy);
    shown.clear();
    prompt.marks_calls = true;
    prompt.described = true;
  }
  AdaptToTemplate(model.chat_template(), &copy);
  LULL_ASSIGN_OR_RETURN(prompt.text, Rendered(model, std::move(copy), WithTools(variables, shown),
                                              add_generation_prompt));
  if (prompt.text.find("<tool_call>") != std::string::npos) prompt.marks_calls = true;
  return prompt;
}

}  // namespace lull
