#include "chat/json_input.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace lull::jinja {
namespace {

constexpr size_t kMaxJsonDepth = 64;
// The JSON of one conversation may be this many times the output limit.
constexpr int64_t kSizeFactor = 4;
constexpr int64_t kSpareBytes = 1 << 20;

// Builds values as the text is read; there is no other document in memory.
class Builder : public nlohmann::json_sax<nlohmann::ordered_json> {
 public:
  explicit Builder(Run& run) : run_(run) {}

  bool null() override { return Add(Value::None()); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(number_integer_t value) override { return Add(Value::Int(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return Fail("an integer beyond 64 bits");
    return Add(Value::Int(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == std::string::npos) return Fail("an integer beyond 64 bits");
    return Add(Value::Float(value));
  }
  bool string(string_t& value) override { return Add(run_.String(std::move(value))); }
  bool binary(binary_t&) override { return Fail("binary data"); }
  bool start_object(std::size_t) override { return Open(true); }
  bool start_array(std::size_t) override { return Open(false); }
  bool key(string_t& value) override {
    stack_.back().key = run_.String(std::move(value));
    return run_.ok();
  }
  bool end_object() override {
    Value value = run_.FinishDict(std::move(stack_.back().dict));
    stack_.pop_back();
    return Add(std::move(value));
  }
  bool end_array() override {
    Value value = run_.List(std::move(stack_.back().items));
    stack_.pop_back();
    return Add(std::move(value));
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail("not valid JSON (or not UTF-8) at byte " +
                std::to_string(position > 0 ? position - 1 : 0));
  }

  Value root;
  std::string problem;

 private:
  struct Frame {
    std::shared_ptr<DictObject> dict;  // null: an array
    Value key;
    Values items;
  };

  bool Fail(std::string problem_text) {
    if (problem.empty()) problem = std::move(problem_text);
    return false;
  }

  bool Open(bool object) {
    if (stack_.size() >= kMaxJsonDepth) {
      return Fail("nested more than " + std::to_string(kMaxJsonDepth) + " deep");
    }
    stack_.emplace_back();
    if (object) stack_.back().dict = run_.NewDict();
    return run_.Step();
  }

  bool Add(Value value) {
    if (!run_.ok()) return false;
    if (stack_.empty()) {
      root = std::move(value);
      return true;
    }
    Frame& frame = stack_.back();
    if (frame.dict != nullptr) return run_.Put(*frame.dict, frame.key, std::move(value));
    frame.items.push_back(std::move(value));
    return run_.CheckListSize(static_cast<int64_t>(frame.items.size()));
  }

  Run& run_;
  std::vector<Frame> stack_;
};

}  // namespace

Result<Value> ParseJson(Run& run, const std::string& text, const char* what) {
  const int64_t limit = kSizeFactor * run.limits().max_output_bytes + kSpareBytes;
  if (static_cast<int64_t>(text.size()) > limit) {
    return Status(ErrorCode::kInvalidInput, "more than " + std::to_string(limit) + " bytes of JSON",
                  what);
  }
  Builder builder(run);
  const bool parsed = nlohmann::ordered_json::sax_parse(
      PacedChars(run.work(), text.data()), PacedChars(run.work(), text.data() + text.size()),
      &builder);
  if (!run.ok()) return Error{run.error().code, run.error().message, what, run.error().hint};
  if (!parsed) return Status(ErrorCode::kInvalidInput, builder.problem, what);
  return std::move(builder.root);
}

}  // namespace lull::jinja
