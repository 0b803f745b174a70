// What a model writes, taken apart as it is written: text, reasoning, and calls of tools.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "service/chat_prompt.h"
#include "service/json_span.h"
#include "service/tool_calls.h"

namespace lull {

// Not thread-safe. Whatever comes, no byte of it is lost: what is no call is text.
class AnswerParser {
 public:
  virtual ~AnswerParser() = default;
  virtual void Push(const std::string& text, std::vector<ToolPiece>* out) = 0;
  virtual void Finish(std::vector<ToolPiece>* out) = 0;
};

// How many bytes at the end of text may be the beginning of mark.
size_t HeldBack(std::string_view text, std::string_view mark);
bool IsBlank(std::string_view text);
// text without a beginning and an end of white space.
std::string_view Stripped(std::string_view text);

// Whether text goes on with mark at `at`.
enum class Found { kYes, kNo, kMore };
Found FindAt(std::string_view text, size_t at, std::string_view mark);
size_t SkipSpaces(std::string_view text, size_t at);

// Where parsers leave what they have found. Keeps the rules that all have in common: no white
// space before the first text and between calls, no more calls than asked for, only names that were
// offered.
class PieceSink {
 public:
  PieceSink(std::vector<Tool> tools, int max_calls)
      : tools_(std::move(tools)), max_calls_(max_calls) {}

  void set_out(std::vector<ToolPiece>* out) { out_ = out; }
  const Tool* Find(std::string_view name) const;
  std::set<std::string> names() const { return NamesOf(tools_); }
  int max_calls() const { return max_calls_; }
  int calls() const { return calls_; }
  bool full() const { return calls_ >= max_calls_; }

  void Text(std::string_view text);
  void Reasoning(std::string_view text);
  // The next text is a first one again.
  void EndText() { any_text_ = false; }
  void Begin(std::string_view name);
  void Arguments(std::string_view text);

 private:
  const std::vector<Tool> tools_;
  const int max_calls_;
  std::vector<ToolPiece>* out_ = nullptr;
  int calls_ = 0;
  bool any_text_ = false;
};

}  // namespace lull
