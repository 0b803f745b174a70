// Regular expressions as grammars: the regular part of ECMA-262's syntax, over code points. What
// is not regular, or not understood, is refused by name.
//
// Syntax: | ( ) (?: ) (?<name> ) . [ ] [^ ], escapes \d \D \w \W \s \S \t \n \r \f \v \0 \xHH
// \uHHHH \u{H...}, punctuation after a backslash; * + ? {m} {m,} {m,n}, also with a lazy ?; ^ and $
// at the ends of an alternative.
#pragma once

#include <string_view>

#include "grammar/automaton.h"
#include "lull/status.h"

namespace lull::grammar {

struct RegexOptions {
  bool search = false;       // it may match anywhere within the text, as JSON Schema's patterns do
  bool json_string = false;  // the text is written within a JSON string: escapes where JSON asks
};

// The node that matches the expression and then goes on at `next`. `where` names it in errors.
Result<int32_t> BuildRegex(AutomatonBuilder* builder, std::string_view regex,
                           const RegexOptions& options, int32_t next, std::string_view where);

// A code point of the set as it stands within a JSON string, then next.
int32_t JsonStringCodes(AutomatonBuilder* builder, const CodeSet& set, int32_t next);

}  // namespace lull::grammar
