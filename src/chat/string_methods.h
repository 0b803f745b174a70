// Python's str methods.
#pragma once

#include <string>

#include "chat/value.h"

namespace lull::jinja {

// True for every method Python's str has, supported or not.
bool IsStringMethod(const std::string& name);
Value CallStringMethod(Run& run, const Value& self, const std::string& name, const Args& args);

// Also used by filters. count -1: all.
Value ReplaceText(Run& run, const std::string& text, const std::string& from, const std::string& to,
                  int64_t count, bool markup);
// npos where there is none. Linear, whatever the texts.
size_t FindFirst(WorkMeter* work, std::string_view text, std::string_view what, size_t from = 0);
size_t FindLast(WorkMeter* work, std::string_view text, std::string_view what);
// "".split() on whitespace.
std::vector<std::string_view> SplitWords(WorkMeter* work, std::string_view text,
                                         int64_t max_splits = -1);
std::vector<std::string_view> SplitLines(WorkMeter* work, std::string_view text, bool keep_ends);

}  // namespace lull::jinja
