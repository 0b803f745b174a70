// The filter table, and filters on text and numbers.
#include "chat/filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "chat/sequence_filters.h"
#include "chat/string_methods.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

constexpr int kMaxFilterDepth = 16;

// soft_str: a string stays as it is, with its markup.
Value SoftString(Run& run, const Value& value) {
  return value.is(Kind::kString) ? value : run.String(Str(run, value));
}

Value StringMethod(Run& run, const Value& value, const char* method, const Args& args) {
  const Value text = SoftString(run, value);
  return run.ok() ? CallStringMethod(run, text, method, args) : Value();
}

Value Upper(Run& run, const Value& v, const Args& a) { return StringMethod(run, v, "upper", a); }
Value Lower(Run& run, const Value& v, const Args& a) { return StringMethod(run, v, "lower", a); }
Value Capitalize(Run& run, const Value& v, const Args& a) {
  return StringMethod(run, v, "capitalize", a);
}

Value Trim(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "trim", args, {"chars"}, 0);
  Args strip;
  if (bound.ok() && bound[0] != nullptr) strip.pos.push_back(*bound[0]);
  return bound.ok() ? StringMethod(run, value, "strip", strip) : Value();
}

Value Center(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "center", args, {"width"}, 0);
  Args center;
  center.pos.push_back(bound.ok() && bound[0] != nullptr ? *bound[0] : Value::Int(80));
  return bound.ok() ? StringMethod(run, value, "center", center) : Value();
}

// Words start after whitespace, '-', and opening brackets.
Value Title(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "title", args, {}, 0);
  const std::string text = bound.ok() ? Str(run, value) : "";
  std::string out;
  bool start = true;
  size_t word = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t at = i;
    const char32_t c = NextCodePoint(run.work(), text, &i);
    const bool separator = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    if (separator || start) {
      if (word < at)
        out += jinja::Lower(run.work(), std::string_view(text).substr(word, at - word));
      if (separator)
        out.append(text, at, i - at);
      else
        AppendUpper(c, &out);
      word = i;
    }
    start = separator;
  }
  if (word < text.size()) out += jinja::Lower(run.work(), std::string_view(text).substr(word));
  return run.Work(static_cast<int64_t>(text.size()) * 16) ? run.String(std::move(out)) : Value();
}

Value Replace(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "replace", args, {"old", "new", "count"}, 2);
  if (!bound.ok()) return Value();
  const bool all = bound[2] == nullptr || bound[2]->is(Kind::kNone);
  const int64_t count = all ? -1 : bound.Int(2, -1);
  const std::string text = Str(run, value), from = Str(run, *bound[0]), to = Str(run, *bound[1]);
  return run.ok() ? ReplaceText(run, text, from, to, count, false) : Value();
}

Value ToString(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "string", args, {}, 0);
  return bound.ok() ? SoftString(run, value) : Value();
}

Value Safe(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "safe", args, {}, 0);
  return bound.ok() ? run.String(Str(run, value), true) : Value();
}

Value Escape(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "escape", args, {}, 0);
  if (!bound.ok()) return Value();
  if (value.is(Kind::kString) && value.string().markup) return value;
  return run.String(EscapeHtml(run.work(), Str(run, value)), true);
}

Value ForceEscape(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "forceescape", args, {}, 0);
  return bound.ok() ? run.String(EscapeHtml(run.work(), Str(run, value)), true) : Value();
}

Value Indent(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "indent", args, {"width", "first", "blank"}, 0);
  if (!bound.ok()) return Value();
  std::string indent;
  if (bound[0] != nullptr && bound[0]->is(Kind::kString)) {
    indent = bound[0]->text();
  } else {
    const int64_t width = bound.Int(0, 4);
    if (!run.CheckStringSize(width)) return Value();
    indent.assign(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
  }
  const bool first = bound.Flag(1, false), blank = bound.Flag(2, false);
  if (!value.is(Kind::kString)) {
    // jinja2 adds a newline to the value, which only a string can take.
    return run.TypeError(std::string("indent needs a string, not '") + TypeName(value) + "'");
  }
  const std::string text = value.text() + "\n";
  std::string out = first ? indent : "";
  const auto lines = SplitLines(run.work(), text, false);
  for (size_t i = 0; i < lines.size() && run.Step(); ++i) {
    if (i != 0) out += "\n";
    if (i != 0 && (blank || !lines[i].empty())) out += indent;
    AppendPaced(run.work(), lines[i], &out);
    if (!run.CheckStringSize(static_cast<int64_t>(out.size()))) return Value();
  }
  return run.String(std::move(out), value.string().markup);
}

Value WordCount(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "wordcount", args, {}, 0);
  const std::string text = bound.ok() ? Str(run, value) : "";
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(run.work(), text, &i);
    const bool word = IsAlpha(c) || IsNumeric(c) || c == '_';
    words += word && !inside;
    inside = word;
  }
  return Value::Int(words);
}

// Tags and comments go, whitespace collapses.
Value StripTags(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "striptags", args, {}, 0);
  const std::string text = bound.ok() ? Str(run, value) : "";
  std::string kept;
  size_t at = 0;
  while (true) {
    const size_t start = text.find('<', at);
    if (start == std::string::npos) break;
    const bool comment = text.compare(start, 4, "<!--") == 0;
    const size_t end = comment ? text.find("-->", start + 4) : text.find('>', start);
    if (end == std::string::npos) break;
    AppendPaced(run.work(), std::string_view(text).substr(at, start - at), &kept);
    at = end + (comment ? 3 : 1);
  }
  AppendPaced(run.work(), std::string_view(text).substr(at), &kept);
  if (kept.find('&') != std::string::npos) {
    return run.Unsupported("striptags of a text with HTML entities");
  }
  std::string out;
  for (std::string_view word : SplitWords(run.work(), kept)) {
    if (!out.empty()) out += ' ';
    run.work()->Spend(2);
    AppendPaced(run.work(), word, &out);
  }
  return run.String(std::move(out));
}

Value Format(Run& run, const Value& value, const Args& args) {
  if (!args.pos.empty() && !args.named.empty()) {
    return run.TypeError("format takes positional or keyword arguments, not both");
  }
  const Value text = SoftString(run, value);
  if (args.named.empty()) return run.ok() ? PercentFormat(run, text, run.Tuple(args.pos)) : Value();
  auto dict = run.NewDict();
  for (const auto& [name, item] : args.named) {
    if (!run.Put(*dict, run.String(name), item)) return Value();
  }
  const Value named = run.FinishDict(std::move(dict));
  return run.ok() ? PercentFormat(run, text, named) : Value();
}

Value ToJsonFilter(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  if (!bound.ok()) return Value();
  JsonStyle style;
  style.ensure_ascii = bound.Flag(0, false);
  style.sort_keys = bound.Flag(3, false);
  if (bound[1] != nullptr && !bound[1]->is(Kind::kNone)) {
    style.pretty = true;
    style.item_separator.assign(1, ',');
    if (bound[1]->is(Kind::kString)) {
      style.indent = bound[1]->text();
    } else {
      const int64_t width = bound.Int(1, 0);
      if (!run.CheckStringSize(width)) return Value();
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
    }
  }
  if (bound[2] != nullptr && !bound[2]->is(Kind::kNone)) {
    Values both;
    if (!Iterate(run, *bound[2], &both)) return Value();
    if (both.size() != 2 || !both[0].is(Kind::kString) || !both[1].is(Kind::kString)) {
      return run.TypeError("tojson's separators must be two strings");
    }
    style.item_separator = both[0].text();
    style.key_separator = both[1].text();
  }
  return run.ok() ? run.String(ToJson(run, value, style)) : Value();
}

Value Default(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "default", args, {"default_value", "boolean"}, 0);
  if (!bound.ok()) return Value();
  const bool missing = value.is(Kind::kUndefined) || (bound.Flag(1, false) && !Truthy(value));
  if (!missing) return value;
  return bound[0] == nullptr ? run.String("") : *bound[0];
}

// --- numbers ---

std::string DropUnderscores(WorkMeter* work, std::string_view text, bool* valid) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    work->Spend(1);
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const auto digit = [&](size_t k) {
      return k < text.size() && std::isalnum(static_cast<unsigned char>(text[k])) != 0;
    };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) *valid = false;
  }
  return out;
}

// int(text, base): 1 parsed, 0 not a number, -1 does not fit.
int ParseInt(WorkMeter* work, std::string_view source, int base, int64_t* out) {
  bool valid = true;
  std::string digits = DropUnderscores(work, StripSpace(work, source, true, true), &valid);
  const bool negative = !digits.empty() && digits[0] == '-';
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.erase(0, 1);
  if (digits.size() > 2 && digits[0] == '0' && base != 10) {
    const char x = static_cast<char>(digits[1] | 0x20);
    if ((x == 'x' && base == 16) || (x == 'o' && base == 8) || (x == 'b' && base == 2)) {
      digits.erase(0, 2);
    }
  }
  if (!valid || digits.empty() || digits[0] == '-' || digits[0] == '+') return 0;
  if (negative) digits.insert(digits.begin(), '-');
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), *out, base);
  if (parsed.ptr != digits.data() + digits.size()) return 0;
  return parsed.ec == std::errc() ? 1 : -1;
}

bool ParseFloat(WorkMeter* work, std::string_view source, double* out) {
  bool valid = true;
  std::string text = DropUnderscores(work, StripSpace(work, source, true, true), &valid);
  if (!text.empty() && text[0] == '+') text.erase(0, 1);
  if (!valid || text.empty() || text[0] == '+') return false;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (parsed.ptr != text.data() + text.size()) return false;
  if (parsed.ec == std::errc::result_out_of_range) {
    const bool tiny = text.find("e-") != std::string::npos || text.find("E-") != std::string::npos;
    *out = tiny ? 0.0 : HUGE_VAL;
    if (text[0] == '-') *out = -*out;
  }
  return text.find('(') == std::string::npos;  // "nan(...)" is C's, not Python's
}

Value FloatToInt(Run& run, double d, const Value& otherwise) {
  if (std::isnan(d) || std::isinf(d)) return otherwise;
  if (d >= 9223372036854775808.0 || d < -9223372036854775808.0) {
    return run.Unsupported("an integer that does not fit 64 bits");
  }
  return Value::Int(static_cast<int64_t>(d));
}

Value UndefinedNumber(Run& run, const Value& value) {
  return run.TypeError(value.object() == nullptr ? "a number from an undefined value"
                                                 : value.as<UndefinedObject>().message);
}

Value ToInt(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "int", args, {"default", "base"}, 0);
  if (!bound.ok()) return Value();
  const Value otherwise = bound[0] == nullptr ? Value::Int(0) : *bound[0];
  if (value.is(Kind::kUndefined)) return UndefinedNumber(run, value);
  if (value.is_integral()) return Value::Int(value.as_int());
  if (value.is(Kind::kFloat)) return FloatToInt(run, value.as_float(), otherwise);
  if (!value.is(Kind::kString)) return otherwise;
  if (!run.Work(static_cast<int64_t>(value.text().size()) * 4)) return Value();
  const int64_t base = bound.Int(1, 10);
  if (base < 2 || base > 36) return run.Unsupported("int with a base outside 2 to 36");
  int64_t number = 0;
  const int parsed = ParseInt(run.work(), value.text(), static_cast<int>(base), &number);
  if (parsed < 0) return run.Unsupported("an integer that does not fit 64 bits");
  if (parsed > 0) return Value::Int(number);
  double d = 0;
  return ParseFloat(run.work(), value.text(), &d) ? FloatToInt(run, d, otherwise) : otherwise;
}

Value ToFloat(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "float", args, {"default"}, 0);
  if (!bound.ok()) return Value();
  if (value.is(Kind::kUndefined)) return UndefinedNumber(run, value);
  if (value.is_number()) return Value::Float(value.as_float());
  double d = 0;
  if (value.is(Kind::kString)) run.Work(static_cast<int64_t>(value.text().size()) * 4);
  if (value.is(Kind::kString) && ParseFloat(run.work(), value.text(), &d)) return Value::Float(d);
  return bound[0] == nullptr ? Value::Float(0.0) : *bound[0];
}

Value Abs(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "abs", args, {}, 0);
  if (!bound.ok()) return Value();
  if (value.is(Kind::kUndefined)) return UndefinedNumber(run, value);
  if (!value.is_number()) {
    return run.TypeError(std::string("bad operand type for abs(): '") + TypeName(value) + "'");
  }
  if (value.is(Kind::kFloat)) return Value::Float(std::fabs(value.as_float()));
  return value.as_int() < 0 ? Negate(run, value, '-') : Value::Int(value.as_int());
}

// Python's round(): half to even in the decimal expansion, which printf's %.*f does exactly.
double RoundTo(double d, int64_t digits) {
  if (!std::isfinite(d) || digits > 323) return d;
  if (digits >= 0) {
    char buffer[700];
    std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), d);
    double rounded = d;
    std::from_chars(buffer, buffer + std::char_traits<char>::length(buffer), rounded);
    return rounded;
  }
  if (digits < -308) return std::copysign(0.0, d);
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(d / scale) * scale;
}

Value Round(Run& run, const Value& value, const Args& args) {
  Bound bound(run, "round", args, {"precision", "method"}, 0);
  if (!bound.ok()) return Value();
  const int64_t precision = bound.Int(0, 0);
  const std::string method = bound.Text(1, "common");
  if (!run.ok()) return Value();
  if (method != "common" && method != "ceil" && method != "floor") {
    return run.TypeError("method must be common, ceil or floor");
  }
  if (value.is(Kind::kUndefined)) return UndefinedNumber(run, value);
  if (!value.is_number()) {
    return run.TypeError(std::string("round needs a number, not '") + TypeName(value) + "'");
  }
  if (method == "common") {
    if (!value.is_integral()) return Value::Float(RoundTo(value.as_float(), precision));
    return precision >= 0 ? Value::Int(value.as_int())
                          : run.Unsupported("round of an integer to a negative precision");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.as_float() * scale;
  if (!std::isfinite(scaled)) return run.TypeError("cannot convert float infinity to integer");
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

using Filter = Value (*)(Run&, const Value&, const Args&);

const std::map<std::string, Filter>& Filters() {
  static const std::map<std::string, Filter> kFilters = [] {
    std::map<std::string, Filter> filters = {
        {"abs", Abs},       {"capitalize", Capitalize}, {"center", Center},
        {"d", Default},     {"default", Default},       {"e", Escape},
        {"escape", Escape}, {"float", ToFloat},         {"forceescape", ForceEscape},
        {"format", Format}, {"indent", Indent},         {"int", ToInt},
        {"lower", Lower},   {"replace", Replace},       {"round", Round},
        {"safe", Safe},     {"string", ToString},       {"striptags", StripTags},
        {"title", Title},   {"tojson", ToJsonFilter},   {"trim", Trim},
        {"upper", Upper},   {"wordcount", WordCount},
    };
    for (const SequenceFilter& filter : SequenceFilters())
      filters.emplace(filter.name, filter.apply);
    return filters;
  }();
  return kFilters;
}

}  // namespace

bool KnownFilter(const std::string& name) { return Filters().count(name) != 0; }

std::string UnknownFilterMessage(const std::string& name) {
  for (const char* known : {"attr", "filesizeformat", "pprint", "random", "slice", "truncate",
                            "urlencode", "urlize", "wordwrap", "xmlattr"}) {
    if (name == known) return "the filter '" + name + "' is not supported";
  }
  return "unknown filter '" + name + "'";
}

Value ApplyFilter(Run& run, const std::string& name, const Value& value, const Args& args) {
  const auto it = Filters().find(name);
  if (it == Filters().end()) return run.Unsupported(UnknownFilterMessage(name));
  // "map" may name itself, as often as it has arguments.
  if (run.filter_depth >= kMaxFilterDepth) return run.TypeError("filters nested too deep");
  ++run.filter_depth;
  Value result = it->second(run, value, args);
  --run.filter_depth;
  return result;
}

}  // namespace lull::jinja
