#include "evidence/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace lull {
using Json = nlohmann::json;

// A report has headings, paragraphs, tables and drawings; Markdown and HTML write them each in
// their way.
class EvidenceReport::Writer {
 public:
  virtual ~Writer() = default;
  virtual void Heading(int level, const std::string& text) = 0;
  virtual void Paragraph(const std::string& text) = 0;
  virtual void Code(const std::string& text) = 0;
  virtual void Table(const std::vector<std::string>& head,
                     const std::vector<std::vector<std::string>>& rows) = 0;
  virtual void Drawing(const std::string& svg, const std::string& hint) = 0;
  virtual std::string Take() = 0;
};

namespace {

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

class MarkdownWriter : public EvidenceReport::Writer {
 public:
  void Heading(int level, const std::string& text) override {
    out_ += std::string(static_cast<size_t>(level), '#') + " " + Plain(text) + "\n\n";
  }
  void Paragraph(const std::string& text) override { out_ += Plain(text) + "\n\n"; }
  void Code(const std::string& text) override {
    out_ += "    ";
    for (const char c : text) out_ += c == '\n' ? std::string("\n    ") : std::string(1, c);
    out_ += "\n\n";
  }
  void Table(const std::vector<std::string>& head,
             const std::vector<std::vector<std::string>>& rows) override {
    Row(head);
    for (size_t i = 0; i < head.size(); ++i) out_ += "|---";
    out_ += "|\n";
    for (const auto& row : rows) Row(row);
    out_ += "\n";
  }
  void Drawing(const std::string&, const std::string& hint) override { Paragraph(hint); }
  std::string Take() override { return std::move(out_); }

 private:
  // Nothing of a record becomes markup.
  static std::string Plain(const std::string& text) {
    std::string out;
    for (const char c : Escaped(text)) {
      if (c == '|' || c == '`' || c == '*' || c == '_' || c == '[' || c == ']') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    return out;
  }
  void Row(const std::vector<std::string>& cells) {
    for (const std::string& cell : cells) out_ += "| " + Plain(cell) + " ";
    out_ += "|\n";
  }
  std::string out_;
};

class HtmlWriter : public EvidenceReport::Writer {
 public:
  explicit HtmlWriter(const std::string& title) {
    out_ =
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>" +
        Escaped(title) +
        "</title>\n<style>body{font:15px/1.45 system-ui,sans-serif;max-width:62em;margin:2em "
        "auto;padding:0 1em;color:#222}table{border-collapse:collapse;margin:.6em 0}td,th{border:"
        "1px solid #ccc;padding:.2em .6em;text-align:left}pre{background:#f5f5f5;padding:.6em;"
        "overflow-x:auto}.pass{color:#176b2c}.fail{color:#b00020;font-weight:bold}.unproven{"
        "color:#8a5a00}</style></head><body>\n";
  }
  void Heading(int level, const std::string& text) override { Tag(level == 1 ? "h1" : "h2", text); }
  void Paragraph(const std::string& text) override { Tag("p", text); }
  void Code(const std::string& text) override { Tag("pre", text); }
  void Table(const std::vector<std::string>& head,
             const std::vector<std::vector<std::string>>& rows) override {
    out_ += "<table><tr>";
    for (const std::string& cell : head) out_ += "<th>" + Escaped(cell) + "</th>";
    out_ += "</tr>\n";
    for (const auto& row : rows) {
      out_ += "<tr>";
      for (const std::string& cell : row) {
        const bool verdict = cell == "pass" || cell == "fail" || cell == "unproven";
        out_ += (verdict ? "<td class=\"" + cell + "\">" : "<td>") + Escaped(cell) + "</td>";
      }
      out_ += "</tr>\n";
    }
    out_ += "</table>\n";
  }
  void Drawing(const std::string& svg, const std::string&) override { out_ += svg + "\n"; }
  std::string Take() override { return std::move(out_) + "</body></html>\n"; }

 private:
  void Tag(const char* tag, const std::string& text) {
    out_.append("<").append(tag).append(">").append(Escaped(text));
    out_.append("</").append(tag).append(">\n");
  }
  std::string out_;
};

std::string Number(double value, int digits) {
  char text[64];
  snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

// The value at a path of keys; null where any is missing.
const Json& At(const Json& json, std::initializer_list<const char*> keys) {
  static const Json kNull;
  const Json* at = &json;
  for (const char* key : keys) {
    if (!at->is_object() || !at->contains(key)) return kNull;
    at = &(*at)[key];
  }
  return *at;
}

std::string TextAt(const Json& json, std::initializer_list<const char*> keys) {
  const Json& value = At(json, keys);
  if (value.is_string()) return value.get<std::string>();
  return value.is_null() ? "-" : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string NumberAt(const Json& json, std::initializer_list<const char*> keys, double scale,
                     int digits, const char* unit) {
  const Json& value = At(json, keys);
  if (!value.is_number()) return "-";
  return Number(value.get<double>() * scale, digits) + unit;
}

void WriteVerdicts(const Json& record, EvidenceReport::Writer* out) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& line : At(record, {"verdicts"})) {
    if (!line.is_object()) continue;
    const std::string unit = At(line, {"unit"}).is_string() ? TextAt(line, {"unit"}) : "";
    const bool at_least = At(line, {"at_least"}) == true;
    rows.push_back({TextAt(line, {"name"}), NumberAt(line, {"measured"}, 1, 3, " ") + unit,
                    (at_least ? "≥ " : "≤ ") + NumberAt(line, {"limit"}, 1, 3, " ") + unit,
                    TextAt(line, {"verdict"}),
                    At(line, {"reason"}).is_string() ? TextAt(line, {"reason"}) : ""});
  }
  if (!rows.empty()) out->Table({"line", "measured", "limit", "verdict", "why"}, rows);
}

void WriteWindows(const Json& record, EvidenceReport::Writer* out) {
  std::vector<std::vector<std::string>> rows;
  for (const char* name : {"windows_20ms", "windows_50ms", "windows_100ms", "windows_1000ms"}) {
    const Json& window = At(record, {"cpu", name});
    if (!window.is_object()) continue;
    const Json& p99 = At(window, {"p99"});
    rows.push_back({std::string(name).substr(8), NumberAt(window, {"p50", "value"}, 100, 1, " %"),
                    NumberAt(window, {"p95", "value"}, 100, 1, " %"),
                    NumberAt(window, {"p99", "value"}, 100, 1, " %"),
                    NumberAt(p99, {"low"}, 100, 1, "") + " to " +
                        NumberAt(p99, {"high"}, 100, 1, ""),
                    NumberAt(window, {"max"}, 100, 1, " %"), TextAt(window, {"count"})});
  }
  if (!rows.empty())
    out->Table({"CPU windows", "p50", "p95", "p99", "95 % interval", "max", "windows"}, rows);
}

void WriteLatency(const Json& record, EvidenceReport::Writer* out) {
  const Json& latency = At(record, {"latency_s"});
  if (!latency.is_object()) return;
  std::vector<std::string> row;
  for (const char* q : {"p50", "p95", "p99"})
    row.push_back(NumberAt(latency, {q, "value"}, 1, 3, " s") + " [" +
                  NumberAt(latency, {q, "low"}, 1, 3, "") + ", " +
                  NumberAt(latency, {q, "high"}, 1, 3, "") + "]");
  row.push_back(NumberAt(record, {"cpu", "seconds_per_request"}, 1, 3, " s"));
  row.push_back(NumberAt(record, {"peak_pss_bytes"}, 1e-6, 0, " MB"));
  out->Table({"latency p50", "p95", "p99", "CPU-seconds a request", "peak PSS"}, {row});
}

// Whatever has no table of its own, without the long series.
Json Rest(Json record) {
  for (const char* shown : {"verdicts", "command", "time", "machine", "commit", "signature", "key",
                            "chain", "overall", "kind", "latency_s"})
    record.erase(shown);
  if (record.contains("cpu") && record["cpu"].is_object()) record["cpu"].erase("series_100ms");
  return record;
}

void WriteRecord(const Json& record, int64_t line, EvidenceReport::Writer* out) {
  out->Heading(2, "Line " + std::to_string(line) + ": " + TextAt(record, {"kind"}) + ", " +
                      TextAt(record, {"time"}));
  if (record.contains("command")) out->Code(TextAt(record, {"command"}));
  out->Paragraph("Verdict: " + TextAt(record, {"overall"}) +
                 ". Machine: " + TextAt(record, {"machine", "cpu_model"}) + ", " +
                 TextAt(record, {"machine", "cpus"}) + " CPUs, Linux " +
                 TextAt(record, {"machine", "kernel"}) + ". Commit " + TextAt(record, {"commit"}) +
                 ", arithmetic version " + TextAt(record, {"arithmetic_version"}) + ".");
  WriteVerdicts(record, out);
  WriteLatency(record, out);
  WriteWindows(record, out);
  const std::optional<std::string> svg = CpuSvg(record);
  if (svg.has_value())
    out->Drawing(*svg, "(its CPU windows as a drawing: lull report FILE --svg " +
                           std::to_string(line) + ")");
  out->Code(Rest(record).dump(1, ' ', false, Json::error_handler_t::replace));
}

void WriteChain(const ChainReport& chain, EvidenceReport::Writer* out) {
  std::string text = std::to_string(chain.records) + " records: ";
  text += chain.ok() ? "nothing is missing, altered or out of order." : "NOT INTACT.";
  for (const std::string& note : chain.notes) text += " " + note + ".";
  for (const std::string& key : chain.keys) text += " Signed by " + key + ".";
  out->Paragraph(text);
  std::vector<std::vector<std::string>> rows;
  for (const ChainFinding& finding : chain.findings)
    rows.push_back({std::to_string(finding.line), finding.problem});
  if (!rows.empty()) out->Table({"line", "problem"}, rows);
}

std::vector<double> Column(const Json& series, const char* name) {
  std::vector<double> values;
  for (const Json& value : At(series, {name}))
    values.push_back(value.is_number() ? value.get<double>() : 0.0);
  return values;
}

// Share against time inside a frame.
class Plot {
 public:
  Plot(double seconds, double highest) : seconds_(seconds), highest_(highest) {}
  std::string X(double s) const { return Number(kLeft + s / seconds_ * (kWidth - kLeft - 10), 1); }
  std::string Y(double share) const {
    return Number(kHeight - kBottom - share / highest_ * (kHeight - kBottom - kTop), 1);
  }
  std::string Line(const std::vector<double>& at_s, const std::vector<double>& shares,
                   bool backwards = false) const {
    std::string points;
    for (size_t k = 0; k < at_s.size(); ++k) {
      const size_t i = backwards ? at_s.size() - 1 - k : k;
      points += X(at_s[i]) + "," + Y(shares[i]) + " ";
    }
    return points;
  }
  std::string Level(double share, const char* style, const std::string& label) const {
    return "<line x1=\"" + Number(kLeft, 0) + "\" x2=\"" + Number(kWidth - 10, 0) + "\" y1=\"" +
           Y(share) + "\" y2=\"" + Y(share) + "\" " + style + "/><text x=\"" +
           Number(kLeft - 6, 0) + "\" y=\"" + Y(share) +
           "\" text-anchor=\"end\" dominant-baseline=\"middle\">" + label + "</text>";
  }

  static constexpr double kWidth = 860, kHeight = 240, kLeft = 56, kTop = 30, kBottom = 26;

 private:
  const double seconds_, highest_;
};

}  // namespace

std::optional<std::string> CpuSvg(const nlohmann::json& record) {
  const Json& series = At(record, {"cpu", "series_100ms"});
  const std::vector<double> at_s = Column(series, "from_s"), mean = Column(series, "mean"),
                            low = Column(series, "min"), high = Column(series, "max");
  if (at_s.size() < 2 || mean.size() != at_s.size() || low.size() != at_s.size() ||
      high.size() != at_s.size())
    return std::nullopt;
  const auto budget = [&](const char* key) {
    const Json& value = At(record, {"budget", key});
    return value.is_number() ? value.get<double>() : 0.0;
  };
  const double mean_share = budget("cpu_mean"), p99_share = budget("cpu_p99");
  const double highest = std::max({0.05, p99_share, *std::max_element(high.begin(), high.end())});
  const Plot plot(std::max(at_s.back(), 1e-3), highest * 1.05);
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 240\" width=\"860\" "
      "height=\"240\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">"
      "<title>CPU share over time</title><rect width=\"860\" height=\"240\" "
      "fill=\"#fff\"/><text x=\"56\" y=\"18\" font-weight=\"bold\">CPU share of 100 ms "
      "windows: lowest to highest (band) and mean (line)</text>";
  svg += plot.Level(0, "stroke=\"#888\"", "0 %");
  svg += plot.Level(highest, "stroke=\"#ddd\"", Number(highest * 100, 0) + " %");
  if (mean_share > 0)
    svg += plot.Level(mean_share, "stroke=\"#176b2c\" stroke-dasharray=\"6 3\"",
                      Number(mean_share * 100, 0) + " %");
  if (p99_share > 0 && p99_share < highest)
    svg += plot.Level(p99_share, "stroke=\"#b00020\" stroke-dasharray=\"6 3\"",
                      Number(p99_share * 100, 0) + " %");
  svg += "<polygon fill=\"#4477aa\" fill-opacity=\"0.3\" points=\"" + plot.Line(at_s, high) +
         plot.Line(at_s, low, true) + "\"/><polyline fill=\"none\" stroke=\"#224466\" points=\"" +
         plot.Line(at_s, mean) + "\"/>";
  svg += "<text x=\"850\" y=\"232\" text-anchor=\"end\">" + Number(at_s.back(), 0) +
         " s</text><text x=\"56\" y=\"232\">0 s</text></svg>";
  return svg;
}

EvidenceReport::EvidenceReport(std::string name, const std::string& records, ChainReport chain,
                               size_t last)
    : name_(std::move(name)), chain_(std::move(chain)) {
  int64_t line = 0;
  for (size_t begin = 0; begin < records.size();) {
    const size_t end = std::min(records.find('\n', begin), records.size());
    Json record = Json::parse(records.substr(begin, end - begin), nullptr, false);
    ++line;
    if (record.is_object()) entries_.push_back({line, std::move(record)});
    begin = end + 1;
  }
  if (last > 0 && entries_.size() > last)
    entries_.erase(entries_.begin(), entries_.end() - static_cast<int64_t>(last));
}

void EvidenceReport::Write(Writer* out) const {
  out->Heading(1, "Evidence: " + name_);
  WriteChain(chain_, out);
  for (const Entry& entry : entries_) WriteRecord(entry.record, entry.line, out);
}

std::string EvidenceReport::Markdown() const {
  MarkdownWriter out;
  Write(&out);
  return out.Take();
}

std::string EvidenceReport::Html() const {
  HtmlWriter out("Evidence: " + name_);
  Write(&out);
  return out.Take();
}

std::optional<std::string> EvidenceReport::Svg(int64_t line) const {
  for (const Entry& entry : entries_)
    if (entry.line == line) return CpuSvg(entry.record);
  return std::nullopt;
}

}  // namespace lull
