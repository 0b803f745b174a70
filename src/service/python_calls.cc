#include "service/python_calls.h"

#include <cctype>
#include <cmath>
#include <cstdlib>

namespace lull {
namespace {

constexpr int kMaxDepth = 32;

bool IsNameStart(char c) { return c == '_' || std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool IsNameChar(char c) {
  return IsNameStart(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
}

class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  std::vector<ToolCall> Calls() {
    std::vector<ToolCall> calls;
    if (!Take('[')) return {};
    while (!Take(']')) {
      if (!calls.empty() && !Take(',')) return {};
      ToolCall call;
      if (!Call(&call)) return {};
      calls.push_back(std::move(call));
    }
    Space();
    return at_ == text_.size() ? calls : std::vector<ToolCall>();
  }

  bool OneValue(Json* value) {
    if (!Value(0, value)) return false;
    Space();
    return at_ == text_.size();
  }

 private:
  void Space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool Take(char c) {
    Space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // Dots as well: tools may be called module.function.
  std::string Name(bool dots) {
    Space();
    const size_t begin = at_;
    if (at_ < text_.size() && IsNameStart(text_[at_]))
      while (at_ < text_.size() && (IsNameChar(text_[at_]) || (dots && text_[at_] == '.'))) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  bool Call(ToolCall* call) {
    call->name = Name(true);
    if (call->name.empty() || !Take('(')) return false;
    Json arguments = Json::object();
    while (!Take(')')) {
      if (!arguments.empty() && !Take(',')) return false;
      const std::string name = Name(false);
      Json value;
      if (name.empty() || !Take('=') || !Value(0, &value)) return false;
      arguments[name] = std::move(value);
    }
    call->arguments = arguments.dump(-1, ' ', false, Json::error_handler_t::replace);
    return true;
  }

  bool Value(int depth, Json* value) {
    Space();
    if (depth > kMaxDepth || at_ >= text_.size()) return false;
    const char c = text_[at_];
    if (c == '"' || c == '\'') return String(value);
    if (c == '[') return List(depth, value);
    if (c == '{') return Dict(depth, value);
    return IsNameStart(c) ? Word(value) : Number(value);
  }

  bool String(Json* value) {
    const char quote = text_[at_++];
    std::string text;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (c == '\\') {
        if (at_ >= text_.size()) return false;
        c = text_[at_++];
        if (c == 'n') c = '\n';
        if (c == 't') c = '\t';
        if (c == 'r') c = '\r';
      }
      text += c;
    }
    *value = text;
    return Take(quote);
  }

  bool List(int depth, Json* value) {
    *value = Json::array();
    Take('[');
    while (!Take(']')) {
      Json entry;
      if (!value->empty() && !Take(',')) return false;
      if (!Value(depth + 1, &entry)) return false;
      value->push_back(std::move(entry));
    }
    return true;
  }

  bool Dict(int depth, Json* value) {
    *value = Json::object();
    Take('{');
    while (!Take('}')) {
      Json key, entry;
      if (!value->empty() && !Take(',')) return false;
      if (!Value(depth + 1, &key) || !key.is_string() || !Take(':')) return false;
      if (!Value(depth + 1, &entry)) return false;
      (*value)[key.get<std::string>()] = std::move(entry);
    }
    return true;
  }

  bool Word(Json* value) {
    const std::string word = Name(false);
    if (word == "True" || word == "true")
      *value = true;
    else if (word == "False" || word == "false")
      *value = false;
    else if (word == "None" || word == "null")
      *value = nullptr;
    else
      return false;
    return true;
  }

  bool Number(Json* value) {
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isdigit(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  std::string_view("+-.eE").find(text_[at_]) != std::string::npos))
      ++at_;
    *value = Json::parse(text_.substr(begin, at_ - begin), nullptr, false);
    return value->is_number();
  }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace

std::vector<ToolCall> ParsePythonCalls(const std::string& text) { return Reader(text).Calls(); }

bool ParsePythonValue(const std::string& text, Json* value) { return Reader(text).OneValue(value); }

}  // namespace lull
