// Where a JSON value ends that arrives in pieces.
#pragma once

#include <cstddef>
#include <string_view>

namespace lull {

// Finds where a JSON object or array ends while it is being written.
class JsonSpan {
 public:
  // The bytes of text that belong to it; done() says whether the last one ended it.
  size_t Push(std::string_view text);
  bool done() const { return done_; }

 private:
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, done_ = false;
};

}  // namespace lull
