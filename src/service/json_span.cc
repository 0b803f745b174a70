#include "service/json_span.h"

namespace lull {

size_t JsonSpan::Push(std::string_view text) {
  size_t i = 0;
  for (; i < text.size() && !done_; ++i) {
    const char c = text[i];
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      escaped_ = c == '\\';
      in_string_ = c != '"';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      done_ = --depth_ <= 0;
    }
  }
  return i;
}

}  // namespace lull
