#include <algorithm>

#include "service/answer/call_reader.h"
#include "service/python_calls.h"

namespace lull {
namespace {

constexpr size_t kMaxHeadBytes = 512;

std::string Quoted(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// What may stand in a JSON string: escaped as far as JSON asks. Bytes of characters pass as they
// are, so the text may be cut anywhere.
std::string Escaped(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  return out;
}

const Json* SchemaOf(const Tool& tool, const std::string& key) {
  const auto properties = tool.parameters.find("properties");
  if (properties == tool.parameters.end() || !properties->is_object()) return nullptr;
  const auto it = properties->find(key);
  return it == properties->end() || !it->is_object() ? nullptr : &*it;
}

// Whether a value is its text: the schema says so, or names only texts to choose from.
bool IsText(const Tool& tool, const std::string& key, std::string_view attributes) {
  if (attributes.find("string=\"true\"") != std::string_view::npos) return true;
  if (attributes.find("string=\"false\"") != std::string_view::npos) return false;
  if (attributes.find("type=\"string\"") != std::string_view::npos) return true;
  if (attributes.find("type=\"") != std::string_view::npos) return false;
  const Json* schema = SchemaOf(tool, key);
  if (schema == nullptr) return false;
  const auto type = schema->find("type");
  if (type != schema->end()) return *type == "string";
  const auto choices = schema->find("enum");
  return choices != schema->end() && choices->is_array() && !choices->empty() &&
         std::all_of(choices->begin(), choices->end(),
                     [](const Json& choice) { return choice.is_string(); });
}

// As JSON, as Python writes it, or as text.
std::string ValueText(std::string_view text) {
  const std::string_view bare = Stripped(text);
  if (const Result<Json> json = ParseJson("{\"v\":" + std::string(bare) + "}"); json.ok()) {
    return std::string(bare);
  }
  Json value;
  if (ParsePythonValue(std::string(bare), &value))
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Quoted(text);
}

class TaggedReader : public CallReader {
 public:
  explicit TaggedReader(const TaggedSyntax& syntax)
      : syntax_(syntax),
        json_(NewJsonReader(syntax.close.empty() ? syntax.call_close : syntax.close)) {}

  void Open() override {
    state_ = State::kHead;
    any_ = false;
  }

  Step Read(std::string* buffer, PieceSink* sink) override {
    switch (state_) {
      case State::kHead:
        return ReadHead(buffer, sink);
      case State::kKey:
        return ReadKey(buffer, sink);
      case State::kValue:
        return ReadValue(buffer, sink);
      case State::kJson:
        return json_->Read(buffer, sink);
    }
    return Step::kNo;
  }

  void End(std::string* buffer, PieceSink* sink) override {
    if (state_ == State::kJson) return json_->End(buffer, sink);
    if (state_ == State::kValue) {
      if (is_text_) Emit(Escaped(*buffer), sink);
      buffer->clear();
    } else if (state_ == State::kKey) {
      buffer->clear();
    } else if (any_ && syntax_.close.starts_with(Stripped(*buffer))) {
      buffer->clear();
    }
  }

 private:
  enum class State { kHead, kKey, kValue, kJson };

  // Where a section is a call, the mark that opened it stood before the name.
  bool one_call() const { return syntax_.close.empty(); }

  Step ReadHead(std::string* buffer, PieceSink* sink) {
    const std::string_view text = *buffer;
    size_t at = SkipSpaces(text, 0);
    if (at == text.size()) return Step::kMore;
    if (!any_ && text[at] == '{') {
      state_ = State::kJson;
      json_->Open();
      return Step::kAgain;
    }
    if (!one_call()) {
      const Found closed = FindAt(text, at, syntax_.close);
      if (closed == Found::kMore) return Step::kMore;
      if (closed == Found::kYes) {
        if (!any_) return Step::kNo;
        buffer->erase(0, at + syntax_.close.size());
        return Step::kDone;
      }
      const Found opened = FindAt(text, at, syntax_.call_open);
      if (opened != Found::kYes) return opened == Found::kMore ? Step::kMore : Step::kNo;
      at += syntax_.call_open.size();
    }
    // A name ends at its mark, or where the first key or the end of the call is.
    size_t end = text.size(), next = text.size();
    const auto ends_at = [&](std::string_view mark, bool taken) {
      const size_t found = mark.empty() ? std::string_view::npos : text.find(mark, at);
      if (found < end) end = found, next = found + (taken ? mark.size() : 0);
    };
    ends_at(syntax_.name_end, true);
    ends_at(syntax_.key_open, false);
    ends_at(syntax_.call_close, false);
    if (end == text.size()) {
      return text.size() - at > kMaxHeadBytes ? Step::kNo : Step::kMore;
    }
    if (!syntax_.head_end.empty()) {
      const size_t head = text.find(syntax_.head_end, next);
      if (head == std::string_view::npos)
        return text.size() - at > kMaxHeadBytes ? Step::kNo : Step::kMore;
      next = head + syntax_.head_end.size();
    }
    tool_ = sink->Find(Stripped(text.substr(at, end - at)));
    if (tool_ == nullptr) return Step::kNo;
    any_ = true;
    first_ = true;
    dropped_ = sink->full();
    if (!dropped_) sink->Begin(tool_->name);
    buffer->erase(0, next);
    state_ = State::kKey;
    return Step::kAgain;
  }

  Step ReadKey(std::string* buffer, PieceSink* sink) {
    const std::string_view text = *buffer;
    const size_t at = SkipSpaces(text, 0);
    const Found closed = FindAt(text, at, syntax_.call_close);
    if (closed == Found::kYes) {
      Emit(first_ ? "{}" : "}", sink);
      buffer->erase(0, at + syntax_.call_close.size());
      state_ = State::kHead;
      return one_call() ? Step::kDone : Step::kAgain;
    }
    const Found opened = FindAt(text, at, syntax_.key_open);
    if (opened == Found::kYes) return ReadKeyAt(at + syntax_.key_open.size(), buffer, sink);
    if (opened == Found::kMore || closed == Found::kMore) return Step::kMore;
    return Broken(sink);
  }

  Step ReadKeyAt(size_t at, std::string* buffer, PieceSink* sink) {
    const std::string_view text = *buffer;
    const size_t key_end = text.find(syntax_.key_end, at);
    if (key_end == std::string_view::npos)
      return text.size() - at > kMaxHeadBytes ? Broken(sink) : Step::kMore;
    size_t value = key_end + syntax_.key_end.size();
    std::string_view attributes;
    if (!syntax_.value_open.empty()) {
      const size_t open = text.find(syntax_.value_open, value);
      if (open == std::string_view::npos)
        return text.size() - at > kMaxHeadBytes ? Broken(sink) : Step::kMore;
      attributes = text.substr(value, open - value);
      value = open + syntax_.value_open.size();
    }
    const std::string key(text.substr(at, key_end - at));
    is_text_ = IsText(*tool_, key, attributes);
    value_begins_ = true;
    Emit((first_ ? "{" : ", ") + Quoted(key) + ": " + (is_text_ ? "\"" : ""), sink);
    first_ = false;
    buffer->erase(0, value);
    state_ = State::kValue;
    return Step::kAgain;
  }

  Step ReadValue(std::string* buffer, PieceSink* sink) {
    if (syntax_.lines && value_begins_) {
      if (buffer->empty()) return Step::kMore;
      if (buffer->front() == '\n') buffer->erase(0, 1);
    }
    value_begins_ = false;
    const size_t close = buffer->find(syntax_.value_close);
    if (close == std::string::npos) {
      if (!is_text_) return Step::kMore;
      size_t sure = buffer->size() - HeldBack(*buffer, syntax_.value_close);
      if (syntax_.lines && sure > 0 && (*buffer)[sure - 1] == '\n') --sure;
      Emit(Escaped(std::string_view(*buffer).substr(0, sure)), sink);
      buffer->erase(0, sure);
      return Step::kMore;
    }
    std::string_view value = std::string_view(*buffer).substr(0, close);
    if (syntax_.lines && value.ends_with('\n')) value.remove_suffix(1);
    Emit(is_text_ ? Escaped(value) + "\"" : ValueText(value), sink);
    buffer->erase(0, close + syntax_.value_close.size());
    state_ = State::kKey;
    return Step::kAgain;
  }

  // What follows belongs to no call: this one ends here.
  Step Broken(PieceSink* sink) {
    Emit(first_ ? "{}" : "}", sink);
    return Step::kNo;
  }

  void Emit(std::string_view text, PieceSink* sink) const {
    if (!dropped_) sink->Arguments(text);
  }

  const TaggedSyntax syntax_;
  const std::unique_ptr<CallReader> json_;
  State state_ = State::kHead;
  const Tool* tool_ = nullptr;  // whose call is being read
  bool any_ = false, dropped_ = false;
  bool first_ = true;  // no argument yet
  bool is_text_ = false, value_begins_ = false;
};

}  // namespace

std::unique_ptr<CallReader> NewTaggedReader(const TaggedSyntax& syntax) {
  return std::make_unique<TaggedReader>(syntax);
}

}  // namespace lull
