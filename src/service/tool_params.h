// The fields about tools, and what they make of an answer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lull/grammar.h"
#include "service/answer/answer_format.h"
#include "service/chat_prompt.h"
#include "service/model_hub.h"

namespace lull {

struct ToolParams {
  enum class Choice { kNone, kAuto, kRequired };
  std::vector<Tool> tools;  // those that may be called: with a named choice that one
  Choice choice = Choice::kAuto;
  int max_calls = 128;  // 1 without parallel_tool_calls
  bool offered() const { return !tools.empty() && choice != Choice::kNone; }
};

// `tools`, `tool_choice` and `parallel_tool_calls`. flat: as in /v1/responses, where a function's
// fields stand in the tool itself.
ToolParams ReadToolParams(JsonFields& fields, bool flat);

// The grammar of one call of any of the tools, between marks where the model is shown them. An
// error where two tools define different things under one name.
Result<GrammarSpec> CallGrammar(const std::vector<Tool>& tools, bool marks);

// What begins a call that is then held.
struct CallTrigger {
  std::string mark;            // "": a brace at the answer's beginning
  std::string after;           // what stands between the mark and the call
  std::vector<int32_t> shown;  // control tokens that are marks
};

// Leaves the answer free until it begins a call, which then fits its tool's schema and is written
// as {"name": ..., "arguments": ...}. kInvalidInput or kUnsupported where a schema cannot be held.
Result<std::shared_ptr<TokenConstraint>> NewCallConstraint(ServedModelPtr served,
                                                           const std::vector<Tool>& tools,
                                                           const CallTrigger& trigger);

// The same for a format that writes the arguments alone behind a mark of their own: they are held
// from where a parser of this style sees that they begin.
Result<std::shared_ptr<TokenConstraint>> NewArgumentsConstraint(ServedModelPtr served,
                                                                const AnswerStyle& style);

}  // namespace lull
