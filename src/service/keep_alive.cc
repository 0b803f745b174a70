#include "service/keep_alive.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace lull {
namespace {

constexpr double kMostMs = 1000.0 * 3600 * 24 * 365 * 100;  // a century and for ever are one

struct Unit {
  std::string_view name;
  double ms;
};
// A longer name before its own beginning.
constexpr Unit kUnits[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1},
                           {"s", 1e3},   {"m", 6e4},   {"h", 36e5}};

Error Malformed(const std::string& text) {
  return {ErrorCode::kUsage, "keep_alive: '" + text.substr(0, 40) + "' is no duration",
          "keep_alive", "e.g. \"5m\", 300 (seconds), 0 (unload at once), -1 (for ever)"};
}

int64_t ToMs(double ms) { return static_cast<int64_t>(std::ceil(std::min(ms, kMostMs))); }

// Takes a number off the front; false where there is none.
bool TakeNumber(std::string_view* text, double* number) {
  if (text->empty() || !(text->front() == '.' || (text->front() >= '0' && text->front() <= '9')))
    return false;
  const auto [end, error] =
      std::from_chars(text->data(), text->data() + text->size(), *number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(*number)) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

bool TakeUnit(std::string_view* text, double* ms) {
  for (const Unit& unit : kUnits) {
    if (!text->starts_with(unit.name)) continue;
    text->remove_prefix(unit.name.size());
    *ms = unit.ms;
    return true;
  }
  return false;
}

}  // namespace

Result<int64_t> ParseKeepAlive(const std::string& text) {
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  double total_ms = 0, number = 0, unit_ms = 0;
  if (!TakeNumber(&rest, &number)) return Malformed(text);
  if (rest.empty()) {  // seconds
    if (negative && number > 0) return -1;
    return ToMs(1e3 * number);
  }
  for (bool more = true; more; more = !rest.empty() && TakeNumber(&rest, &number)) {
    if (!TakeUnit(&rest, &unit_ms)) return Malformed(text);
    total_ms += number * unit_ms;
  }
  if (!rest.empty()) return Malformed(text);
  if (negative && total_ms > 0) return -1;
  return ToMs(total_ms);
}

Result<int64_t> ParseKeepAlive(const Json& value) {
  if (value.is_string()) return ParseKeepAlive(value.get<std::string>());
  if (!value.is_number()) return Malformed(value.dump());
  const double seconds = value.get<double>();
  if (!std::isfinite(seconds)) return Malformed(value.dump());
  return seconds < 0 ? -1 : ToMs(1e3 * seconds);
}

}  // namespace lull
