// Text, thinking and calls of tools out of an answer as it is written. Ollama's calls come whole:
// {"id": "call_...", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/answer/answer_format.h"

namespace lull {

struct OllamaText {
  std::string content, thinking;
  Json calls = Json::array();
  bool empty() const { return content.empty() && thinking.empty() && calls.empty(); }
};

// Not thread-safe.
class CallCollector {
 public:
  explicit CallCollector(const AnswerStyle& style) : parser_(NewAnswerParser(style)) {}
  // Append to out what is certain now; Finish: what is left. A call that ends within its arguments
  // becomes text.
  void Push(const std::string& text, OllamaText* out);
  void Finish(OllamaText* out);

 private:
  void Take(const std::vector<ToolPiece>& pieces, OllamaText* out);
  void Close(int index, Json* calls);
  void GiveUp(std::string* content);

  const std::unique_ptr<AnswerParser> parser_;
  std::optional<ToolCall> open_;  // whose arguments are being written
};

}  // namespace lull
