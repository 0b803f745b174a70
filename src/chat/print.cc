// str(), repr() and json.dumps() of values, never longer than the limit.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "chat/filters.h"
#include "chat/text.h"

namespace lull::jinja {
namespace {

class Printer {
 public:
  Printer(Run& run, std::string* out) : run_(run), out_(out) {}

  void Repr(const Value& value) {
    if (!run_.Step() || !run_.CheckStringSize(static_cast<int64_t>(out_->size()))) return;
    switch (value.kind()) {
      case Kind::kUndefined:
        Put("Undefined");
        break;
      case Kind::kNone:
        Put("None");
        break;
      case Kind::kBool:
        Put(value.as_bool() ? "True" : "False");
        break;
      case Kind::kInt:
        Put(std::to_string(value.as_int()));
        break;
      case Kind::kFloat:
        Put(FloatRepr(value.as_float()));
        break;
      case Kind::kString:
        if (value.string().markup) Put("Markup(");
        ReprString(value.text());
        if (value.string().markup) Put(")");
        break;
      case Kind::kList:
        Items("[", value.as<ListObject>().items, "]");
        break;
      case Kind::kTuple: {
        const auto& items = value.as<ListObject>().items;
        Items("(", items, items.size() == 1 ? ",)" : ")");
        break;
      }
      case Kind::kDict:
        ReprDict("{", value.as<DictObject>(), "}");
        break;
      case Kind::kRange:
        ReprRange(value.as<RangeObject>());
        break;
      case Kind::kDictView:
        ReprView(value);
        break;
      case Kind::kNamespace:
        Namespace(value.as<NamespaceObject>());
        break;
      default:
        // Python prints an address here, which no template can mean.
        run_.Unsupported(std::string("printing a value of type '") + TypeName(value) + "'");
    }
  }

  void ReprString(const std::string& text) {
    if (!run_.Work(static_cast<int64_t>(text.size()))) return;
    const bool doubled =
        text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
    const char quote = doubled ? '"' : '\'';
    Put(std::string(1, quote));
    for (size_t i = 0; i < text.size();) {
      const size_t start = i;
      const char32_t c = NextCodePoint(run_.work(), text, &i);
      if (c == static_cast<char32_t>(quote) || c == '\\') {
        *out_ += '\\';
        *out_ += static_cast<char>(c);
      } else if (c == '\n') {
        *out_ += "\\n";
      } else if (c == '\r') {
        *out_ += "\\r";
      } else if (c == '\t') {
        *out_ += "\\t";
      } else if (IsPrintable(c)) {
        out_->append(text, start, i - start);
      } else {
        char escape[16];
        std::snprintf(escape, sizeof(escape),
                      c < 0x100     ? "\\x%02x"
                      : c < 0x10000 ? "\\u%04x"
                                    : "\\U%08x",
                      static_cast<unsigned>(c));
        *out_ += escape;
      }
    }
    *out_ += quote;
  }

 private:
  void Put(std::string_view text) { *out_ += text; }

  void Items(const char* open, const Values& items, const char* close) {
    Put(open);
    for (size_t i = 0; i < items.size() && run_.ok(); ++i) {
      if (i != 0) Put(", ");
      Repr(items[i]);
    }
    Put(close);
  }

  void ReprDict(const char* open, const DictObject& dict, const char* close) {
    Put(open);
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!run_.ok()) return;
      if (!first) Put(", ");
      first = false;
      Repr(key);
      Put(": ");
      Repr(value);
    }
    Put(close);
  }

  void ReprRange(const RangeObject& range) {
    Put("range(" + std::to_string(range.start) + ", " + std::to_string(range.stop));
    if (range.step != 1) Put(", " + std::to_string(range.step));
    Put(")");
  }

  void ReprView(const Value& value) {
    using What = DictViewObject::What;
    const auto& view = value.as<DictViewObject>();
    Put(view.what == What::kKeys     ? "dict_keys(["
        : view.what == What::kValues ? "dict_values(["
                                     : "dict_items([");
    Values items;
    if (Iterate(run_, value, &items)) Items("", items, "");
    Put("])");
  }

  void Namespace(const NamespaceObject& object) {
    if (++namespaces_ > 8) {
      run_.Unsupported("printing namespaces that hold one another");
      return;
    }
    Put("<Namespace {");
    for (size_t i = 0; i < object.vars.size() && run_.ok(); ++i) {
      if (i != 0) Put(", ");
      ReprString(object.vars[i].first);
      Put(": ");
      Repr(object.vars[i].second);
    }
    Put("}>");
    --namespaces_;
  }

  Run& run_;
  std::string* out_;
  int namespaces_ = 0;
};

class JsonPrinter {
 public:
  JsonPrinter(Run& run, const JsonStyle& style, std::string* out)
      : run_(run), style_(style), out_(out) {}

  void Print(const Value& value) {
    if (!run_.Step() || !run_.CheckStringSize(static_cast<int64_t>(out_->size()))) return;
    switch (value.kind()) {
      case Kind::kNone:
        *out_ += "null";
        break;
      case Kind::kBool:
        *out_ += value.as_bool() ? "true" : "false";
        break;
      case Kind::kInt:
        *out_ += std::to_string(value.as_int());
        break;
      case Kind::kFloat:
        *out_ += Number(value.as_float());
        break;
      case Kind::kString:
        String(value.text());
        break;
      case Kind::kList:
      case Kind::kTuple:
        Array(value.as<ListObject>().items);
        break;
      case Kind::kDict:
        Dict(value.as<DictObject>());
        break;
      default:
        run_.TypeError(std::string("Object of type ") + TypeName(value) +
                       " is not JSON serializable");
    }
  }

 private:
  static std::string Number(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
    return FloatRepr(d);
  }

  void Escape(char32_t c) {
    char escape[16];
    if (c >= 0x10000) {
      const unsigned v = static_cast<unsigned>(c) - 0x10000;
      std::snprintf(escape, sizeof(escape), "\\u%04x\\u%04x", 0xD800 | (v >> 10),
                    0xDC00 | (v & 0x3FF));
    } else {
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
    }
    *out_ += escape;
  }

  void String(const std::string& text) {
    if (!run_.Work(static_cast<int64_t>(text.size()))) return;
    *out_ += '"';
    for (size_t i = 0; i < text.size();) {
      const size_t start = i;
      const char32_t c = NextCodePoint(run_.work(), text, &i);
      switch (c) {
        case '"':
          *out_ += "\\\"";
          break;
        case '\\':
          *out_ += "\\\\";
          break;
        case '\n':
          *out_ += "\\n";
          break;
        case '\r':
          *out_ += "\\r";
          break;
        case '\t':
          *out_ += "\\t";
          break;
        case '\f':
          *out_ += "\\f";
          break;
        case '\b':
          *out_ += "\\b";
          break;
        default:
          if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F && c != 0x7F)) {
            Escape(c);
          } else {
            out_->append(text, start, i - start);
          }
      }
    }
    *out_ += '"';
  }

  void NewLine() {
    if (!style_.pretty) return;
    *out_ += '\n';
    for (int i = 0; i < level_; ++i) *out_ += style_.indent;
    run_.CheckStringSize(static_cast<int64_t>(out_->size()));
  }

  void Array(const Values& items) {
    if (items.empty()) {
      *out_ += "[]";
      return;
    }
    *out_ += '[';
    ++level_;
    for (size_t i = 0; i < items.size() && run_.ok(); ++i) {
      if (i != 0) *out_ += style_.item_separator;
      NewLine();
      Print(items[i]);
    }
    --level_;
    NewLine();
    *out_ += ']';
  }

  void Key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return String(key.text());
      case Kind::kNone:
        return String("null");
      case Kind::kBool:
        return String(key.as_bool() ? "true" : "false");
      case Kind::kInt:
        return String(std::to_string(key.as_int()));
      case Kind::kFloat:
        return String(Number(key.as_float()));
      default:
        run_.TypeError(std::string("keys must be str, int, float, bool or None, not ") +
                       TypeName(key));
    }
  }

  void Dict(const DictObject& dict) {
    if (dict.entries().empty()) {
      *out_ += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> order;
    for (const auto& entry : dict.entries()) order.push_back(&entry);
    if (style_.sort_keys) {
      // Keys of one dict differ, and Order fails on the first pair it cannot compare.
      for (size_t i = 1; i < order.size(); ++i) {
        Order(run_, order[i - 1]->first, order[i]->first, "<");
      }
      if (!run_.ok()) return;
      std::sort(order.begin(), order.end(), [this](const auto* a, const auto* b) {
        run_.work()->Spend(4);
        return KeyLess::Compare(a->first, b->first) < 0;
      });
    }
    *out_ += '{';
    ++level_;
    bool first = true;
    for (const auto* entry : order) {
      if (!run_.ok()) return;
      if (!first) *out_ += style_.item_separator;
      first = false;
      NewLine();
      Key(entry->first);
      *out_ += style_.key_separator;
      Print(entry->second);
    }
    --level_;
    NewLine();
    *out_ += '}';
  }

  Run& run_;
  const JsonStyle& style_;
  std::string* out_;
  int level_ = 0;
};

}  // namespace

std::string Str(Run& run, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kString:
      run.Work(static_cast<int64_t>(value.text().size()));
      return CopyPaced(run.work(), value.text());
    default:
      return Repr(run, value);
  }
}

std::string Repr(Run& run, const Value& value) {
  std::string out;
  Printer(run, &out).Repr(value);
  run.CheckStringSize(static_cast<int64_t>(out.size()));
  run.Work(static_cast<int64_t>(out.size()));
  return out;
}

std::string ToJson(Run& run, const Value& value, const JsonStyle& style) {
  std::string out;
  JsonPrinter(run, style, &out).Print(value);
  run.CheckStringSize(static_cast<int64_t>(out.size()));
  run.Work(static_cast<int64_t>(out.size()));
  return out;
}

}  // namespace lull::jinja
