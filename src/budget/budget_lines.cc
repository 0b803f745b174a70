// Budgets as text: lines of a key and a value, whoever sends them.
#include <charconv>
#include <cmath>

#include "lull/budget.h"

// Nothing throws: parse errors come back as values.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// Nor aborts: "[?" would in a build with assertions, though it is a parse error like others.
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

namespace lull {
namespace {

// The shortest decimal that reads back as the same number, without an exponent.
std::string Number(double value) {
  char text[400];
  const auto [end, error] =
      std::to_chars(text, text + sizeof(text), value, std::chars_format::fixed);
  return error == std::errc() ? std::string(text, end) : "0";
}

// In the largest unit of 1024 or 1000 that divides it.
std::string Bytes(int64_t bytes) {
  constexpr struct {
    int64_t factor;
    const char* name;
  } kUnits[] = {{int64_t{1} << 30, "GiB"}, {1'000'000'000, "GB"}, {int64_t{1} << 20, "MiB"},
                {1'000'000, "MB"},         {1 << 10, "KiB"},      {1'000, "kB"}};
  for (const auto& unit : kUnits)
    if (bytes % unit.factor == 0) return std::to_string(bytes / unit.factor) + unit.name;
  return std::to_string(bytes) + "B";
}

std::string Rate(double bytes_per_s) {
  if (bytes_per_s >= 1e9) return Number(bytes_per_s / 1e9) + "GB/s";
  return Number(bytes_per_s / 1e6) + "MB/s";
}

std::string Share(double share) { return Number(share * 100.0) + "%"; }

struct Line {
  const char* key;
  Status (*set)(const std::string& value, Budget* budget);
  std::string (*get)(const Budget& budget);  // "" where it is not declared
};

template <typename T>
Status Store(Result<T> value, T* target) {
  if (value.ok()) *target = *value;
  return value.ok() ? Status() : value.status();
}

const Line kLines[] = {
    {"cpu",
     [](const std::string& v, Budget* b) { return Store(ParseCpuShare(v), &b->cpu.mean_share); },
     [](const Budget& b) { return b.cpu.mean_share > 0 ? Share(b.cpu.mean_share) : ""; }},
    {"cpu_p99",
     [](const std::string& v, Budget* b) { return Store(ParseCpuShare(v), &b->cpu.p99_share); },
     [](const Budget& b) { return b.cpu.p99_share > 0 ? Share(b.cpu.p99_share) : ""; }},
    {"mem_bw",
     [](const std::string& v, Budget* b) {
       if (v.empty()) return Store<double>(0.0, &b->mem_bw_bytes_per_s);
       return Store(ParseByteRate(v), &b->mem_bw_bytes_per_s);
     },
     [](const Budget& b) {
       return b.mem_bw_bytes_per_s > 0 ? Rate(b.mem_bw_bytes_per_s) : std::string();
     }},
    {"ram",
     [](const std::string& v, Budget* b) {
       if (v.empty()) return Store<int64_t>(0, &b->ram_bytes);
       return Store(ParseByteCount(v), &b->ram_bytes);
     },
     [](const Budget& b) { return b.ram_bytes > 0 ? Bytes(b.ram_bytes) : std::string(); }},
    {"p95",
     [](const std::string& v, Budget* b) {
       if (v.empty()) return Store<double>(0.0, &b->p95_latency_s);
       return Store(ParseDuration(v), &b->p95_latency_s);
     },
     [](const Budget& b) {
       return b.p95_latency_s > 0 ? Number(b.p95_latency_s) + "s" : std::string();
     }},
    {"kv_per_session",
     [](const std::string& v, Budget* b) {
       if (v.empty()) return Store<int64_t>(0, &b->kv_per_session_bytes);
       return Store(ParseByteCount(v), &b->kv_per_session_bytes);
     },
     [](const Budget& b) {
       return b.kv_per_session_bytes > 0 ? Bytes(b.kv_per_session_bytes) : std::string();
     }},
};

std::string Keys() {
  std::string keys;
  for (const Line& line : kLines) keys += (keys.empty() ? "" : ", ") + std::string(line.key);
  return keys;
}

Error At(Error error, const std::string& name, const toml::source_region& source,
         const std::string& key) {
  error.where = name + ":" + std::to_string(source.begin.line) + (key.empty() ? "" : ": " + key);
  return error;
}

// Nothing of a budget but comments is written beyond ASCII, and the parser's tables of blanks there
// run into what the compiler may take for unreachable (U+02D2 outside of strings does).
std::string InAscii(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return text;
}

}  // namespace

Status SetBudgetLine(const std::string& key, const std::string& value, Budget* budget) {
  for (const Line& line : kLines) {
    if (key != line.key) continue;
    const Status status = line.set(value == "none" ? "" : value, budget);
    if (status.ok()) return status;
    Error error = status.error();
    error.where = key;
    return error;
  }
  return {ErrorCode::kUsage, "no line of a budget: \"" + key.substr(0, 40) + "\"",
          key.substr(0, 40), "the lines are " + Keys()};
}

std::vector<BudgetLine> BudgetLines(const Budget& budget) {
  std::vector<BudgetLine> lines;
  for (const Line& line : kLines) {
    std::string value = line.get(budget);
    if (!value.empty()) lines.push_back({line.key, std::move(value)});
  }
  return lines;
}

Result<Budget> ParseBudgetToml(const std::string& text, const std::string& name) {
  const toml::parse_result parsed = toml::parse(InAscii(text));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return At({ErrorCode::kUsage, std::string(error.description()), "",
               "write lines such as cpu = \"35%\""},
              name, error.source(), "");
  }
  Budget budget;
  for (const auto& [toml_key, node] : parsed.table()) {
    const std::string key(toml_key.str());
    const auto value = node.value_exact<std::string>();
    if (!value.has_value())
      return At({ErrorCode::kUsage, "the value is no text", "", "put it in quotes: cpu = \"35%\""},
                name, toml_key.source(), key);
    const Status status = SetBudgetLine(key, *value, &budget);
    if (!status.ok()) return At(status.error(), name, toml_key.source(), key);
  }
  return budget;
}

}  // namespace lull
