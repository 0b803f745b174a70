#include "service/answer/harmony_parser.h"

#include <algorithm>

namespace lull {
namespace {

constexpr size_t kMaxHeadBytes = 512;
constexpr std::string_view kStart = "<|start|>";
constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kEnds[] = {"<|end|>", "<|call|>", "<|return|>", "<|start|>"};

class HarmonyParser : public AnswerParser {
 public:
  explicit HarmonyParser(PieceSink sink) : sink_(std::move(sink)) {}

  void Push(const std::string& text, std::vector<ToolPiece>* out) override {
    sink_.set_out(out);
    buffer_ += text;
    while (!buffer_.empty() && (in_body_ ? StepBody() : StepHead())) {
    }
  }

  void Finish(std::vector<ToolPiece>* out) override {
    sink_.set_out(out);
    if (in_body_) {
      EmitBody(buffer_);
    } else if (!IsBlank(buffer_) && buffer_ != "assistant") {
      sink_.Text(buffer_);
    }
    buffer_.clear();
  }

 private:
  enum class Body { kText, kReasoning, kCall, kDropped };

  bool StepHead() {
    const size_t message = buffer_.find(kMessage);
    if (message == std::string::npos) {
      const bool is_head = buffer_.size() <= kMaxHeadBytes && MayBeHead();
      if (is_head) return false;
      body_ = Body::kText;  // an answer without channels
      in_body_ = true;
      return true;
    }
    SetBody(std::string_view(buffer_).substr(0, message));
    buffer_.erase(0, message + kMessage.size());
    in_body_ = true;
    return true;
  }

  // What the first message of an answer may begin with; those behind <|start|> are heads anyway.
  bool MayBeHead() const {
    if (behind_start_) return true;
    const std::string_view text = Stripped(buffer_);
    for (std::string_view begin : {std::string_view("<|channel|>"), std::string_view("to="), kStart,
                                   std::string_view("<|constrain|>")})
      if (text.starts_with(begin) || begin.starts_with(text)) return true;
    return false;
  }

  void SetBody(std::string_view head) {
    constexpr std::string_view kTo = "to=functions.";
    body_ =
        head.find("<|channel|>analysis") != std::string_view::npos ? Body::kReasoning : Body::kText;
    const size_t to = head.find(kTo);
    if (to == std::string_view::npos) return;
    std::string_view name = head.substr(to + kTo.size());
    name = name.substr(0, name.find_first_of(" \t\r\n<"));
    if (sink_.Find(name) == nullptr) {
      body_ = Body::kText;
      sink_.Text(head);
      sink_.Text(kMessage);
      return;
    }
    body_ = sink_.full() ? Body::kDropped : Body::kCall;
    if (body_ == Body::kCall) sink_.Begin(name);
  }

  bool StepBody() {
    size_t end = std::string::npos, held = 0;
    std::string_view mark;
    for (std::string_view candidate : kEnds) {
      held = std::max(held, HeldBack(buffer_, candidate));
      const size_t at = buffer_.find(candidate);
      if (at < end) end = at, mark = candidate;
    }
    const size_t sure = end == std::string::npos ? buffer_.size() - held : end;
    EmitBody(std::string_view(buffer_).substr(0, sure));
    buffer_.erase(0, end == std::string::npos ? sure : sure + mark.size());
    if (end == std::string::npos) return false;
    in_body_ = false;
    behind_start_ = true;
    sink_.EndText();
    return true;
  }

  void EmitBody(std::string_view text) {
    if (body_ == Body::kText) sink_.Text(text);
    if (body_ == Body::kReasoning) sink_.Reasoning(text);
    if (body_ == Body::kCall) sink_.Arguments(text);
  }

  PieceSink sink_;
  std::string buffer_;
  bool in_body_ = false, behind_start_ = false;
  Body body_ = Body::kText;
};

constexpr std::string_view kRecipient = ">>>";

class RecipientParser : public AnswerParser {
 public:
  explicit RecipientParser(PieceSink sink) : sink_(std::move(sink)) {}

  void Push(const std::string& text, std::vector<ToolPiece>* out) override {
    sink_.set_out(out);
    buffer_ += text;
    while (Step()) {
    }
  }

  void Finish(std::vector<ToolPiece>* out) override {
    sink_.set_out(out);
    if (state_ == State::kText || !IsBlank(buffer_)) sink_.Text(buffer_);
    buffer_.clear();
  }

 private:
  enum class State { kHead, kText, kArguments, kTail };

  bool Step() {
    switch (state_) {
      case State::kHead:
        return StepHead();
      case State::kText:
        return StepText();
      case State::kArguments: {
        const size_t bytes = span_.Push(buffer_);
        if (!dropped_) sink_.Arguments(std::string_view(buffer_).substr(0, bytes));
        buffer_.erase(0, bytes);
        if (span_.done()) state_ = State::kTail;
        return span_.done();
      }
      case State::kTail:
        return StepTail();
    }
    return false;
  }

  bool StepHead() {
    const Found mark = FindAt(buffer_, 0, kRecipient);  // again, where the prompt had one
    if (mark == Found::kMore) return false;
    const size_t begin = mark == Found::kYes ? kRecipient.size() : 0;
    const size_t line = buffer_.find('\n', begin);
    if (line == std::string::npos && buffer_.size() <= kMaxHeadBytes) return false;
    const std::string name(Stripped(
        std::string_view(buffer_).substr(begin, line == std::string::npos ? line : line - begin)));
    if (name == "all" && line != std::string::npos) {
      buffer_.erase(0, line + 1);
      state_ = State::kText;
      return true;
    }
    const size_t brace = line == std::string::npos ? line : SkipSpaces(buffer_, line);
    if (sink_.Find(name) != nullptr && brace == buffer_.size()) return false;
    if (sink_.Find(name) == nullptr || buffer_[brace] != '{') {
      state_ = State::kText;  // no recipient: text as it stands
      return true;
    }
    dropped_ = sink_.full();
    if (!dropped_) sink_.Begin(name);
    buffer_.erase(0, brace);
    span_ = JsonSpan();
    state_ = State::kArguments;
    return true;
  }

  bool StepText() {
    const size_t mark = buffer_.find(kRecipient);
    const size_t sure =
        mark == std::string::npos ? buffer_.size() - HeldBack(buffer_, kRecipient) : mark;
    sink_.Text(std::string_view(buffer_).substr(0, sure));
    buffer_.erase(0, mark == std::string::npos ? sure : sure + kRecipient.size());
    if (mark == std::string::npos) return false;
    sink_.EndText();
    state_ = State::kHead;
    return true;
  }

  bool StepTail() {
    const size_t at = SkipSpaces(buffer_, 0);
    if (at == buffer_.size()) return false;
    const Found mark = FindAt(buffer_, at, kRecipient);
    if (mark == Found::kMore) return false;
    buffer_.erase(0, mark == Found::kYes ? at + kRecipient.size() : at);
    sink_.EndText();
    state_ = mark == Found::kYes ? State::kHead : State::kText;
    return true;
  }

  PieceSink sink_;
  std::string buffer_;
  State state_ = State::kHead;
  bool dropped_ = false;
  JsonSpan span_;
};

}  // namespace

std::unique_ptr<AnswerParser> NewHarmonyParser(PieceSink sink) {
  return std::make_unique<HarmonyParser>(std::move(sink));
}

std::unique_ptr<AnswerParser> NewRecipientParser(PieceSink sink) {
  return std::make_unique<RecipientParser>(std::move(sink));
}

}  // namespace lull
