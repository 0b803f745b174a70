#include <optional>

#include "service/answer/call_reader.h"

namespace lull {
namespace {

// {"name": "f", "arguments": { as far as it is written.
class CallHead {
 public:
  CallHead(std::string_view text, size_t at, bool names_are_keys) : text_(text), at_(at) {
    result_ = Match(names_are_keys);
  }
  Found result() const { return result_; }
  const std::string& name() const { return name_; }
  size_t arguments_at() const { return at_; }

 private:
  Found Match(bool names_are_keys) {
    if (const Found brace = Char('{'); brace != Found::kYes) return brace;
    if (names_are_keys) {
      if (const Found key = String(&name_); key != Found::kYes) return key;
      if (const Found colon = Char(':'); colon != Found::kYes) return colon;
      return Peek('{');
    }
    for (;;) {
      std::string key;
      if (const Found found = String(&key); found != Found::kYes) return found;
      if (const Found colon = Char(':'); colon != Found::kYes) return colon;
      if (key == "arguments" || key == "parameters") {
        return name_.empty() ? Found::kNo : Peek('{');
      }
      std::string value;  // of the name, an id, a type
      if (const Found found = String(&value); found != Found::kYes) return found;
      if (key == "name" || key == "tool_name") name_ = value;
      if (const Found comma = Char(','); comma != Found::kYes) return comma;
    }
  }

  Found Peek(char c) {
    at_ = SkipSpaces(text_, at_);
    if (at_ >= text_.size()) return Found::kMore;
    return text_[at_] == c ? Found::kYes : Found::kNo;
  }
  Found Char(char c) {
    const Found found = Peek(c);
    if (found == Found::kYes) ++at_;
    return found;
  }
  // Without escapes: names and ids have none.
  Found String(std::string* value) {
    if (const Found quote = Char('"'); quote != Found::kYes) return quote;
    const size_t end = text_.find_first_of("\"\\", at_);
    if (end == std::string_view::npos) return Found::kMore;
    if (text_[end] == '\\') return Found::kNo;
    *value = text_.substr(at_, end - at_);
    at_ = end + 1;
    return Found::kYes;
  }

  const std::string_view text_;
  size_t at_;
  std::string name_;
  Found result_ = Found::kNo;
};

class JsonReader : public CallReader {
 public:
  JsonReader(std::string_view close, bool names_are_keys)
      : close_(close), names_are_keys_(names_are_keys) {}

  void Open() override {
    state_ = State::kBetween;
    any_ = false;
  }

  Step Read(std::string* buffer, PieceSink* sink) override {
    switch (state_) {
      case State::kBetween:
        return ReadBetween(buffer, sink);
      case State::kArguments:
        return ReadArguments(buffer, sink);
      case State::kTail:
        return ReadTail(buffer);
      case State::kWhole:
        return ReadWhole(buffer, sink);
    }
    return Step::kNo;
  }

  void End(std::string* buffer, PieceSink*) override {
    if (any_ && buffer->find_first_not_of(" \t\r\n]},;") == std::string::npos) buffer->clear();
    if (any_ && close_.starts_with(Stripped(*buffer))) buffer->clear();
  }

 private:
  enum class State { kBetween, kArguments, kTail, kWhole };

  Step ReadBetween(std::string* buffer, PieceSink* sink) {
    const std::string_view text = *buffer;
    const size_t at = std::min(text.find_first_not_of(" \t\r\n[],;"), text.size());
    if (at == text.size()) return Step::kMore;
    if (any_ && close_.empty() && text[at] != '{') {
      buffer->erase(0, at);  // the array's end
      return Step::kDone;
    }
    if (!close_.empty()) {
      const Found closed = FindAt(text, at, close_);
      if (closed == Found::kMore) return Step::kMore;
      if (closed == Found::kYes) return Close(buffer, at);
    }
    if (text[at] != '{') return Step::kNo;
    const CallHead head(text, at, names_are_keys_);
    if (head.result() == Found::kMore) return Step::kMore;
    if (head.result() == Found::kNo) {
      state_ = State::kWhole;
      whole_begin_ = at;
      whole_end_ = at;
      span_ = JsonSpan();
      return Step::kAgain;
    }
    if (sink->Find(head.name()) == nullptr) return Step::kNo;
    return Begin(head.name(), head.arguments_at(), buffer, sink);
  }

  Step Begin(const std::string& name, size_t arguments_at, std::string* buffer, PieceSink* sink) {
    any_ = true;
    dropped_ = sink->full();
    if (!dropped_) sink->Begin(name);
    buffer->erase(0, arguments_at);
    span_ = JsonSpan();
    state_ = State::kArguments;
    return Step::kAgain;
  }

  Step Close(std::string* buffer, size_t at) {
    if (!any_) return Step::kNo;
    buffer->erase(0, at + close_.size());
    return Step::kDone;
  }

  Step ReadArguments(std::string* buffer, PieceSink* sink) {
    const size_t bytes = span_.Push(*buffer);
    if (!dropped_) sink->Arguments(std::string_view(*buffer).substr(0, bytes));
    buffer->erase(0, bytes);
    if (!span_.done()) return Step::kMore;
    state_ = State::kTail;
    tail_ = JsonSpan();
    tail_.Push("{");
    return Step::kAgain;
  }

  // To the brace that closes the call; there may be an id before it.
  Step ReadTail(std::string* buffer) {
    const size_t close = close_.empty() ? std::string::npos : buffer->find(close_);
    const size_t bytes = tail_.Push(std::string_view(*buffer).substr(0, close));
    buffer->erase(0, bytes);
    if (!tail_.done() && close == std::string::npos) return Step::kMore;
    state_ = State::kBetween;
    return Step::kAgain;
  }

  Step ReadWhole(std::string* buffer, PieceSink* sink) {
    whole_end_ += span_.Push(std::string_view(*buffer).substr(whole_end_));
    if (!span_.done()) {
      const bool closed = !close_.empty() && buffer->find(close_) != std::string::npos;
      return closed ? Step::kNo : Step::kMore;
    }
    const std::vector<ToolCall> calls =
        ParseToolCalls(buffer->substr(whole_begin_, whole_end_ - whole_begin_));
    if (calls.size() != 1 || sink->Find(calls[0].name) == nullptr) return Step::kNo;
    any_ = true;
    if (!sink->full()) {
      sink->Begin(calls[0].name);
      sink->Arguments(calls[0].arguments);
    }
    buffer->erase(0, whole_end_);
    state_ = State::kBetween;
    return Step::kAgain;
  }

  const std::string_view close_;
  const bool names_are_keys_;
  State state_ = State::kBetween;
  bool any_ = false;      // a call in this section
  bool dropped_ = false;  // the one being read is beyond the number asked for
  JsonSpan span_, tail_;
  size_t whole_begin_ = 0, whole_end_ = 0;
};

}  // namespace

std::unique_ptr<CallReader> NewJsonReader(std::string_view close, bool names_are_keys) {
  return std::make_unique<JsonReader>(close, names_are_keys);
}

}  // namespace lull
