#include <algorithm>

#include "service/answer/call_reader.h"
#include "service/python_calls.h"

namespace lull {
namespace {

constexpr std::string_view kPrefix = "call:";
constexpr std::string_view kQuote = "<|\"|>";
constexpr int kMaxDepth = 32;

// {a:1,b:<|"|>x<|"|>,c:{d:[true]}}: keys are bare, texts stand between quote marks.
class Object {
 public:
  explicit Object(std::string_view text) : text_(text) {}

  bool Parse(Json* value) { return Dict(0, value) && SkipSpaces(text_, at_) == text_.size(); }

 private:
  bool Take(std::string_view mark) {
    at_ = SkipSpaces(text_, at_);
    if (FindAt(text_, at_, mark) != Found::kYes) return false;
    at_ += mark.size();
    return true;
  }

  bool Text(std::string* text) {
    const size_t end = text_.find(kQuote, at_);
    if (end == std::string_view::npos) return false;
    *text = text_.substr(at_, end - at_);
    at_ = end + kQuote.size();
    return true;
  }

  bool Dict(int depth, Json* value) {
    *value = Json::object();
    if (depth > kMaxDepth || !Take("{")) return false;
    while (!Take("}")) {
      if (!value->empty() && !Take(",")) return false;
      std::string key;
      if (Take(kQuote)) {
        if (!Text(&key)) return false;
      } else {
        const size_t colon = text_.find(':', at_);
        if (colon == std::string_view::npos) return false;
        key = Stripped(text_.substr(at_, colon - at_));
        at_ = colon;
      }
      Json member;
      if (!Take(":") || !Value(depth, &member)) return false;
      (*value)[key] = std::move(member);
    }
    return true;
  }

  bool List(int depth, Json* value) {
    *value = Json::array();
    while (!Take("]")) {
      if (!value->empty() && !Take(",")) return false;
      Json entry;
      if (!Value(depth, &entry)) return false;
      value->push_back(std::move(entry));
    }
    return true;
  }

  bool Value(int depth, Json* value) {
    if (depth >= kMaxDepth) return false;
    if (Take(kQuote)) {
      std::string text;
      if (!Text(&text)) return false;
      *value = text;
      return true;
    }
    if (Take("[")) return List(depth + 1, value);
    if (FindAt(text_, SkipSpaces(text_, at_), "{") == Found::kYes) return Dict(depth + 1, value);
    const size_t end = std::min(text_.find_first_of(",}]", at_), text_.size());
    const bool ok = ParsePythonValue(std::string(text_.substr(at_, end - at_)), value);
    at_ = end;  // numbers and words; the template writes null as Python does
    return ok;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

class GemmaReader : public CallReader {
 public:
  explicit GemmaReader(std::string_view close) : close_(close), json_(NewJsonReader(close)) {}

  void Open() override { is_json_ = false; }
  Step Read(std::string* buffer, PieceSink* sink) override {
    if (is_json_) return json_->Read(buffer, sink);
    const std::string_view text = *buffer;
    const size_t at = SkipSpaces(text, 0);
    if (at == text.size()) return Step::kMore;
    if (text[at] == '{') {
      is_json_ = true;
      json_->Open();
      return Step::kAgain;
    }
    const Found prefix = FindAt(text, at, kPrefix);
    if (prefix != Found::kYes) return prefix == Found::kMore ? Step::kMore : Step::kNo;
    const size_t close = text.find(close_);
    if (close == std::string_view::npos) return Step::kMore;
    if (!Emit(text.substr(at + kPrefix.size(), close - at - kPrefix.size()), sink))
      return Step::kNo;
    buffer->erase(0, close + close_.size());
    return Step::kDone;
  }
  void End(std::string* buffer, PieceSink* sink) override {
    if (is_json_) return json_->End(buffer, sink);
    const std::string_view text = Stripped(*buffer);
    if (text.starts_with(kPrefix) && Emit(text.substr(kPrefix.size()), sink)) buffer->clear();
  }

 private:
  static bool Emit(std::string_view text, PieceSink* sink) {
    const size_t brace = text.find('{');
    if (brace == std::string_view::npos) return false;
    const Tool* tool = sink->Find(Stripped(text.substr(0, brace)));
    Json arguments;
    if (tool == nullptr || !Object(text.substr(brace)).Parse(&arguments)) return false;
    if (sink->full()) return true;
    sink->Begin(tool->name);
    sink->Arguments(arguments.dump(-1, ' ', false, Json::error_handler_t::replace));
    return true;
  }

  const std::string_view close_;
  const std::unique_ptr<CallReader> json_;
  bool is_json_ = false;
};

}  // namespace

std::unique_ptr<CallReader> NewGemmaReader(std::string_view close) {
  return std::make_unique<GemmaReader>(close);
}

}  // namespace lull
