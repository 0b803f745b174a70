#include <algorithm>

#include "service/answer/call_reader.h"
#include "service/python_calls.h"

namespace lull {
namespace {

class PythonReader : public CallReader {
 public:
  explicit PythonReader(std::string_view close) : close_(close) {}

  void Open() override {}
  Step Read(std::string* buffer, PieceSink* sink) override {
    const size_t close = buffer->find(close_);
    if (close == std::string::npos) return Step::kMore;
    if (!Emit(buffer->substr(0, close), sink)) return Step::kNo;
    buffer->erase(0, close + close_.size());
    return Step::kDone;
  }
  void End(std::string* buffer, PieceSink* sink) override {
    if (Emit(*buffer, sink)) buffer->clear();
  }

 private:
  // As Python, or as JSON.
  static bool Emit(const std::string& text, PieceSink* sink) {
    const std::vector<ToolCall> calls = ParseToolCalls(text);
    const bool offered = std::all_of(calls.begin(), calls.end(), [&](const ToolCall& call) {
      return sink->Find(call.name) != nullptr;
    });
    if (calls.empty() || !offered) return false;
    for (const ToolCall& call : calls) {
      if (sink->full()) break;
      sink->Begin(call.name);
      sink->Arguments(call.arguments);
    }
    return true;
  }

  const std::string_view close_;
};

}  // namespace

std::unique_ptr<CallReader> NewPythonReader(std::string_view close) {
  return std::make_unique<PythonReader>(close);
}

}  // namespace lull
