// Messages and tools, as clients send them, to the model's prompt.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "lull/model.h"
#include "service/json_request.h"

namespace lull {

// A function that the model may call.
struct Tool {
  std::string name;
  std::string description;
  Json parameters;      // a JSON Schema of an object
  bool strict = false;  // the arguments must fit it
};

struct ChatPrompt {
  std::string text;
  bool marks_calls = false;  // the model is shown calls within <tool_call> marks
  bool described = false;    // tools are described in words: the template has no place for them
};

// messages: {role, content, tool_calls, tool_call_id, ...} as in OpenAI's chat; content a string
// or text parts. variables: further ones for the template; null: none. Tools reach the model
// through its template, or where that knows none through a system message.
Result<ChatPrompt> MakeChatPrompt(const Model& model, const Json& messages,
                                  const std::vector<Tool>& tools, const Json* variables,
                                  bool add_generation_prompt = true);

// Renders messages with further variables, both as JSON.
using RenderFn = std::function<Result<std::string>(const std::string& messages_json,
                                                   const std::string& extra_json)>;
// Whether a template writes tools down: it is asked with one that has an unlikely name.
bool TemplateTakesTools(const RenderFn& render, const Json* variables);
bool TakesTools(const Model& model, const Json* variables);

std::set<std::string> NamesOf(const std::vector<Tool>& tools);

}  // namespace lull
