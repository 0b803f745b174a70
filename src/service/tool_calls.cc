#include "service/tool_calls.h"

#include <algorithm>
#include <optional>

#include "service/python_calls.h"

namespace lull {
namespace {

constexpr std::string_view kOpen = "<tool_call>";
constexpr std::string_view kClose = "</tool_call>";
constexpr std::string_view kSpaces = " \t\r\n";

bool IsSpace(char c) { return kSpaces.find(c) != std::string_view::npos; }

// How many bytes at the end of text may be the beginning of mark.
size_t HeldBack(const std::string& text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n)
    if (mark.starts_with(std::string_view(text).substr(text.size() - n))) return n;
  return 0;
}

// Matches a text that is still being written.
class HeadMatcher {
 public:
  enum class Result { kMore, kNo, kYes };
  explicit HeadMatcher(const std::string& text) : text_(text) {}

  // {"name": "f", "arguments": { with any white space; the brace is not consumed.
  Result Match() {
    Literal("{");
    Literal("\"name\"");
    Literal(":");
    Name();
    Literal(",");
    Key();
    Literal(":");
    const size_t end = at_;
    Literal("{");
    if (result_ == Result::kYes) SkipBack(end);
    return result_;
  }
  const std::string& name() const { return name_; }
  size_t arguments_at() const { return at_; }

 private:
  void SkipBack(size_t end) {
    at_ = end;
    while (IsSpace(text_[at_])) ++at_;
  }
  void Literal(std::string_view literal) {
    if (result_ != Result::kYes) return;
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
    const std::string_view rest = std::string_view(text_).substr(at_);
    if (rest.size() < literal.size())
      result_ = literal.starts_with(rest) ? Result::kMore : Result::kNo;
    else if (!rest.starts_with(literal))
      result_ = Result::kNo;
    at_ += std::min(literal.size(), rest.size());
  }
  void Name() {
    Literal("\"");
    if (result_ != Result::kYes) return;
    const size_t end = text_.find_first_of("\"\\", at_);
    if (end == std::string::npos) {
      result_ = Result::kMore;
    } else if (text_[end] == '\\') {
      result_ = Result::kNo;
    } else {
      name_ = text_.substr(at_, end - at_);
      at_ = end + 1;
    }
  }
  void Key() {
    if (result_ != Result::kYes) return;
    const size_t begin = at_;
    Literal("\"arguments\"");
    if (result_ == Result::kYes) return;
    const Result arguments = std::exchange(result_, Result::kYes);
    at_ = begin;
    Literal("\"parameters\"");
    if (result_ == Result::kNo) result_ = arguments;
  }

  const std::string& text_;
  size_t at_ = 0;
  std::string name_;
  Result result_ = Result::kYes;
};

// {"name": ..., "arguments": ...}, or that within {"function": ...}.
std::optional<ToolCall> CallOf(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  if (const auto it = json.find("function"); it != json.end() && it->is_object())
    return CallOf(*it);
  const auto name = json.find("name");
  if (name == json.end() || !name->is_string()) return std::nullopt;
  auto arguments = json.find("arguments");
  if (arguments == json.end()) arguments = json.find("parameters");
  if (arguments == json.end()) return std::nullopt;
  Json object = *arguments;
  if (object.is_string()) {
    Result<Json> parsed = ParseJson(object.get<std::string>());  // no deeper than all else
    if (!parsed.ok()) return std::nullopt;
    object = std::move(*parsed);
  }
  if (!object.is_object()) return std::nullopt;
  return ToolCall{name->get<std::string>(),
                  object.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace

std::vector<ToolCall> ParseToolCalls(const std::string& text) {
  const Result<Json> parsed = ParseJson("{\"calls\":" + text + "}");
  if (!parsed.ok()) return ParsePythonCalls(text);
  const Json& json = parsed->at("calls");
  std::vector<ToolCall> calls;
  for (const Json& entry : json.is_array() ? json : Json::array({json})) {
    const std::optional<ToolCall> call = CallOf(entry);
    if (!call.has_value()) return {};
    calls.push_back(*call);
  }
  return calls;
}

void ToolCallParser::Push(const std::string& text, std::vector<ToolPiece>* out) {
  buffer_ += text;
  while (Step(out)) {
  }
}

void ToolCallParser::Finish(std::vector<ToolPiece>* out) {
  while (Step(out)) {
  }
  if (state_ == State::kHead || state_ == State::kWhole) {
    const std::vector<ToolCall> calls = ParseToolCalls(buffer_);
    if (Offered(calls)) {
      EmitCalls(calls, out);
      buffer_.clear();
    } else {
      GiveUp(buffer_.size(), out);
    }
  } else if (state_ == State::kText) {
    EmitText(std::exchange(buffer_, ""), out);
  }
  buffer_.clear();
}

// True where there may be more to do with what has come.
bool ToolCallParser::Step(std::vector<ToolPiece>* out) {
  if (calls_ >= max_calls_ && (state_ == State::kText || state_ == State::kTail)) {
    buffer_.clear();
    return false;
  }
  switch (state_) {
    case State::kText:
      return StepText(out);
    case State::kHead:
      return StepHead(out);
    case State::kArguments:
      return StepArguments(out);
    case State::kTail:
      return StepTail();
    case State::kWhole:
      return StepWhole(out);
  }
  return false;
}

bool ToolCallParser::StepText(std::vector<ToolPiece>* out) {
  const size_t begin = buffer_.find_first_not_of(kSpaces);
  if (begin == std::string::npos && !any_text_) return false;
  const bool bare = !any_text_ && calls_ == 0 && (buffer_[begin] == '{' || buffer_[begin] == '[');
  if (bare) {
    tagged_ = false;
    state_ = buffer_[begin] == '{' ? State::kHead : State::kWhole;
    return true;
  }
  const size_t open = buffer_.find(kOpen);
  if (open == std::string::npos) {
    const size_t sure = buffer_.size() - HeldBack(buffer_, kOpen);
    EmitText(buffer_.substr(0, sure), out);
    buffer_.erase(0, sure);
    return false;
  }
  EmitText(buffer_.substr(0, open), out);
  buffer_.erase(0, open + kOpen.size());
  tagged_ = true;
  state_ = State::kHead;
  return true;
}

bool ToolCallParser::StepHead(std::vector<ToolPiece>* out) {
  HeadMatcher matcher(buffer_);
  const HeadMatcher::Result result = matcher.Match();
  if (result == HeadMatcher::Result::kNo) {
    state_ = State::kWhole;
    return true;
  }
  if (result == HeadMatcher::Result::kMore) {
    // Closed before it was a call.
    if (!tagged_ || buffer_.find(kClose) == std::string::npos) return false;
    state_ = State::kWhole;
    return true;
  }
  if (names_.count(matcher.name()) == 0) {
    GiveUp(matcher.arguments_at(), out);
    return true;
  }
  EmitBegin(matcher.name(), out);
  buffer_.erase(0, matcher.arguments_at());
  arguments_ = JsonSpan();
  state_ = State::kArguments;
  return true;
}

bool ToolCallParser::StepArguments(std::vector<ToolPiece>* out) {
  const size_t i = arguments_.Push(buffer_);
  if (i > 0) out->push_back({ToolPiece::Kind::kArguments, buffer_.substr(0, i), calls_ - 1});
  buffer_.erase(0, i);
  if (arguments_.done()) state_ = State::kTail;
  return arguments_.done();
}

// The brace that closes the call, the tag, and between bare calls a separator.
bool ToolCallParser::StepTail() {
  if (tagged_) {
    const size_t close = buffer_.find(kClose);
    if (close == std::string::npos) return false;
    buffer_.erase(0, close + kClose.size());
    any_text_ = false;
    state_ = State::kText;
    return true;
  }
  const size_t next = buffer_.find_first_not_of(" \t\r\n};,");
  if (next == std::string::npos) return false;
  buffer_.erase(0, next);
  state_ = buffer_.front() == '{' ? State::kHead : State::kText;
  return true;
}

bool ToolCallParser::StepWhole(std::vector<ToolPiece>* out) {
  if (!tagged_) return false;  // Finish knows
  const size_t close = buffer_.find(kClose);
  if (close == std::string::npos) return false;
  const std::vector<ToolCall> calls = ParseToolCalls(buffer_.substr(0, close));
  if (!Offered(calls)) {
    GiveUp(close + kClose.size(), out);
    return true;
  }
  EmitCalls(calls, out);
  buffer_.erase(0, close + kClose.size());
  any_text_ = false;
  state_ = State::kText;
  return true;
}

bool ToolCallParser::Offered(const std::vector<ToolCall>& calls) const {
  return !calls.empty() && std::all_of(calls.begin(), calls.end(), [this](const ToolCall& call) {
    return names_.count(call.name) > 0;
  });
}

// Without white space before the first text and between calls.
void ToolCallParser::EmitText(std::string text, std::vector<ToolPiece>* out) {
  if (!any_text_) text.erase(0, std::min(text.find_first_not_of(kSpaces), text.size()));
  if (text.empty()) return;
  any_text_ = true;
  out->push_back({ToolPiece::Kind::kText, std::move(text), -1});
}

void ToolCallParser::EmitBegin(const std::string& name, std::vector<ToolPiece>* out) {
  out->push_back({ToolPiece::Kind::kBegin, name, calls_++});
}

void ToolCallParser::EmitCalls(const std::vector<ToolCall>& calls, std::vector<ToolPiece>* out) {
  for (const ToolCall& call : calls) {
    if (calls_ >= max_calls_) return;
    EmitBegin(call.name, out);
    out->push_back({ToolPiece::Kind::kArguments, call.arguments, calls_ - 1});
  }
}

// So many bytes of the buffer, and the tag before them, are no call but text.
void ToolCallParser::GiveUp(size_t bytes, std::vector<ToolPiece>* out) {
  EmitText((tagged_ ? std::string(kOpen) : "") + buffer_.substr(0, bytes), out);
  buffer_.erase(0, bytes);
  state_ = State::kText;
}

}  // namespace lull
