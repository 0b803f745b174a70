// Text and calls of tools out of an answer as it is written. Ollama's calls come whole:
// {"function": {"index": 0, "name": "f", "arguments": {"a": 1}}}.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "service/tool_calls.h"
#include "service/tool_params.h"

namespace lull {

// Not thread-safe.
class CallCollector {
 public:
  explicit CallCollector(const ToolParams& tools) {
    if (tools.offered()) parser_.emplace(NamesOf(tools.tools), tools.max_calls);
  }
  // Append to content and to calls, an array, what is certain now; Finish: what is left. A call
  // that ends within its arguments becomes text.
  void Push(const std::string& text, std::string* content, Json* calls);
  void Finish(std::string* content, Json* calls);

 private:
  void Take(const std::vector<ToolPiece>& pieces, std::string* content, Json* calls);
  void Close(int index, Json* calls);
  void GiveUp(std::string* content);

  std::optional<ToolCallParser> parser_;  // none: everything is text
  std::optional<ToolCall> open_;          // whose arguments are being written
};

}  // namespace lull
