#include "cli/terminal_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/os/os.h"
#include "cli/environment.h"

namespace lull {
namespace {

bool WantsColours() { return EnvironmentVariable("NO_COLOR").empty(); }

bool Continues(char c) { return (c & 0xC0) == 0x80; }

}  // namespace

Painter::Painter(int fd) : colours_(os::IsTerminal(fd) && WantsColours()) {}

std::string Painter::Paint(const char* code, const std::string& text) const {
  return colours_ ? std::string("\033[") + code + "m" + text + "\033[0m" : text;
}

size_t Columns(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !Continues(c); }));
}

std::string Left(const std::string& text, size_t columns) {
  return text + std::string(columns - std::min(columns, Columns(text)), ' ');
}

std::string Right(const std::string& text, size_t columns) {
  return std::string(columns - std::min(columns, Columns(text)), ' ') + text;
}

std::string Printable(const std::string& text, size_t most) {
  std::string out;
  size_t columns = 0;
  for (const char c : text) {
    if (!Continues(c) && ++columns > most) break;
    const auto byte = static_cast<unsigned char>(c);
    // C1 controls are U+0080 to U+009F, 0xC2 and a byte: dropped with the rest of their lead.
    out += byte < 0x20 || byte == 0x7F || byte == 0xC2 ? '?' : c;
  }
  return out;
}

std::string Bar(double share, size_t columns, double limit) {
  const auto at = [columns](double value) {
    const double clipped = std::isfinite(value) ? std::clamp(value, 0.0, 1.0) : 0.0;
    return static_cast<size_t>(std::lround(clipped * static_cast<double>(columns)));
  };
  const size_t filled = at(share);
  const size_t mark = limit >= 0 ? std::min(at(limit), columns - 1) : columns;
  std::string bar;
  for (size_t i = 0; i < columns; ++i) bar += i == mark ? "┃" : i < filled ? "━" : "─";
  return bar;
}

std::string NumberText(const char* format, double value) {
  char text[64];
  snprintf(text, sizeof text, format, value);
  return text;
}

std::string PercentText(double share) { return NumberText("%.1f %%", 100.0 * share); }

std::string BytesText(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  for (; std::fabs(bytes) >= 1000.0 && unit < 4; ++unit) bytes /= 1000.0;
  return NumberText(unit > 0 && std::fabs(bytes) < 100.0 ? "%.1f " : "%.0f ", bytes) + kUnits[unit];
}

std::string MsText(double ms) {
  if (ms >= 1000.0) return NumberText(ms >= 10000.0 ? "%.1f s" : "%.2f s", ms / 1000.0);
  return NumberText(ms >= 10.0 ? "%.0f ms" : "%.1f ms", ms);
}

std::string AgeText(double seconds) {
  const auto s = static_cast<long long>(std::clamp(seconds, 0.0, 1e12));
  const auto text = [](long long value, const char* unit) { return std::to_string(value) + unit; };
  if (s >= 86400) return text(s / 86400, " d ") + text(s / 3600 % 24, " h");
  if (s >= 3600) return text(s / 3600, " h ") + text(s / 60 % 60, " min");
  return s >= 60 ? text(s / 60, " min") : text(s, " s");
}

}  // namespace lull
