#include <charconv>
#include <cmath>
#include <span>
#include <string_view>

#include "lull/budget.h"

namespace lull {
namespace {

struct Unit {
  const char* name;
  double factor;
};
constexpr Unit kByteUnits[] = {{"B", 1},
                               {"kB", 1e3},
                               {"KB", 1e3},
                               {"MB", 1e6},
                               {"GB", 1e9},
                               {"TB", 1e12},
                               {"KiB", 1024.0},
                               {"MiB", 1048576.0},
                               {"GiB", 1073741824.0},
                               {"TiB", 1099511627776.0}};
constexpr Unit kTimeUnits[] = {{"ms", 1e-3}, {"s", 1}, {"min", 60}, {"m", 60}};
constexpr double kMost = 1e18;  // in bytes or seconds; fits 64 bits

struct Quantity {
  const char* what;
  std::span<const Unit> units;
  std::string_view suffix;  // behind the unit
  const char* hint;
};

Result<double> Parse(const std::string& text, const Quantity& quantity) {
  const std::string shown = std::string("\"").append(text, 0, 40).append("\"");
  const Status no = {ErrorCode::kUsage, std::string("not a ") + quantity.what + ": " + shown, "",
                     quantity.hint};
  double number = 0.0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) return no;
  std::string_view unit(stop, static_cast<size_t>(end - stop));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  if (!unit.ends_with(quantity.suffix)) return no;
  unit.remove_suffix(quantity.suffix.size());
  for (const Unit& known : quantity.units) {
    if (unit != known.name) continue;
    const double value = number * known.factor;
    if (value > 0.0 && value <= kMost) return value;
    return Status(ErrorCode::kUsage, std::string(quantity.what) + " out of range: " + shown, "",
                  "give more than 0");
  }
  return no;
}

}  // namespace

Result<int64_t> ParseByteCount(const std::string& text) {
  LULL_ASSIGN_OR_RETURN(const double bytes,
                        Parse(text, {"byte count", kByteUnits, "",
                                     "write a number and B, kB, MB, GB, KiB, MiB or GiB: 512MiB"}));
  if (bytes < 1.0)
    return Status(ErrorCode::kUsage, "less than a byte: " + text.substr(0, 40), "",
                  "give at least 1B");
  return static_cast<int64_t>(std::llround(bytes));
}

Result<double> ParseByteRate(const std::string& text) {
  return Parse(text, {"byte rate", kByteUnits, "/s",
                      "write a number and kB/s, MB/s, GB/s, MiB/s or GiB/s: 8GB/s"});
}

Result<double> ParseDuration(const std::string& text) {
  return Parse(text, {"duration", kTimeUnits, "", "write a number and ms, s or min: 2.5s"});
}

}  // namespace lull
