// JSON strings that satisfy more than a length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/automaton.h"
#include "lull/status.h"

namespace lull::grammar {

// The regular expression of a format of JSON Schema; empty where it is not known.
std::string_view FormatRegex(std::string_view format);

struct LengthBounds {
  uint64_t min = 0;
  uint64_t max = AutomatonBuilder::kNoMaximum;
  bool any() const { return min == 0 && max == AutomatonBuilder::kNoMaximum; }
};

// A string, quotes included, whose text matches the regular expression, then next. search: it may
// match anywhere within the text.
Result<int32_t> BuildPatternString(AutomatonBuilder* builder, std::string_view regex, bool search,
                                   const LengthBounds& lengths, int32_t next,
                                   std::string_view where);

// A string, quotes included, that is none of the names, until the end of the rule.
int32_t BuildOtherString(AutomatonBuilder* builder, const std::vector<std::string>& names);

}  // namespace lull::grammar
