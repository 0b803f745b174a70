// Calls of tools in what a model writes. Three ways are understood:
//   <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>, anywhere, any number
//   {"name": "f", "arguments" or "parameters": {"a": 1}}, the whole answer, or an array of those
//   [f(a=1), g(b='x')], the whole answer
// What names no tool that was offered is text.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "service/json_request.h"
#include "service/json_span.h"

namespace lull {

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

struct ToolPiece {
  enum class Kind {
    kText,       // text: of the answer
    kReasoning,  // text: what the model thinks before it answers
    kBegin,      // text: the name of call number `call`
    kArguments,  // text: more of its arguments
  };
  Kind kind = Kind::kText;
  std::string text;
  int call = -1;
};

// Reads an answer as it is written; arguments come out as they arrive. Not thread-safe.
class ToolCallParser {
 public:
  // max_calls: what the model writes after so many is dropped.
  ToolCallParser(std::set<std::string> names, int max_calls)
      : names_(std::move(names)), max_calls_(max_calls) {}
  void Push(const std::string& text, std::vector<ToolPiece>* out);
  void Finish(std::vector<ToolPiece>* out);
  int calls() const { return calls_; }

 private:
  enum class State {
    kText,       // looking for <tool_call>
    kHead,       // {"name": "f", "arguments": is being written
    kArguments,  // and its arguments
    kTail,       // and what closes it
    kWhole,      // a call in another order: read when it is complete
  };
  bool Step(std::vector<ToolPiece>* out);
  bool StepText(std::vector<ToolPiece>* out);
  bool StepHead(std::vector<ToolPiece>* out);
  bool StepArguments(std::vector<ToolPiece>* out);
  bool StepTail();
  bool StepWhole(std::vector<ToolPiece>* out);
  bool Offered(const std::vector<ToolCall>& calls) const;
  void EmitText(std::string text, std::vector<ToolPiece>* out);
  void EmitBegin(const std::string& name, std::vector<ToolPiece>* out);
  void EmitCalls(const std::vector<ToolCall>& calls, std::vector<ToolPiece>* out);
  void GiveUp(size_t bytes, std::vector<ToolPiece>* out);

  const std::set<std::string> names_;
  const int max_calls_;
  State state_ = State::kText;
  bool tagged_ = false;  // within <tool_call>
  bool any_text_ = false;
  std::string buffer_;  // what is not decided yet
  int calls_ = 0;
  JsonSpan arguments_;
};

// The calls that a complete text is; none where it is something else.
std::vector<ToolCall> ParseToolCalls(const std::string& text);

}  // namespace lull
