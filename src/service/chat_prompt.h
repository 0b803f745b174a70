// Messages and tools, as clients send them, to the model's prompt.
#pragma once

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
};

// messages: {role, content, tool_calls, tool_call_id, ...} as in OpenAI's chat; content a string
// or text parts. variables: further ones for the template; null: none. Tools reach the model
// through its template, or where that knows none through a system message.
Result<ChatPrompt> MakeChatPrompt(const Model& model, const Json& messages,
                                  const std::vector<Tool>& tools, const Json* variables,
                                  bool add_generation_prompt = true);

std::set<std::string> NamesOf(const std::vector<Tool>& tools);

}  // namespace lull
