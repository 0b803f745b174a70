// Template source to tokens: delimiters, whitespace control, trim_blocks and lstrip_blocks.
#pragma once

#include <deque>
#include <string>

#include "chat/value.h"

namespace lull::jinja {

enum class Tok : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  Tok type = Tok::kEnd;
  Pos pos;
  std::string text;  // operator, name, decoded string, data
  int64_t integer = 0;
  double number = 0;
};

// The last token is kEnd. A deque: growing never moves them all. Brackets nest max_depth deep at
// most. Requires: source is valid UTF-8.
Result<std::deque<Token>> Tokenize(const std::string& source, int max_depth, WorkMeter* work);

}  // namespace lull::jinja
