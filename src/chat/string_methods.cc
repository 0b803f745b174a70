#include "chat/string_methods.h"

#include <string.h>  // memmem

#include <algorithm>
#include <map>
#include <set>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

using Method = Value (*)(Run&, const Value&, const Args&);

// A look-up in the Unicode tables costs about as much as moving this many bytes.
constexpr int64_t kCaseCost = 16;

std::string Reversed(WorkMeter* work, std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = text.size(); i > 0; --i) {
    if ((i & 0xFF) == 0) work->Spend(0x20);
    out += text[i - 1];
  }
  return out;
}

bool Markup(const Value& self) { return self.string().markup; }

// The text of an argument that must be a string where it is not None.
bool OptionalText(Run& run, const Value* arg, std::string* text, bool* given) {
  *given = arg != nullptr && !arg->is(Kind::kNone);
  if (!*given) return true;
  if (!arg->is(Kind::kString)) {
    run.TypeError(std::string("expected a string or None, not '") + TypeName(*arg) + "'");
    return false;
  }
  *text = arg->text();
  return true;
}

Value Strip(Run& run, const Value& self, const Args& args, bool left, bool right) {
  Bound bound(run, "strip", args, {"chars"}, 0);
  std::string chars;
  bool given = false;
  if (!bound.ok() || !args.named.empty() || !OptionalText(run, bound[0], &chars, &given)) {
    return run.TypeError("strip takes one positional argument");
  }
  if (given && static_cast<double>(chars.size()) * static_cast<double>(self.text().size()) > 1e8) {
    return run.Unsupported("strip with this many characters");
  }
  const std::string_view text = given ? StripChars(run.work(), self.text(), chars, left, right)
                                      : StripSpace(run.work(), self.text(), left, right);
  const auto stripped = static_cast<int64_t>(self.text().size() - text.size());
  if (!run.Work((stripped + 4) * static_cast<int64_t>(1 + chars.size()))) return Value();
  return run.String(std::string(text), Markup(self));
}

Value Texts(Run& run, const std::vector<std::string_view>& pieces, bool markup) {
  Values items;
  for (std::string_view piece : pieces) {
    if (!run.Step()) return Value();
    items.push_back(run.String(std::string(piece), markup));
  }
  return run.List(std::move(items));
}

std::vector<std::string_view> SplitWordsRight(WorkMeter* work, std::string_view text,
                                              int64_t max_splits) {
  std::vector<std::string_view> out;
  text = StripSpace(work, text, false, true);
  while (!text.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(out.size()) == max_splits) {
      out.push_back(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      work->Spend(1);
      size_t last = begin - 1;
      while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
      size_t next = last;
      if (IsSpace(NextCodePoint(text, &next))) break;
      begin = last;
    }
    out.push_back(text.substr(begin));
    text = StripSpace(work, text.substr(0, begin), false, true);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Value Split(Run& run, const Value& self, const Args& args, bool from_right) {
  Bound bound(run, "split", args, {"sep", "maxsplit"}, 0);
  std::string sep;
  bool given = false;
  if (!bound.ok() || !OptionalText(run, bound[0], &sep, &given)) return Value();
  const int64_t max_splits = bound.Int(1, -1);
  const std::string& text = self.text();
  if (!run.Work(static_cast<int64_t>(text.size()))) return Value();
  if (!given) {
    return Texts(run,
                 from_right ? SplitWordsRight(run.work(), text, max_splits)
                            : SplitWords(run.work(), text, max_splits),
                 Markup(self));
  }
  if (sep.empty()) return run.TypeError("empty separator");
  // From the right is from the left on both texts turned round.
  const std::string turned = from_right ? Reversed(run.work(), text) : "";
  if (from_right) std::reverse(sep.begin(), sep.end());
  const std::string_view source = from_right ? turned : text;
  std::vector<std::string_view> out;
  size_t begin = 0;
  while (begin <= source.size()) {
    const bool enough = max_splits >= 0 && static_cast<int64_t>(out.size()) >= max_splits;
    const size_t hit = enough ? std::string_view::npos : FindFirst(run.work(), source, sep, begin);
    const size_t end = std::min(hit, source.size());
    out.push_back(from_right ? std::string_view(text).substr(text.size() - end, end - begin)
                             : source.substr(begin, end - begin));
    if (hit == std::string_view::npos) break;
    begin = hit + sep.size();
  }
  if (from_right) std::reverse(out.begin(), out.end());
  return Texts(run, out, Markup(self));
}

Value Partition(Run& run, const Value& self, const Args& args, bool from_right) {
  Bound bound(run, "partition", args, {"sep"}, 1);
  const std::string sep = bound.ok() ? bound.Text(0, "") : "";
  if (!run.ok()) return Value();
  if (sep.empty()) return run.TypeError("empty separator");
  const std::string& text = self.text();
  run.Work(static_cast<int64_t>(text.size()));
  const size_t at = from_right ? FindLast(run.work(), text, sep) : FindFirst(run.work(), text, sep);
  const bool markup = Markup(self);
  if (at == std::string::npos) {
    const Value empty = run.String("", markup);
    if (from_right) return run.Tuple({empty, empty, self});
    return run.Tuple({self, empty, empty});
  }
  return run.Tuple({run.String(text.substr(0, at), markup), run.String(sep, markup),
                    run.String(text.substr(at + sep.size()), markup)});
}

// startswith and endswith, with a string or a tuple of them, on text[start:end].
Value Affix(Run& run, const Value& self, const Args& args, bool start) {
  Bound bound(run, start ? "startswith" : "endswith", args, {"prefix", "start", "end"}, 1);
  if (!bound.ok() || !args.named.empty()) return run.TypeError("bad arguments");
  const Value none = Value::None();
  const Value part = bound[1] == nullptr ? self
                                         : Slice(run, self, *bound[1],
                                                 bound[2] == nullptr ? none : *bound[2], none);
  if (!run.ok()) return Value();
  if (!part.is(Kind::kString)) return run.TypeError("slice indices must be integers or None");
  Values candidates = {*bound[0]};
  if (bound[0]->is(Kind::kTuple)) candidates = bound[0]->as<ListObject>().items;
  const std::string_view text = part.text();
  for (const Value& candidate : candidates) {
    if (!candidate.is(Kind::kString)) {
      return run.TypeError(std::string(start ? "startswith" : "endswith") +
                           " needs a string or a tuple of strings, not '" + TypeName(candidate) +
                           "'");
    }
    const std::string& affix = candidate.text();
    if (affix.size() > text.size()) continue;
    if (!run.Step() || !run.Work(static_cast<int64_t>(affix.size()))) return Value();
    if ((start ? text.substr(0, affix.size()) : text.substr(text.size() - affix.size())) == affix) {
      return Value::Bool(true);
    }
  }
  return Value::Bool(false);
}

Value Find(Run& run, const Value& self, const Args& args, bool from_right, bool must) {
  Bound bound(run, "find", args, {"sub", "start", "end"}, 1);
  const std::string sub = bound.ok() ? bound.Text(0, "") : "";
  if (!run.ok()) return Value();
  const std::string& text = self.text();
  const int64_t length = self.string().length;
  int64_t from = 0, to = length;
  if (bound[1] != nullptr && !bound[1]->is(Kind::kNone)) from = bound.Int(1, 0);
  if (bound[2] != nullptr && !bound[2]->is(Kind::kNone)) to = bound.Int(2, length);
  if (from < 0) from = std::max<int64_t>(0, from + length);
  if (to < 0) to = std::max<int64_t>(0, to + length);
  to = std::min(to, length);
  int64_t index = -1;
  if (run.Work(static_cast<int64_t>(text.size())) && from <= to) {
    const size_t begin = OffsetOf(run.work(), self.string(), from);
    const size_t end = OffsetOf(run.work(), self.string(), to);
    const std::string_view part = std::string_view(text).substr(begin, end - begin);
    const size_t at =
        from_right ? FindLast(run.work(), part, sub) : FindFirst(run.work(), part, sub);
    if (at != std::string_view::npos) index = from + CodePoints(run.work(), part.substr(0, at));
  }
  if (index < 0 && must) return run.TypeError("substring not found");
  return Value::Int(index);
}

Value Count(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "count", args, {"sub"}, 1);
  const std::string sub = bound.ok() ? bound.Text(0, "") : "";
  if (!run.ok() || !run.Work(static_cast<int64_t>(self.text().size()))) return Value();
  if (sub.empty()) return Value::Int(self.string().length + 1);
  int64_t count = 0;
  for (size_t at = FindFirst(run.work(), self.text(), sub); at != std::string::npos;
       at = FindFirst(run.work(), self.text(), sub, at + sub.size())) {
    ++count;
  }
  return Value::Int(count);
}

Value Replace(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "replace", args, {"old", "new", "count"}, 2);
  if (!bound.ok()) return Value();
  const std::string from = bound.Text(0, "");
  std::string to = bound.Text(1, "");
  const int64_t count = bound.Int(2, -1);
  if (!run.ok()) return Value();
  if (Markup(self) && !bound[1]->string().markup) to = EscapeHtml(run.work(), to);
  return ReplaceText(run, self.text(), from, to, count, Markup(self));
}

Value Join(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "join", args, {"iterable"}, 1);
  Values items;
  if (!bound.ok() || !Iterate(run, *bound[0], &items)) return Value();
  std::string out;
  for (size_t i = 0; i < items.size() && run.Step(); ++i) {
    if (!items[i].is(Kind::kString)) {
      return run.TypeError("sequence item " + std::to_string(i) + ": expected str instance, " +
                           TypeName(items[i]) + " found");
    }
    const bool escape = Markup(self) && !Markup(items[i]);
    if (i != 0) AppendPaced(run.work(), self.text(), &out);
    AppendPaced(run.work(), escape ? EscapeHtml(run.work(), items[i].text()) : items[i].text(),
                &out);
    if (!run.CheckStringSize(static_cast<int64_t>(out.size()))) return Value();
  }
  return run.String(std::move(out), Markup(self));
}

Value RemoveAffix(Run& run, const Value& self, const Args& args, bool prefix) {
  Bound bound(run, prefix ? "removeprefix" : "removesuffix", args, {"affix"}, 1);
  const std::string affix = bound.ok() ? bound.Text(0, "") : "";
  if (!run.ok()) return Value();
  std::string_view text = self.text();
  if (!affix.empty() && affix.size() <= text.size()) {
    if (prefix && text.substr(0, affix.size()) == affix)
      text.remove_prefix(affix.size());
    else if (!prefix && text.substr(text.size() - affix.size()) == affix)
      text.remove_suffix(affix.size());
  }
  return run.String(std::string(text), Markup(self));
}

// left and right fill of `width` code points.
Value Justify(Run& run, const Value& self, const Args& args, bool left, bool right) {
  Bound bound(run, "justify", args, {"width", "fillchar"}, 1);
  if (!bound.ok()) return Value();
  const int64_t width = bound.Int(0, 0);
  const std::string fill = bound.Text(1, " ");
  if (!run.ok()) return Value();
  if (CodePoints(run.work(), fill) != 1)
    return run.TypeError("the fill character must be exactly one character");
  const int64_t gap = width - self.string().length;
  if (gap <= 0) return self;
  if (!run.CheckStringSize(width)) return Value();
  const int64_t before = left && right ? gap / 2 + (gap & width & 1) : left ? gap : 0;
  std::string out;
  for (int64_t i = 0; i < gap; ++i) {
    run.work()->Spend(1);
    if (i == before) AppendPaced(run.work(), self.text(), &out);
    out += fill;
  }
  if (before == gap) AppendPaced(run.work(), self.text(), &out);
  return run.String(std::move(out), Markup(self));
}

Value Zfill(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "zfill", args, {"width"}, 1);
  const int64_t width = bound.ok() ? bound.Int(0, 0) : 0;
  const int64_t gap = width - self.string().length;
  if (!run.ok() || gap <= 0) return self;
  if (!run.CheckStringSize(width)) return Value();
  std::string out = self.text();
  const bool sign = !out.empty() && (out[0] == '-' || out[0] == '+');
  out.insert(sign ? 1 : 0, static_cast<size_t>(gap), '0');
  return run.String(std::move(out), Markup(self));
}

Value Lines(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "splitlines", args, {"keepends"}, 0);
  if (!bound.ok() || !run.Work(static_cast<int64_t>(self.text().size()))) return Value();
  return Texts(run, SplitLines(run.work(), self.text(), bound.Flag(0, false)), Markup(self));
}

template <std::string (*Map)(WorkMeter*, std::string_view)>
Value Mapped(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "the method", args, {}, 0);
  if (!bound.ok() || !run.Work(static_cast<int64_t>(self.text().size()) * kCaseCost))
    return Value();
  return run.String(Map(run.work(), self.text()), Markup(self));
}

std::string SwapCase(WorkMeter* work, std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    const char32_t c = NextCodePoint(work, text, &i);
    if (IsUpper(c))
      out += Lower(work, text.substr(start, i - start));
    else if (IsLower(c))
      AppendUpper(c, &out);
    else
      out.append(text, start, i - start);
  }
  return out;
}

// isalpha and its kind: every character passes, and there is one.
template <bool (*Check)(char32_t)>
Value All(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "the method", args, {}, 0);
  const std::string& text = self.text();
  if (!bound.ok() || !run.Work(static_cast<int64_t>(text.size()) * kCaseCost)) return Value();
  for (size_t i = 0; i < text.size();) {
    if (!Check(NextCodePoint(run.work(), text, &i))) return Value::Bool(false);
  }
  return Value::Bool(!text.empty());
}

bool IsAlnum(char32_t c) { return IsAlpha(c) || IsDecimal(c) || IsDigit(c) || IsNumeric(c); }

Value IsAscii(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "isascii", args, {}, 0);
  return Value::Bool(self.string().ascii());
}

Value IsPrintableText(Run& run, const Value& self, const Args& args) {
  return self.text().empty() ? Value::Bool(true) : All<IsPrintable>(run, self, args);
}

Value IsIdentifier(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "isidentifier", args, {}, 0);
  const std::string& text = self.text();
  if (!self.string().ascii()) return run.Unsupported("isidentifier of a text beyond ASCII");
  bool valid = !text.empty() && !(text[0] >= '0' && text[0] <= '9');
  run.Work(static_cast<int64_t>(text.size()) * kCaseCost);
  for (char c : text) valid = valid && (c == '_' || IsAlnum(static_cast<unsigned char>(c)));
  return Value::Bool(valid);
}

// isupper and islower: at least one cased character, and none of the other case.
template <bool Upper>
Value IsCase(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "the method", args, {}, 0);
  const std::string& text = self.text();
  if (!bound.ok() || !run.Work(static_cast<int64_t>(text.size()) * kCaseCost)) return Value();
  bool seen = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(run.work(), text, &i);
    if (IsTitle(c) || (Upper ? IsLower(c) : IsUpper(c))) return Value::Bool(false);
    seen = seen || (Upper ? IsUpper(c) : IsLower(c));
  }
  return Value::Bool(seen);
}

Value IsTitled(Run& run, const Value& self, const Args& args) {
  Bound bound(run, "istitle", args, {}, 0);
  const std::string& text = self.text();
  bool after_cased = false, seen = false;
  for (size_t i = 0; i < text.size() && bound.ok();) {
    const char32_t c = NextCodePoint(run.work(), text, &i);
    const bool capital = IsUpper(c) || IsTitle(c), small = IsLower(c);
    if ((capital && after_cased) || (small && !after_cased)) return Value::Bool(false);
    after_cased = capital || small;
    seen = seen || after_cased;
  }
  return Value::Bool(seen);
}

const std::map<std::string, Method>& Methods() {
  static const std::map<std::string, Method> kMethods = {
      {"strip", [](Run& r, const Value& s, const Args& a) { return Strip(r, s, a, true, true); }},
      {"lstrip", [](Run& r, const Value& s, const Args& a) { return Strip(r, s, a, true, false); }},
      {"rstrip", [](Run& r, const Value& s, const Args& a) { return Strip(r, s, a, false, true); }},
      {"split", [](Run& r, const Value& s, const Args& a) { return Split(r, s, a, false); }},
      {"rsplit", [](Run& r, const Value& s, const Args& a) { return Split(r, s, a, true); }},
      {"splitlines", Lines},
      {"partition",
       [](Run& r, const Value& s, const Args& a) { return Partition(r, s, a, false); }},
      {"rpartition",
       [](Run& r, const Value& s, const Args& a) { return Partition(r, s, a, true); }},
      {"startswith", [](Run& r, const Value& s, const Args& a) { return Affix(r, s, a, true); }},
      {"endswith", [](Run& r, const Value& s, const Args& a) { return Affix(r, s, a, false); }},
      {"find", [](Run& r, const Value& s, const Args& a) { return Find(r, s, a, false, false); }},
      {"rfind", [](Run& r, const Value& s, const Args& a) { return Find(r, s, a, true, false); }},
      {"index", [](Run& r, const Value& s, const Args& a) { return Find(r, s, a, false, true); }},
      {"rindex", [](Run& r, const Value& s, const Args& a) { return Find(r, s, a, true, true); }},
      {"count", Count},
      {"replace", Replace},
      {"join", Join},
      {"format", [](Run& r, const Value& s, const Args& a) { return BraceFormat(r, s, a); }},
      {"removeprefix",
       [](Run& r, const Value& s, const Args& a) { return RemoveAffix(r, s, a, true); }},
      {"removesuffix",
       [](Run& r, const Value& s, const Args& a) { return RemoveAffix(r, s, a, false); }},
      {"ljust",
       [](Run& r, const Value& s, const Args& a) { return Justify(r, s, a, false, true); }},
      {"rjust",
       [](Run& r, const Value& s, const Args& a) { return Justify(r, s, a, true, false); }},
      {"center",
       [](Run& r, const Value& s, const Args& a) { return Justify(r, s, a, true, true); }},
      {"zfill", Zfill},
      {"upper", Mapped<Upper>},
      {"lower", Mapped<Lower>},
      {"title", Mapped<Title>},
      {"capitalize", Mapped<Capitalize>},
      {"swapcase", Mapped<SwapCase>},
      {"isalpha", All<IsAlpha>},
      {"isalnum", All<IsAlnum>},
      {"isdigit", All<IsDigit>},
      {"isdecimal", All<IsDecimal>},
      {"isnumeric", All<IsNumeric>},
      {"isspace", All<IsSpace>},
      {"isascii", IsAscii},
      {"isprintable", IsPrintableText},
      {"isidentifier", IsIdentifier},
      {"isupper", IsCase<true>},
      {"islower", IsCase<false>},
      {"istitle", IsTitled},
  };
  return kMethods;
}

}  // namespace

bool IsStringMethod(const std::string& name) {
  static const std::set<std::string> kOthers = {"casefold",   "encode",    "expandtabs",
                                                "format_map", "maketrans", "translate"};
  return Methods().count(name) != 0 || kOthers.count(name) != 0;
}

Value CallStringMethod(Run& run, const Value& self, const std::string& name, const Args& args) {
  const auto it = Methods().find(name);
  if (it == Methods().end()) {
    return run.Unsupported("the method str." + name + " is not supported");
  }
  return it->second(run, self, args);
}

Value ReplaceText(Run& run, const std::string& text, const std::string& from, const std::string& to,
                  int64_t count, bool markup) {
  std::string out;
  size_t at = 0;
  if (!run.Work(static_cast<int64_t>(text.size()))) return Value();
  for (; count != 0; --count) {
    size_t hit = from.empty() ? at : FindFirst(run.work(), text, from, at);
    if (hit == std::string::npos || (from.empty() && at > text.size())) break;
    run.work()->Spend(4);
    AppendPaced(run.work(), std::string_view(text).substr(at, hit - at), &out);
    AppendPaced(run.work(), to, &out);
    if (!run.CheckStringSize(static_cast<int64_t>(out.size()))) return Value();
    if (!from.empty()) {
      at = hit + from.size();
      continue;
    }
    // An empty pattern stands before every character and at the end.
    if (at == text.size()) {
      ++at;
      break;
    }
    const size_t start = at;
    NextCodePoint(run.work(), text, &at);
    out.append(text, start, at - start);
  }
  if (at < text.size()) AppendPaced(run.work(), std::string_view(text).substr(at), &out);
  return run.String(std::move(out), markup);
}

size_t FindFirst(WorkMeter* work, std::string_view text, std::string_view what, size_t from) {
  // memmem is linear whatever the texts; std::string_view::find is not. In pieces that overlap by
  // what is looked for, and are long beside it.
  const size_t piece = std::max<size_t>(16384, 4 * what.size());
  for (size_t begin = from; begin <= text.size(); begin += piece) {
    const std::string_view part = text.substr(begin, piece + what.size());
    const void* hit = memmem(part.data(), part.size(), what.data(), what.size());
    work->Spend(4 + part.size() / 8);
    if (hit != nullptr) return static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    if (part.size() < piece + what.size()) break;
  }
  return std::string_view::npos;
}

size_t FindLast(WorkMeter* work, std::string_view text, std::string_view what) {
  const size_t hit = FindFirst(work, Reversed(work, text), Reversed(work, what));
  return hit == std::string_view::npos ? hit : text.size() - hit - what.size();
}

std::vector<std::string_view> SplitWords(WorkMeter* work, std::string_view text,
                                         int64_t max_splits) {
  std::vector<std::string_view> out;
  text = StripSpace(work, text, true, false);
  while (!text.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(out.size()) == max_splits) {
      out.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      size_t next = end;
      if (IsSpace(NextCodePoint(work, text, &next))) break;
      end = next;
    }
    out.push_back(text.substr(0, end));
    text = StripSpace(work, text.substr(end), true, false);
  }
  return out;
}

std::vector<std::string_view> SplitLines(WorkMeter* work, std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t at = i;
    const char32_t c = NextCodePoint(work, text, &i);
    const bool ends =
        (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    out.push_back(text.substr(begin, (keep_ends ? i : at) - begin));
    begin = i;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

}  // namespace lull::jinja
