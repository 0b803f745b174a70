// How a model writes its answers, known by its chat template: which marks stand around reasoning
// and around calls of tools. The formats are in answer_format_list.inc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "service/answer/answer_parser.h"

namespace lull {

struct AnswerFormat {
  std::string_view name;
  // All of them stand in the template.
  std::vector<std::string_view> needs;
  // Of calls, the one that opens them first; a file may have them as control tokens.
  std::vector<std::string_view> marks;
  // Plain answers too have marks, reasoning among them: the parser is needed without tools.
  bool structural = false;
  std::unique_ptr<AnswerParser> (*new_parser)(PieceSink sink);

  // What a structural format writes before plain text.
  std::string_view text_opening() const;
};

// Around what a model thinks before it answers; "" where its template knows no such thing.
struct ReasoningMarks {
  std::string_view open, close;
};

// The first format whose marks the template has; the last, "hermes", needs none.
const AnswerFormat& FormatOf(std::string_view chat_template);
const AnswerFormat& HermesFormat();
ReasoningMarks ReasoningOf(std::string_view chat_template);
bool Thinks(std::string_view chat_template);
// In the order of the list.
const std::vector<AnswerFormat>& AllFormats();

// What is to be made of one answer.
struct AnswerStyle {
  const AnswerFormat* format = &HermesFormat();
  ReasoningMarks reasoning;   // "": left in the text
  bool in_reasoning = false;  // the prompt has opened it
  std::vector<Tool> tools;    // that may be called; none: what looks like a call is text
  int max_calls = 0;
};
std::unique_ptr<AnswerParser> NewAnswerParser(const AnswerStyle& style);

// Whether the prompt ends within reasoning, for the model to go on.
bool EndsInReasoning(std::string_view prompt, const ReasoningMarks& marks);

}  // namespace lull
