// An answer on the terminal as it comes: text on stdout, what the model thinks first on stderr.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service/chat_setup.h"

namespace lull {

// Push from one thread at a time; Finish and the texts once the answer has ended.
class AnswerPrinter {
 public:
  // prompt: what the answer goes on from; it decides how the answer is read. print: else the texts
  // are only kept.
  AnswerPrinter(const Model& model, ChatPrompt prompt, bool print);

  const std::vector<int32_t>& shown_tokens() const { return shown_tokens_; }
  void Push(const std::string& text);
  void Finish();
  const std::string& content() const { return content_; }
  const std::string& reasoning() const { return reasoning_; }

 private:
  void Take(const std::vector<ToolPiece>& pieces);

  const bool print_, dim_;
  std::vector<int32_t> shown_tokens_;
  std::unique_ptr<AnswerParser> parser_;
  std::string content_, reasoning_;
};

}  // namespace lull
