// Bytes in, whole UTF-8 characters out.
#pragma once

#include <string>
#include <string_view>

namespace lull {

// Malformed bytes become U+FFFD, one per maximal part of a character, as Unicode recommends.
class Utf8Assembler {
 public:
  // The text that bytes complete. Holds back at most 3 bytes.
  std::string Push(std::string_view bytes);
  // What is still held back: nothing or U+FFFD.
  std::string Finish();

 private:
  std::string pending_;
};

}  // namespace lull
