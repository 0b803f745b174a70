#include "bench/scorecard.h"

#include <algorithm>
#include <cstdio>
#include <ostream>
#include <string>

namespace lull {
namespace {

constexpr size_t kNameColumns = 30;
constexpr size_t kValueColumns = 13;
constexpr size_t kLimitColumns = 20;

std::string Format(const char* format, double value) {
  char text[64];
  snprintf(text, sizeof(text), format, value);
  return text;
}

// Columns on a terminal, for the text used here: one per code point.
size_t Columns(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Left(const std::string& text, size_t columns) {
  return text + std::string(columns - std::min(columns, Columns(text)), ' ');
}
std::string Right(const std::string& text, size_t columns) {
  return std::string(columns - std::min(columns, Columns(text)), ' ') + text;
}

std::string Title(const std::string& name) {
  if (name == "cpu_mean") return "CPU mean under load";
  if (name == "cpu_p99_100ms") return "CPU p99 of 100 ms windows";
  if (name == "cpu_p99_20ms") return "CPU p99 of 20 ms windows";
  if (name == "cpu_used") return "Allowed CPU used";
  if (name == "cpu_idle") return "CPU when idle";
  if (name == "latency_p95") return "Latency p95";
  if (name == "peak_memory") return "Peak memory";
  if (name == "bus") return "Bus, as the server says";
  if (name == "requests_failed") return "Requests failed";
  return name;
}

const char* FormatOf(const std::string& unit) {
  if (unit == "%") return "%.1f %%";
  if (unit == "s") return "%.2f s";
  if (unit == "MB") return "%.0f MB";
  if (unit == "GB/s") return "%.2f GB/s";
  if (unit == "ms") return "%.1f ms";
  if (unit == "x") return "%.2f x";
  return "%.0f";
}

class Card {
 public:
  Card(bool colors, std::ostream& out) : colors_(colors), out_(out) {}

  void Rule() {
    std::string rule;
    for (int i = 0; i < 78; ++i) rule += "─";
    out_ << "  " << Paint("2", rule) << "\n";
  }

  void Verdicts(const std::vector<VerdictLine>& lines) {
    out_ << "  "
         << Paint("2", Left("", kNameColumns) + Right("measured", kValueColumns) +
                           Right("limit", kLimitColumns) + "   verdict")
         << "\n";
    Rule();
    for (const VerdictLine& line : lines) {
      const char* const format = FormatOf(line.unit);
      std::string limit = (line.at_least ? "≥ " : "≤ ") + Format(format, line.limit);
      if (line.tolerance > 0) limit += Format(" (+%.1f)", line.tolerance);
      out_ << "  " << Left(Title(line.name), kNameColumns)
           << Right(line.measured.has_value() ? Format(format, *line.measured) : "-", kValueColumns)
           << Right(limit, kLimitColumns) << "   " << Word(line.verdict) << "\n";
      if (line.verdict == Verdict::kPass || line.reason.empty()) continue;
      out_ << "  " << Paint("2", "  " + line.reason.substr(0, 200)) << "\n";
    }
  }

  void Figure(const std::string& name, const std::string& text) {
    out_ << "  " << Left(name, kNameColumns) << "  " << text << "\n";
  }

  std::string Word(Verdict verdict) const {
    const char* const color = verdict == Verdict::kPass   ? "1;32"
                              : verdict == Verdict::kFail ? "1;31"
                                                          : "1;33";
    return Paint(color, VerdictName(verdict));
  }
  std::string Paint(const char* code, const std::string& text) const {
    return colors_ ? std::string("\033[") + code + "m" + text + "\033[0m" : text;
  }

 private:
  const bool colors_;
  std::ostream& out_;
};

std::string Share(const std::optional<double>& share) {
  return share.has_value() ? Format("%.1f %%", *share * 100) : "-";
}

std::string Seconds(const std::optional<QuantileEstimate>& estimate) {
  return estimate.has_value() ? Format("%.2f s", estimate->value) : "-";
}

std::string Interval(const QuantileEstimate& estimate) {
  const auto side = [](const std::optional<double>& bound) {
    return bound.has_value() ? Format("%.2f", *bound) : std::string("?");
  };
  std::string text = "[";
  text += side(estimate.low);
  text += ", ";
  text += side(estimate.high);
  text += "]";
  return text;
}

std::string Share(const std::optional<QuantileEstimate>& estimate) {
  return estimate.has_value() ? Format("%.1f %%", estimate->value * 100) : "-";
}

std::string Megabytes(const std::optional<int64_t>& bytes) {
  return bytes.has_value() ? Format("%.0f MB", static_cast<double>(*bytes) / 1e6) : "-";
}

std::string WindowText(const WindowFigures& window) {
  return "p50 " + Share(window.p50) + "   p99 " + Share(window.p99) + "   max " +
         Share(window.max) + "   of " + std::to_string(window.count);
}

std::string LatencyText(const BudgetBenchReport& report) {
  std::string text = "p50 " + Seconds(report.latency_p50) + "   p95 " + Seconds(report.latency_p95);
  if (!report.latency_p99.has_value()) return text + "   p99 - (100 answers needed)";
  return text + "   p99 " + Seconds(report.latency_p99);
}

std::string SpreadText(const BudgetBenchReport& report) {
  if (!report.latency_p99.has_value() || !report.latency_p50.has_value()) return "-";
  return Format("p99/p50 %.1f", report.latency_p99->value / report.latency_p50->value) +
         "   p99 within " + Interval(*report.latency_p99) + " s at 95 %";
}

}  // namespace

void PrintScorecard(const BudgetBenchReport& report, bool colors, std::ostream& out) {
  Card card(colors, out);
  out << "\n  " << card.Paint("1", "Budget scorecard") << "  " << report.server << ", process "
      << report.server_pid << ", " << report.server_cpus
      << (report.server_cpus == 1 ? " CPU" : " CPUs") << "\n";
  out << "  " << card.Paint("2", Describe(report.machine)) << "\n\n";
  card.Verdicts(report.verdicts);
  card.Rule();

  const double answered = static_cast<double>(std::max<int64_t>(report.requests_ok, 1));
  const std::string clients =
      report.arrivals_per_s > 0
          ? Format("%.2g arrivals a second", report.arrivals_per_s)
          : std::to_string(report.concurrency) + (report.concurrency == 1 ? " client" : " clients");
  card.Figure("Answers", std::to_string(report.requests_ok) + " in " +
                             Format("%.1f s", report.active_s) + ", " + clients);
  card.Figure("Tokens an answer", Format("%.0f in, ", report.prompt_tokens / answered) +
                                      Format("%.0f out", report.new_tokens / answered));
  card.Figure("Latency", LatencyText(report));
  card.Figure("Latency spread", SpreadText(report));
  card.Figure("CPU-seconds an answer", report.cpu_s_per_request.has_value()
                                           ? Format("%.3f s", *report.cpu_s_per_request)
                                           : "-");
  for (const WindowFigures& window : report.cpu.windows)
    card.Figure("CPU, " + std::to_string(window.width_ns / 1'000'000) + " ms windows",
                WindowText(window));
  card.Figure("Allowed CPU used", Share(report.used) + " while requests waited or ran");
  card.Figure("Samples dropped",
              std::to_string(report.cpu.dropped) + " of " + std::to_string(report.cpu.ticks));
  card.Figure("Peak memory", "RSS " + Megabytes(report.peak_rss_bytes) + "   PSS " +
                                 Megabytes(report.peak_pss_bytes));
  if (report.bus_bytes_per_s.has_value())
    card.Figure("Bus, as the server says", Format("%.2f GB/s", *report.bus_bytes_per_s / 1e9));
  if (report.receipts_cpu_s.has_value() && report.cpu_s.value_or(0) > 0)
    card.Figure("Receipts add up to",
                Format("%.1f %% of the CPU time", 100 * *report.receipts_cpu_s / *report.cpu_s));
  card.Figure("Rest of the machine",
              Share(report.others) + " busy, " + Share(report.steal) + " stolen by the host");
  for (const std::string& why : report.not_endpoint)
    card.Figure(&why == report.not_endpoint.data() ? "Not the endpoint load" : "", why);
  card.Rule();
  out << "  " << Left("Verdict", kNameColumns + kValueColumns + kLimitColumns) << "   "
      << card.Word(report.overall) << "\n\n";
}

void PrintOutcome(const Outcome& outcome, bool colors, std::ostream& out) {
  Card card(colors, out);
  out << "\n  " << card.Paint("1", outcome.title) << "\n\n";
  for (const auto& [name, text] : outcome.figures) card.Figure(name, text);
  if (!outcome.figures.empty()) card.Rule();
  card.Verdicts(outcome.verdicts);
  card.Rule();
  out << "  " << Left("Verdict", kNameColumns + kValueColumns + kLimitColumns) << "   "
      << card.Word(outcome.overall) << "\n\n";
}

}  // namespace lull
