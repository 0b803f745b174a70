#include "chat/time_format.h"

#include <cstdio>
#include <ctime>

namespace lull::jinja {
namespace {

constexpr const char* kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
constexpr const char* kMonths[] = {"January",   "February", "March",    "April",
                                   "May",       "June",     "July",     "August",
                                   "September", "October",  "November", "December"};
// Years 1 to 9999, which is what Python's datetime holds.
constexpr int64_t kFirst = -62135596800, kLast = 253402300799;

std::string Number(int value, int width, char pad = '0') {
  std::string text = std::to_string(value);
  if (static_cast<int>(text.size()) < width) {
    text.insert(0, static_cast<size_t>(width) - text.size(), pad);
  }
  return text;
}

bool Directive(const std::tm& t, int64_t unix_s, char c, std::string* out) {
  const int hour12 = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
  switch (c) {
    case 'Y':
      *out += Number(t.tm_year + 1900, 1);
      return true;
    case 'y':
      *out += Number((t.tm_year + 1900) % 100, 2);
      return true;
    case 'C':
      *out += Number((t.tm_year + 1900) / 100, 2);
      return true;
    case 'm':
      *out += Number(t.tm_mon + 1, 2);
      return true;
    case 'd':
      *out += Number(t.tm_mday, 2);
      return true;
    case 'e':
      *out += Number(t.tm_mday, 2, ' ');
      return true;
    case 'H':
      *out += Number(t.tm_hour, 2);
      return true;
    case 'I':
      *out += Number(hour12, 2);
      return true;
    case 'k':
      *out += Number(t.tm_hour, 2, ' ');
      return true;
    case 'l':
      *out += Number(hour12, 2, ' ');
      return true;
    case 'M':
      *out += Number(t.tm_min, 2);
      return true;
    case 'S':
      *out += Number(t.tm_sec, 2);
      return true;
    case 'f':
      *out += "000000";
      return true;
    case 'j':
      *out += Number(t.tm_yday + 1, 3);
      return true;
    case 'p':
      *out += t.tm_hour < 12 ? "AM" : "PM";
      return true;
    case 'A':
      *out += kDays[t.tm_wday];
      return true;
    case 'a':
      *out += std::string(kDays[t.tm_wday]).substr(0, 3);
      return true;
    case 'B':
      *out += kMonths[t.tm_mon];
      return true;
    case 'b':
    case 'h':
      *out += std::string(kMonths[t.tm_mon]).substr(0, 3);
      return true;
    case 'w':
      *out += Number(t.tm_wday, 1);
      return true;
    case 'u':
      *out += Number(t.tm_wday == 0 ? 7 : t.tm_wday, 1);
      return true;
    case 's':
      *out += std::to_string(unix_s);
      return true;
    case 'z':
    case 'Z':
      return true;  // empty: the clock is naive
    case '%':
      *out += '%';
      return true;
    case 'n':
      *out += '\n';
      return true;
    case 't':
      *out += '\t';
      return true;
    case 'F':
      *out +=
          Number(t.tm_year + 1900, 4) + "-" + Number(t.tm_mon + 1, 2) + "-" + Number(t.tm_mday, 2);
      return true;
    case 'T':
    case 'X':
      *out += Number(t.tm_hour, 2) + ":" + Number(t.tm_min, 2) + ":" + Number(t.tm_sec, 2);
      return true;
    case 'R':
      *out += Number(t.tm_hour, 2) + ":" + Number(t.tm_min, 2);
      return true;
    case 'D':
    case 'x':
      *out += Number(t.tm_mon + 1, 2) + "/" + Number(t.tm_mday, 2) + "/" +
              Number((t.tm_year + 1900) % 100, 2);
      return true;
    default:
      return false;
  }
}

}  // namespace

bool FormatUtc(int64_t unix_s, std::string_view format, std::string* out, char* unknown) {
  unix_s = unix_s < kFirst ? kFirst : unix_s > kLast ? kLast : unix_s;
  const std::time_t time = static_cast<std::time_t>(unix_s);
  std::tm t{};
  gmtime_r(&time, &t);
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      *out += format[i];
      continue;
    }
    char c = format[++i];
    const bool unpadded = c == '-' && i + 1 < format.size();
    if (unpadded) c = format[++i];
    std::string piece;
    if (!Directive(t, unix_s, c, &piece)) {
      *unknown = c;
      return false;
    }
    if (unpadded) {
      while (piece.size() > 1 && (piece[0] == '0' || piece[0] == ' ')) piece.erase(0, 1);
    }
    *out += piece;
  }
  return true;
}

}  // namespace lull::jinja
