#include <algorithm>

#include "service/answer/call_reader.h"

namespace lull {
namespace {

// No name, id or fence between the marks is longer.
constexpr size_t kMaxHeadBytes = 512;

// "functions.f:0" is f.
std::string_view BareName(std::string_view name, std::string_view prefix) {
  name = Stripped(name);
  if (prefix.empty() || !name.starts_with(prefix)) return name;
  name.remove_prefix(prefix.size());
  const size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(0, colon);
}

class NamedReader : public CallReader {
 public:
  explicit NamedReader(const NamedSyntax& syntax)
      : syntax_(syntax), json_(NewJsonReader(syntax.close)) {}

  void Open() override {
    state_ = State::kHead;
    any_ = false;
  }

  Step Read(std::string* buffer, PieceSink* sink) override {
    switch (state_) {
      case State::kHead:
        return ReadHead(buffer, sink);
      case State::kArguments:
        return ReadArguments(buffer, sink);
      case State::kTail:
        return ReadTail(buffer);
      case State::kJson:
        return json_->Read(buffer, sink);
    }
    return Step::kNo;
  }

  void End(std::string* buffer, PieceSink* sink) override {
    if (state_ == State::kJson) return json_->End(buffer, sink);
    const std::string_view left = Stripped(*buffer);
    const bool closing = syntax_.item_close.starts_with(left) || syntax_.close.starts_with(left);
    if (any_ && (closing || state_ == State::kTail)) buffer->clear();
  }

 private:
  enum class State { kHead, kArguments, kTail, kJson };

  Step ReadHead(std::string* buffer, PieceSink* sink) {
    const std::string_view text = *buffer;
    size_t at = SkipSpaces(text, 0);
    if (at == text.size()) return Step::kMore;
    if (!any_ && (text[at] == '{' || text[at] == '[')) {
      state_ = State::kJson;
      json_->Open();
      return Step::kAgain;
    }
    if (!syntax_.close.empty()) {
      const Found closed = FindAt(text, at, syntax_.close);
      if (closed == Found::kMore) return Step::kMore;
      if (closed == Found::kYes) {
        if (!any_) return Step::kNo;
        buffer->erase(0, at + syntax_.close.size());
        return Step::kDone;
      }
    }
    const Found opened = FindAt(text, at, syntax_.item_open);
    if (opened != Found::kYes) return opened == Found::kMore ? Step::kMore : Step::kNo;
    at += syntax_.item_open.size();
    if (!syntax_.name_open.empty()) {
      const size_t open = text.find(syntax_.name_open, at);
      if (open == std::string_view::npos) return MoreHead(text.size() - at);
      at = open + syntax_.name_open.size();
    }
    const size_t name_end = text.find(syntax_.name_end, at);
    if (name_end == std::string_view::npos) return MoreHead(text.size() - at);
    size_t arguments = name_end + syntax_.name_end.size();
    if (!syntax_.args_open.empty()) {
      const size_t open = text.find(syntax_.args_open, name_end);
      if (open == std::string_view::npos) return MoreHead(text.size() - at);
      arguments = open + syntax_.args_open.size();
    }
    arguments = SkipSpaces(text, arguments);
    if (arguments == text.size()) return Step::kMore;
    const std::string name(BareName(text.substr(at, name_end - at), syntax_.name_prefix));
    if (text[arguments] != '{' || sink->Find(name) == nullptr) return Step::kNo;
    return Begin(name, arguments, buffer, sink);
  }

  static Step MoreHead(size_t bytes) { return bytes > kMaxHeadBytes ? Step::kNo : Step::kMore; }

  Step Begin(const std::string& name, size_t arguments, std::string* buffer, PieceSink* sink) {
    any_ = true;
    dropped_ = sink->full();
    if (!dropped_) sink->Begin(name);
    buffer->erase(0, arguments);
    span_ = JsonSpan();
    state_ = State::kArguments;
    return Step::kAgain;
  }

  Step ReadArguments(std::string* buffer, PieceSink* sink) {
    const size_t bytes = span_.Push(*buffer);
    if (!dropped_) sink->Arguments(std::string_view(*buffer).substr(0, bytes));
    buffer->erase(0, bytes);
    if (!span_.done()) return Step::kMore;
    state_ = State::kTail;
    return Step::kAgain;
  }

  Step ReadTail(std::string* buffer) {
    if (!syntax_.item_close.empty()) {
      const size_t close = buffer->find(syntax_.item_close);
      if (close == std::string::npos) return MoreTail(*buffer);
      // What stands between is a fence at most; anything else is not dropped.
      if (!IsFence(std::string_view(*buffer).substr(0, close))) return Step::kNo;
      buffer->erase(0, close + syntax_.item_close.size());
    }
    state_ = State::kHead;
    return syntax_.close.empty() ? Step::kDone : Step::kAgain;
  }
  static bool IsFence(std::string_view text) {
    return text.find_first_not_of("` \t\r\n") == std::string_view::npos;
  }
  Step MoreTail(std::string_view text) const {
    const size_t sure = text.size() - HeldBack(text, syntax_.item_close);
    return IsFence(text.substr(0, sure)) ? Step::kMore : Step::kNo;
  }

  const NamedSyntax syntax_;
  const std::unique_ptr<CallReader> json_;
  State state_ = State::kHead;
  bool any_ = false, dropped_ = false;
  JsonSpan span_;
};

}  // namespace

std::unique_ptr<CallReader> NewNamedReader(const NamedSyntax& syntax) {
  return std::make_unique<NamedReader>(syntax);
}

}  // namespace lull
