#include <algorithm>

#include "service/chat_setup.h"
#include "service/grammar_params.h"
#include "service/responses_answer.h"

namespace lull {
namespace {

std::string StringOf(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

Status Wrong(size_t index, const std::string& message) {
  const std::string where = "input[" + std::to_string(index) + "]";
  return Status(ErrorCode::kUsage, where + ": " + message, where);
}

// Text parts under the name that chat has for them.
Json ChatContent(const Json& content) {
  if (!content.is_array()) return content;
  Json parts = content;
  for (Json& part : parts) {
    const std::string type = part.is_object() ? StringOf(part, "type") : "";
    if (type == "input_text" || type == "output_text") part["type"] = "text";
  }
  return parts;
}

// The message of the assistant that is being put together, a new one where there is none.
Json& AssistantTurn(Json* messages) {
  const bool joins = !messages->empty() && StringOf(messages->back(), "role") == "assistant";
  if (!joins) messages->push_back({{"role", "assistant"}, {"content", ""}});
  return messages->back();
}

void AddCall(const Json& item, Json* messages) {
  const Json call = {
      {"id", StringOf(item, "call_id")},
      {"type", "function"},
      {"function", {{"name", StringOf(item, "name")}, {"arguments", StringOf(item, "arguments")}}}};
  // What the assistant said and called in one turn is one message.
  AssistantTurn(messages)["tool_calls"].push_back(call);
}

// Goes with what the assistant says next.
void AddReasoning(const Json& item, Json* messages) {
  std::string text;
  if (const auto content = item.find("content"); content != item.end() && content->is_array())
    for (const Json& part : *content)
      if (part.is_object()) text += StringOf(part, "text");
  if (!text.empty())
    messages->push_back({{"role", "assistant"}, {"content", ""}, {"reasoning_content", text}});
}

void AddMessage(const Json& item, Json* messages) {
  const Json content = ChatContent(item.value("content", Json()));
  const bool goes_on = !messages->empty() && messages->back().contains("reasoning_content") &&
                       messages->back()["content"] == "" && StringOf(item, "role") == "assistant";
  if (goes_on)
    messages->back()["content"] = content;
  else
    messages->push_back({{"role", StringOf(item, "role")}, {"content", content}});
}

Status AddItem(size_t index, const Json& item, Json* messages) {
  if (!item.is_object()) return Wrong(index, "must be an object");
  const std::string type = item.contains("type") ? StringOf(item, "type") : "message";
  if (type == "message") {
    if (StringOf(item, "role").empty()) return Wrong(index, "role must be a string");
    AddMessage(item, messages);
  } else if (type == "reasoning") {
    AddReasoning(item, messages);
  } else if (type == "function_call") {
    AddCall(item, messages);
  } else if (type == "function_call_output") {
    messages->push_back({{"role", "tool"},
                         {"tool_call_id", StringOf(item, "call_id")},
                         {"content", ChatContent(item.value("output", Json()))}});
  } else {
    return Wrong(index, "items of type " + type.substr(0, 64) + " are not supported");
  }
  return Status();
}

Result<Json> Messages(const Json* input, const std::string& instructions) {
  Json messages = Json::array();
  if (!instructions.empty()) messages.push_back({{"role", "system"}, {"content", instructions}});
  if (input == nullptr) return Status(ErrorCode::kUsage, "input: missing", "input");
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
    return messages;
  }
  if (!input->is_array() || input->empty())
    return Status(ErrorCode::kUsage, "input: must be a string or a non-empty array", "input");
  for (size_t i = 0; i < input->size(); ++i)
    LULL_RETURN_IF_ERROR(AddItem(i, (*input)[i], &messages));
  return messages;
}

// {"effort": null, "summary": null} is as good as {}.
bool AsksForNothing(const Json& value) {
  return value.empty() ||
         (value.is_object() && std::all_of(value.begin(), value.end(),
                                           [](const Json& member) { return member.is_null(); }));
}

// Fields of which only the value that asks for nothing is supported: nothing is kept between
// requests.
void ReadNeutralFields(JsonFields& fields) {
  if (fields.Get("previous_response_id") != nullptr)
    fields.Fail("previous_response_id", "responses are not stored; send the whole input");
  if (fields.Bool("store", false)) fields.Fail("store", "responses are not stored");
  if (fields.Bool("background", false)) fields.Fail("background", "not supported");
  if (fields.String("truncation", "disabled") != "disabled")
    fields.Fail("truncation", "only disabled is supported");
  if (fields.Bool("return_token_ids", false)) fields.Fail("return_token_ids", "not supported here");
  for (const char* name : {"include", "conversation", "prompt"})
    if (const Json* value = fields.Get(name); value != nullptr && !AsksForNothing(*value))
      fields.Fail(name, "not supported");
  for (const char* name : {"n", "best_of"})
    if (fields.Get(name) != nullptr) fields.Fail(name, "not supported here");
}

std::optional<GrammarSpec> ReadText(JsonFields& fields) {
  const Json* text = fields.Get("text");
  if (text == nullptr) return std::nullopt;
  if (!text->is_object()) return fields.Fail("text", "must be an object"), std::nullopt;
  for (const auto& [key, value] : text->items())
    if (key != "format" && !value.is_null() && !(key == "verbosity" && value == "medium"))
      fields.Fail("text", key + " is not supported");
  const auto format = text->find("format");
  if (format == text->end() || format->is_null()) return std::nullopt;
  return ReadFormat(fields, "text", *format, nullptr);
}

// {"effort": "low"}; how a summary is made nobody asks for here: reasoning comes as it is.
Json ReadReasoning(JsonFields& fields) {
  Json variables = Json::object();
  const Json* reasoning = fields.Get("reasoning");
  if (reasoning == nullptr) return variables;
  if (!reasoning->is_object()) {
    fields.Fail("reasoning", "must be an object");
    return variables;
  }
  for (const auto& [key, value] : reasoning->items())
    if (key != "effort" && key != "summary" && key != "generate_summary" && !value.is_null())
      fields.Fail("reasoning", key + " is not supported");
  SetEffort(StringOf(*reasoning, "effort"), &variables);
  return variables;
}

// The settings as the response repeats them.
Json Echoed(const Json& body, const CompletionParams& params, int64_t max_output_tokens) {
  const auto given = [&](const char* name, Json fallback) {
    const auto it = body.find(name);
    return it == body.end() || it->is_null() ? fallback : *it;
  };
  return {{"instructions", given("instructions", nullptr)},
          {"max_output_tokens", max_output_tokens == 0 ? Json() : Json(max_output_tokens)},
          {"metadata", given("metadata", Json::object())},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", nullptr},
          {"reasoning", given("reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
          {"store", false},
          {"temperature", params.request.sampling.temperature},
          {"text", given("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", given("tools", Json::array())},
          {"top_p", given("top_p", 1.0)},
          {"truncation", "disabled"},
          {"user", given("user", nullptr)}};
}

Status Handle(ModelCall& call) {
  JsonFields fields(call.body);
  CompletionParams params = ReadCompletionParams(call, fields);
  const int64_t most = fields.Integer("max_output_tokens", 0, 1, int64_t{1} << 30);
  if (most > 0) params.request.max_new_tokens = most;
  ReadNeutralFields(fields);
  const Json variables = ReadReasoning(fields);
  const ToolParams tools = ReadToolParams(fields, /*flat=*/true);
  const std::optional<GrammarSpec> grammar = ReadText(fields);
  const Json* input = fields.Get("input");
  const std::string instructions = fields.String("instructions", "");
  LULL_RETURN_IF_ERROR(fields.Finish());
  LULL_ASSIGN_OR_RETURN(const Json messages, Messages(input, instructions));
  LULL_ASSIGN_OR_RETURN(ChatSetup setup,
                        SetUpChat(call, messages, tools, grammar, &variables, &params));
  ResponsesOptions options;
  options.id = NextId("resp_");
  options.stream = params.stream;
  options.style = std::move(setup.style);
  options.echoed = Echoed(call.body, params, most);
  GenerationJob generation;
  generation.id = options.id;
  LULL_ASSIGN_OR_RETURN(generation.choices,
                        ToChoices(*call.served, params, {std::move(setup.tokens)}));
  generation.stream = params.stream;
  generation.prompt_field = "input";
  StartGeneration(call, std::move(generation),
                  std::make_shared<ResponsesAnswer>(call, std::move(options)));
  return Status();
}

}  // namespace

void HandleResponses(Service& service, const HttpRequest& request, ResponderPtr responder) {
  WithModel(service, request, responder, Handle);
}

}  // namespace lull
