// Text for terminals: colours where they are wanted, columns, numbers as people read them.
#pragma once

#include <cstddef>
#include <string>

namespace lull {

// Colours only where fd is a terminal and NO_COLOR is not set (https://no-color.org).
class Painter {
 public:
  explicit Painter(int fd);
  explicit Painter(bool colours) : colours_(colours) {}
  std::string Green(const std::string& text) const { return Paint("1;32", text); }
  std::string Yellow(const std::string& text) const { return Paint("1;33", text); }
  std::string Red(const std::string& text) const { return Paint("1;31", text); }
  std::string Bold(const std::string& text) const { return Paint("1", text); }
  std::string Dim(const std::string& text) const { return Paint("2", text); }

 private:
  std::string Paint(const char* code, const std::string& text) const;
  bool colours_;
};

// Columns on a terminal, for the text used here: one per code point.
size_t Columns(const std::string& text);
std::string Left(const std::string& text, size_t columns);   // padded on the right
std::string Right(const std::string& text, size_t columns);  // padded on the left
// What a program elsewhere sent, without what a terminal would obey; at most so many characters.
std::string Printable(const std::string& text, size_t most);

// share of `columns` filled; a mark at `limit` (below 0: none).
std::string Bar(double share, size_t columns, double limit = -1.0);

std::string PercentText(double share);  // "31.2 %"
std::string BytesText(double bytes);    // "1.2 GB", powers of 1000
std::string MsText(double ms);          // "8.1 ms", "312 ms", "1.24 s", "12.4 s"
std::string AgeText(double seconds);    // "40 s", "3 min", "2 h 5 min", "4 d 2 h"
std::string NumberText(const char* format, double value);

}  // namespace lull
