// "%s" % args and "{}".format(args).
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';
  bool alternate = false;
  bool grouped = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

constexpr int64_t kMaxPrecision = 400;

std::string Digits(uint64_t value, int base, bool upper) {
  char buffer[70];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, base);
  std::string out(buffer, static_cast<size_t>(end.ptr - buffer));
  if (upper)
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c); });
  return out;
}

std::string Group(const std::string& digits) {
  std::string out;
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t i = 0; i < whole; ++i) {
    if (i != 0 && (whole - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out + digits.substr(whole);
}

// The digits of |d| by C's e, f or g, which agree with Python's.
std::string FloatDigits(double d, const Spec& spec) {
  if (std::isnan(d))
    return spec.type == 'F' || spec.type == 'E' || spec.type == 'G' ? "NAN" : "nan";
  if (std::isinf(d))
    return spec.type == 'F' || spec.type == 'E' || spec.type == 'G' ? "INF" : "inf";
  if (spec.type == '\0' && spec.precision < 0) return FloatRepr(std::fabs(d));
  const char type = spec.type == '\0' || spec.type == 'n' ? 'g'
                    : spec.type == '%'                    ? 'f'
                                                          : spec.type;
  char format[8] = {'%', '.', '*', type, '\0'};
  char buffer[1024];
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  std::snprintf(buffer, sizeof(buffer), format, precision,
                std::fabs(spec.type == '%' ? d * 100 : d));
  std::string out = buffer;
  if (spec.type == '%') out += '%';
  return out;
}

Value Pad(Run& run, const std::string& sign, const std::string& body, const Spec& spec,
          char default_align) {
  const char align = spec.align == '\0' ? default_align : spec.align;
  const int64_t length = CodePoints(run.work(), sign) + CodePoints(run.work(), body);
  const int64_t gap = std::max<int64_t>(0, spec.width - length);
  if (!run.CheckStringSize(gap * static_cast<int64_t>(spec.fill.size()) + length)) return Value();
  const int64_t left = align == '<' ? 0 : align == '^' ? gap / 2 : gap;
  std::string out = align == '=' ? sign : "";
  for (int64_t i = 0; i < left; ++i) out += spec.fill;
  if (align != '=') out += sign;
  out += body;
  for (int64_t i = left; i < gap; ++i) out += spec.fill;
  return run.String(std::move(out));
}

Value FormatInt(Run& run, int64_t value, const Spec& spec) {
  const bool negative = value < 0;
  const uint64_t magnitude =
      negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string digits, prefix;
  switch (spec.type) {
    case 'x':
      digits = Digits(magnitude, 16, false);
      prefix = "0x";
      break;
    case 'X':
      digits = Digits(magnitude, 16, true);
      prefix = "0X";
      break;
    case 'o':
      digits = Digits(magnitude, 8, false);
      prefix = "0o";
      break;
    case 'b':
      digits = Digits(magnitude, 2, false);
      prefix = "0b";
      break;
    default:
      digits = Digits(magnitude, 10, false);
  }
  if (spec.grouped) digits = Group(digits);
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  if (spec.alternate) sign += prefix;
  return Pad(run, sign, digits, spec, '>');
}

Value FormatFloat(Run& run, double value, const Spec& spec) {
  std::string digits = FloatDigits(value, spec);
  // With a precision and no type, Python keeps a digit after the point.
  if (spec.type == '\0' && spec.precision >= 0 &&
      digits.find_first_not_of("0123456789") == std::string::npos) {
    digits += ".0";
  }
  if (spec.grouped) digits = Group(digits);
  const std::string sign = std::signbit(value) && !std::isnan(value) ? "-"
                           : spec.sign == '-'                        ? ""
                                                                     : std::string(1, spec.sign);
  return Pad(run, sign, digits, spec, '>');
}

Value FormatText(Run& run, const std::string& text, const Spec& spec) {
  std::string body = text;
  if (spec.precision >= 0)
    body = text.substr(0, OffsetOf(run.work(), std::string_view(text), spec.precision));
  return Pad(run, "", body, spec, '<');
}

// [[fill]align][sign][#][0][width][,][.precision][type]
bool ParseSpec(Run& run, const std::string& text, Spec* spec) {
  size_t i = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!text.empty()) {
    size_t after_fill = 0;
    NextCodePoint(text, &after_fill);
    if (after_fill < text.size() && is_align(text[after_fill])) {
      spec->fill = text.substr(0, after_fill);
      spec->align = text[after_fill];
      i = after_fill + 1;
    } else if (is_align(text[0])) {
      spec->align = text[i++];
    }
  }
  const auto at = [&](char c) { return i < text.size() && text[i] == c; };
  const auto number = [&](int64_t* out) {
    const size_t begin = i;
    *out = 0;
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
      *out = std::min<int64_t>(*out * 10 + (text[i] - '0'), int64_t{1} << 40);
    }
    return i != begin;
  };
  if (at('+') || at('-') || at(' ')) spec->sign = text[i++];
  if (at('#')) spec->alternate = text[i++] == '#';
  if (at('0')) {
    ++i;
    if (spec->align == '\0') {
      spec->align = '=';
      spec->fill = "0";
    }
  }
  number(&spec->width);
  if (at(',')) spec->grouped = text[i++] == ',';
  if (at('.')) {
    ++i;
    if (!number(&spec->precision)) {
      run.TypeError("Format specifier missing precision");
      return false;
    }
  }
  if (i < text.size()) spec->type = text[i++];
  if (i != text.size() || (spec->grouped && spec->fill == "0" && spec->align == '=')) {
    run.Unsupported("the format '" + text.substr(0, 40) + "'");
    return false;
  }
  return true;
}

Value FormatValue(Run& run, const Value& value, const std::string& text) {
  if (text.empty()) return run.String(Str(run, value));
  Spec spec;
  if (!ParseSpec(run, text, &spec)) return Value();
  const std::string types = value.is(Kind::kString)  ? "s"
                            : value.is(Kind::kFloat) ? "eEfFgG%"
                                                     : "dxXobneEfFgG%";
  const bool known = spec.type == '\0' || types.find(spec.type) != std::string::npos;
  if (!known || (!value.is_number() && !value.is(Kind::kString))) {
    return run.TypeError("the format '" + text.substr(0, 40) + "' does not fit a value of type '" +
                         TypeName(value) + "'");
  }
  if (value.is(Kind::kString)) {
    if (spec.align == '=' && spec.fill == "0")
      spec.align = '<';
    else if (spec.align == '=')
      return run.TypeError("'=' alignment not allowed in string format");
    return FormatText(run, value.text(), spec);
  }
  if (spec.precision > kMaxPrecision) return run.Unsupported("a precision this high");
  const bool as_float =
      spec.type != '\0' && std::string("eEfFgG%").find(spec.type) != std::string::npos;
  if (value.is(Kind::kFloat) || as_float) return FormatFloat(run, value.as_float(), spec);
  if (spec.precision >= 0)
    return run.TypeError("Precision not allowed in integer format specifier");
  if (value.is(Kind::kBool) && spec.type == '\0') {
    return FormatInt(run, value.as_int(), spec);
  }
  return FormatInt(run, value.as_int(), spec);
}

// --- "%" ---

class PercentFormatter {
 public:
  PercentFormatter(Run& run, const std::string& format, const Value& args)
      : run_(run), format_(format), args_(args) {}

  std::string Format() {
    while (at_ < format_.size() && run_.Step() &&
           run_.CheckStringSize(static_cast<int64_t>(out_.size()))) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      out_.append(format_, at_, percent - at_);
      at_ = percent + 1;
      if (percent < format_.size()) Directive();
    }
    const bool single = !args_.is(Kind::kTuple) && !args_.is(Kind::kDict) && !args_.is(Kind::kList);
    const bool unused =
        args_.is(Kind::kTuple) ? next_ < args_.as<ListObject>().items.size() : single && next_ == 0;
    if (unused) run_.TypeError("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  Value NextArg() {
    if (args_.is(Kind::kTuple)) {
      const auto& items = args_.as<ListObject>().items;
      if (next_ < items.size()) return items[next_++];
    } else if (next_ == 0) {
      ++next_;
      return args_;
    }
    return run_.TypeError("not enough arguments for format string");
  }

  int64_t NumberOrStar() {
    if (at_ < format_.size() && format_[at_] == '*') {
      ++at_;
      const Value value = NextArg();
      if (!value.is_integral()) run_.TypeError("* wants int");
      return run_.ok() ? value.as_int() : 0;
    }
    int64_t number = 0;
    for (; at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9'; ++at_) {
      number = std::min<int64_t>(number * 10 + (format_[at_] - '0'), int64_t{1} << 40);
    }
    return number;
  }

  void Directive() {
    Value value;
    bool named = false;
    if (at_ < format_.size() && format_[at_] == '(') {
      const size_t close = format_.find(')', at_);
      if (close == std::string::npos) {
        run_.TypeError("incomplete format key");
        return;
      }
      if (!args_.is(Kind::kDict)) {
        run_.TypeError("format requires a mapping");
        return;
      }
      const std::string key = format_.substr(at_ + 1, close - at_ - 1);
      const Value* found = args_.as<DictObject>().Find(std::string_view(key));
      if (found == nullptr) {
        run_.TypeError("no '" + key + "' to format");
        return;
      }
      value = *found;
      named = true;
      at_ = close + 1;
    }
    Spec spec;
    spec.align = '>';
    bool zero = false, left = false;
    for (; at_ < format_.size() && std::string("-+ #0").find(format_[at_]) != std::string::npos;
         ++at_) {
      left = left || format_[at_] == '-';
      zero = zero || format_[at_] == '0';
      spec.alternate = spec.alternate || format_[at_] == '#';
      if (format_[at_] == '+' || (format_[at_] == ' ' && spec.sign != '+'))
        spec.sign = format_[at_];
    }
    spec.width = NumberOrStar();
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      spec.precision = std::max<int64_t>(0, NumberOrStar());
    }
    while (at_ < format_.size() && std::string("hlL").find(format_[at_]) != std::string::npos)
      ++at_;
    if (at_ >= format_.size()) {
      run_.TypeError("incomplete format");
      return;
    }
    const char type = format_[at_++];
    if (type == '%') {
      out_ += '%';
      return;
    }
    if (!named) value = NextArg();
    if (!run_.ok()) return;
    Convert(type, value, spec, zero && !left, left);
  }

  void Convert(char type, const Value& value, Spec spec, bool zero, bool left) {
    if (left) spec.align = '<';
    if (type == 's' || type == 'r' || type == 'a') {
      if (type == 'a') {
        run_.Unsupported("the format '%a'");
        return;
      }
      return Append(FormatText(run_, type == 's' ? Str(run_, value) : Repr(run_, value), spec));
    }
    if (zero) {
      spec.align = '=';
      spec.fill = "0";
    }
    const bool floating = std::string("eEfFgG").find(type) != std::string::npos;
    const bool integral = std::string("diuxXo").find(type) != std::string::npos;
    if (type == 'c') {
      if (!value.is(Kind::kString) || value.string().length != 1) {
        run_.Unsupported("the format '%c' of what is not one character");
        return;
      }
      return Append(FormatText(run_, value.text(), spec));
    }
    if (!floating && !integral) {
      run_.TypeError(std::string("unsupported format character '") + type + "'");
      return;
    }
    const bool fits = value.is_number() && (value.is_integral() || floating || type == 'd' ||
                                            type == 'i' || type == 'u');
    if (!fits || spec.precision > kMaxPrecision || (integral && spec.precision >= 0)) {
      run_.TypeError(std::string("%") + type + " format: a value of type '" + TypeName(value) +
                     "' does not fit");
      return;
    }
    if (floating) {
      spec.type = type;
      return Append(FormatFloat(run_, value.as_float(), spec));
    }
    spec.type = type == 'i' || type == 'u' ? 'd' : type;
    if (value.is(Kind::kFloat) && !(std::fabs(value.as_float()) < 9e18)) {
      run_.Unsupported("an integer that does not fit 64 bits");
      return;
    }
    Append(FormatInt(
        run_, value.is(Kind::kFloat) ? static_cast<int64_t>(value.as_float()) : value.as_int(),
        spec));
  }

  void Append(const Value& piece) {
    if (run_.ok()) out_ += piece.text();
  }

  Run& run_;
  const std::string& format_;
  const Value& args_;
  size_t at_ = 0;
  size_t next_ = 0;
  std::string out_;
};

// --- "{}" ---

class BraceFormatter {
 public:
  BraceFormatter(Run& run, const Args& args, bool markup)
      : run_(run), args_(args), markup_(markup) {}

  std::string Format(const std::string& format, int nesting) {
    std::string out;
    for (size_t i = 0; i < format.size() && run_.Step() &&
                       run_.CheckStringSize(static_cast<int64_t>(out.size()));) {
      const size_t brace = std::min(format.find_first_of("{}", i), format.size());
      out.append(format, i, brace - i);
      i = brace;
      if (i == format.size()) break;
      if (i + 1 < format.size() && format[i + 1] == format[i]) {
        out += format[i];
        i += 2;
        continue;
      }
      if (format[i] == '}') {
        run_.TypeError("Single '}' encountered in format string");
        break;
      }
      const size_t close = Close(format, i);
      if (close == std::string::npos) {
        run_.TypeError("expected '}' before end of string");
        break;
      }
      out += Field(format.substr(i + 1, close - i - 1), nesting);
      i = close + 1;
    }
    return out;
  }

 private:
  static size_t Close(const std::string& format, size_t open) {
    int depth = 0;
    for (size_t i = open; i < format.size(); ++i) {
      if (format[i] == '{') ++depth;
      if (format[i] == '}' && --depth == 0) return i;
    }
    return std::string::npos;
  }

  std::string Field(const std::string& field, int nesting) {
    const size_t end = std::min(field.find_first_of("!:"), field.size());
    Value value = Argument(field.substr(0, end));
    if (!run_.ok()) return {};
    size_t at = end;
    if (at < field.size() && field[at] == '!') {
      const char how = at + 1 < field.size() ? field[at + 1] : '\0';
      if (how != 's' && how != 'r') {
        run_.Unsupported("a conversion other than !s and !r in a format string");
        return {};
      }
      value = run_.String(how == 's' ? Str(run_, value) : Repr(run_, value));
      at += 2;
    }
    std::string spec = at < field.size() ? field.substr(at + 1) : "";
    if (spec.find('{') != std::string::npos) {
      if (nesting >= 1) run_.TypeError("Max string recursion exceeded");
      if (run_.ok()) spec = Format(spec, nesting + 1);
    }
    const Value text = run_.ok() ? FormatValue(run_, value, spec) : Value();
    if (!run_.ok()) return {};
    const bool escape = markup_ && !(value.is(Kind::kString) && value.string().markup);
    return escape ? EscapeHtml(run_.work(), text.text()) : text.text();
  }

  Value Argument(const std::string& path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    const std::string first = path.substr(0, end);
    Value value = First(first);
    while (run_.Step() && end < path.size()) {
      if (path[end] == '.') {
        const size_t next = std::min(path.find_first_of(".[", end + 1), path.size());
        value = GetAttr(run_, value, path.substr(end + 1, next - end - 1));
        end = next;
      } else {
        const size_t close = path.find(']', end);
        if (close == std::string::npos) return run_.TypeError("Missing ']' in format string");
        const std::string key = path.substr(end + 1, close - end - 1);
        int64_t index = 0;
        const bool number = ParseIndex(key, &index);
        value = GetItem(run_, value, number ? Value::Int(index) : run_.String(key));
        end = close + 1;
      }
    }
    return value;
  }

  static bool ParseIndex(const std::string& text, int64_t* index) {
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *index);
    return !text.empty() && text[0] != '-' && parsed.ec == std::errc() &&
           parsed.ptr == text.data() + text.size();
  }

  Value First(const std::string& name) {
    int64_t index = 0;
    if (name.empty() || ParseIndex(name, &index)) {
      const bool automatic = name.empty();
      if ((automatic && manual_) || (!automatic && next_ > 0)) {
        return run_.TypeError("cannot mix automatic and manual field numbering");
      }
      manual_ = manual_ || !automatic;
      if (automatic) index = next_++;
      if (index >= static_cast<int64_t>(args_.pos.size())) {
        return run_.TypeError("the format string asks for more arguments than there are");
      }
      return args_.pos[static_cast<size_t>(index)];
    }
    for (const auto& [key, value] : args_.named) {
      if (key == name) return value;
    }
    return run_.TypeError("no argument '" + name + "' for the format string");
  }

  Run& run_;
  const Args& args_;
  const bool markup_;
  int64_t next_ = 0;
  bool manual_ = false;
};

}  // namespace

Value PercentFormat(Run& run, const Value& format, const Value& args) {
  if (format.string().markup) return run.Unsupported("'%' on a text marked safe");
  std::string out = PercentFormatter(run, format.text(), args).Format();
  return run.ok() ? run.String(std::move(out)) : Value();
}

Value BraceFormat(Run& run, const Value& format, const Args& args) {
  const bool markup = format.string().markup;
  std::string out = BraceFormatter(run, args, markup).Format(format.text(), 0);
  return run.ok() ? run.String(std::move(out), markup) : Value();
}

}  // namespace lull::jinja
