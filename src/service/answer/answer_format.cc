#include "service/answer/answer_format.h"

#include <algorithm>
#include <utility>

#include "service/answer/call_reader.h"
#include "service/answer/harmony_parser.h"

namespace lull {
namespace {

template <typename... Texts>
std::vector<std::string_view> All(Texts... texts) {
  return {texts...};
}
template <typename... Texts>
std::vector<std::string_view> Marks(Texts... texts) {
  return {texts...};
}

constexpr TaggedSyntax Functions(std::string_view close, bool lines) {
  return {"<function=", ">", "<parameter=", ">", "", "</parameter>", "</function>", close, lines};
}
constexpr TaggedSyntax Dsml(std::string_view close) {
  return {"<｜DSML｜invoke name=\"",
          "\">",
          "<｜DSML｜parameter name=\"",
          "\"",
          ">",
          "</｜DSML｜parameter>",
          "</｜DSML｜invoke>",
          close};
}

// Marked and bare JSON, and Python calls: tool_calls.h.
class HermesParser : public AnswerParser {
 public:
  HermesParser(std::set<std::string> names, int max_calls) : parser_(std::move(names), max_calls) {}
  void Push(const std::string& text, std::vector<ToolPiece>* out) override {
    parser_.Push(text, out);
  }
  void Finish(std::vector<ToolPiece>* out) override { parser_.Finish(out); }

 private:
  ToolCallParser parser_;
};

std::unique_ptr<AnswerParser> Hermes(PieceSink sink) {
  return std::make_unique<HermesParser>(sink.names(), sink.max_calls());
}

class PlainParser : public AnswerParser {
 public:
  void Push(const std::string& text, std::vector<ToolPiece>* out) override {
    if (!text.empty()) out->push_back({ToolPiece::Kind::kText, text, -1});
  }
  void Finish(std::vector<ToolPiece>*) override {}
};

// Reasoning at the beginning of an answer, without the white space around it; the rest is another
// parser's.
class ReasoningParser : public AnswerParser {
 public:
  ReasoningParser(ReasoningMarks marks, bool opened, std::unique_ptr<AnswerParser> rest)
      : open_(Stripped(marks.open)),
        close_(Stripped(marks.close)),
        rest_(std::move(rest)),
        state_(opened ? State::kOpened : State::kStart) {}

  void Push(const std::string& text, std::vector<ToolPiece>* out) override {
    if (state_ == State::kRest) return rest_->Push(text, out);
    buffer_ += text;
    while (Step(out)) {
    }
  }

  void Finish(std::vector<ToolPiece>* out) override {
    if (state_ == State::kReasoning || state_ == State::kOpened) {
      Emit(buffer_.find_last_not_of(" \t\r\n") + 1, out);
    } else if (state_ == State::kStart) {
      rest_->Push(buffer_, out);
    }
    buffer_.clear();
    rest_->Finish(out);
  }

 private:
  enum class State { kStart, kOpened, kReasoning, kAfter, kRest };

  bool Step(std::vector<ToolPiece>* out) {
    switch (state_) {
      case State::kStart:
      case State::kOpened:
        return StepStart(out);
      case State::kReasoning:
        return StepReasoning(out);
      case State::kAfter:
        return StepAfter(out);
      case State::kRest:
        return false;
    }
    return false;
  }

  bool StepStart(std::vector<ToolPiece>* out) {
    const size_t at = SkipSpaces(buffer_, 0);
    const Found open = FindAt(buffer_, at, open_);
    if (open == Found::kMore) return false;
    if (open == Found::kYes) {
      buffer_.erase(0, at + open_.size());
      state_ = State::kReasoning;
      return true;
    }
    if (state_ == State::kOpened) {
      state_ = State::kReasoning;
      return true;
    }
    state_ = State::kRest;
    rest_->Push(std::exchange(buffer_, ""), out);
    return false;
  }

  // White space waits until something follows it.
  bool StepReasoning(std::vector<ToolPiece>* out) {
    if (!any_) buffer_.erase(0, SkipSpaces(buffer_, 0));
    const size_t close = buffer_.find(close_);
    const std::string_view sure = std::string_view(buffer_).substr(
        0, close == std::string::npos ? buffer_.size() - HeldBack(buffer_, close_) : close);
    const size_t last = sure.find_last_not_of(" \t\r\n");
    Emit(last == std::string_view::npos ? 0 : last + 1, out);
    if (close == std::string::npos) return false;
    buffer_.erase(0, buffer_.find(close_) + close_.size());
    state_ = State::kAfter;
    return true;
  }

  void Emit(size_t bytes, std::vector<ToolPiece>* out) {
    std::string_view text = std::string_view(buffer_).substr(0, bytes);
    if (!any_) text = text.substr(SkipSpaces(text, 0));
    if (!text.empty()) {
      any_ = true;
      out->push_back({ToolPiece::Kind::kReasoning, std::string(text), -1});
    }
    buffer_.erase(0, bytes);
  }

  bool StepAfter(std::vector<ToolPiece>* out) {
    buffer_.erase(0, SkipSpaces(buffer_, 0));
    if (buffer_.empty()) return false;
    state_ = State::kRest;
    rest_->Push(std::exchange(buffer_, ""), out);
    return false;
  }

  const std::string_view open_, close_;
  const std::unique_ptr<AnswerParser> rest_;
  State state_;
  std::string buffer_;
  bool any_ = false;
};

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const std::vector<AnswerFormat>& Formats() {
  static const std::vector<AnswerFormat> formats = {
#define LULL_ANSWER_FORMAT(name, needs, marks, structural, ...)                                  \
  {name, needs, marks, structural, [](PieceSink sink) -> std::unique_ptr<AnswerParser> {         \
     [[maybe_unused]] const auto Sections = [&](std::string_view open,                           \
                                                std::unique_ptr<CallReader> reader,              \
                                                auto... drop) -> std::unique_ptr<AnswerParser> { \
       return std::make_unique<SectionParser>(open, std::vector<std::string_view>{drop...},      \
                                              std::move(reader), std::move(sink));               \
     };                                                                                          \
     return __VA_ARGS__;                                                                         \
   }},
#include "service/answer/answer_format_list.inc"
#undef LULL_ANSWER_FORMAT
  };
  return formats;
}

// What a template has of it, and the marks.
struct ReasoningRow {
  std::string_view needs;
  ReasoningMarks marks;
};
constexpr ReasoningRow kReasoning[] = {
    {"<seed:think>", {"<seed:think>", "</seed:think>"}},
    {"<mm:think>", {"<mm:think>", "</mm:think>"}},
    {":opensource", {"<think:opensource>", "</think:opensource>"}},
    {"<|START_THINKING|>", {"<|START_THINKING|>", "<|END_THINKING|>"}},
    {"<|channel>thought", {"<|channel>thought", "<channel|>"}},
    {"[THINK]", {"[THINK]", "[/THINK]"}},
    {"<|sep|>", {"<|open|>think<|sep|>", "<|close|>think<|sep|>"}},
    {"[BEGIN FINAL RESPONSE]", {"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"}},
    {"</think>", {"<think>", "</think>"}},
};

}  // namespace

const AnswerFormat& FormatOf(std::string_view chat_template) {
  const auto& formats = Formats();
  return *std::find_if(formats.begin(), formats.end(), [&](const AnswerFormat& format) {
    return std::all_of(format.needs.begin(), format.needs.end(),
                       [&](std::string_view mark) { return Has(chat_template, mark); });
  });
}

std::string_view AnswerFormat::text_opening() const {
  if (name == "harmony") return "<|channel|>final<|message|>";
  if (name == "functionary-3.2") return "all\n";
  if (name == "kimi-k3") return "<|open|>response<|sep|>";
  return "";
}

const AnswerFormat& HermesFormat() { return Formats().back(); }

ReasoningMarks ReasoningOf(std::string_view chat_template) {
  for (const ReasoningRow& row : kReasoning)
    if (Has(chat_template, row.needs)) return row.marks;
  return {};
}

bool Thinks(std::string_view chat_template) {
  return !ReasoningOf(chat_template).open.empty() || FormatOf(chat_template).name == "harmony";
}

const std::vector<AnswerFormat>& AllFormats() { return Formats(); }

std::unique_ptr<AnswerParser> NewAnswerParser(const AnswerStyle& style) {
  std::unique_ptr<AnswerParser> parser = std::make_unique<PlainParser>();
  if (!style.tools.empty() || style.format->structural)
    parser = style.format->new_parser(PieceSink(style.tools, style.max_calls));
  if (style.reasoning.open.empty()) return parser;
  return std::make_unique<ReasoningParser>(style.reasoning, style.in_reasoning, std::move(parser));
}

bool EndsInReasoning(std::string_view prompt, const ReasoningMarks& marks) {
  return !marks.open.empty() && Stripped(prompt).ends_with(Stripped(marks.open));
}

}  // namespace lull
