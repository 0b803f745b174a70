#include "grammar/json_document.h"

#include <cstdio>
#include <set>
#include <utility>
#include <vector>

#include "base/json_reader.h"

namespace lull::grammar {
namespace {

constexpr size_t kMaxBytes = 512 << 10;
constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxMembers = 2000;

// Reads the text for its form alone, so that a document is only built of what is harmless.
class Checker : public JsonReader<Json> {
 public:
  bool number_float(number_float_t value, const string_t& text) override {
    return IsHeld(value, text) || Fail("a whole number that 64 bits do not hold: " + text);
  }
  bool start_object(std::size_t) override { return Open(); }
  bool start_array(std::size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    std::set<std::string>& names = names_.back();
    if (!names.insert(name).second) return Fail("the name \"" + name + "\" twice in an object");
    return names.size() <= kMaxMembers || Fail("an object of more than 2000 members");
  }
  std::string problem;

 private:
  // A whole number beyond 64 bits is read as the nearest double, which would be written instead.
  static bool IsHeld(double value, const std::string& text) {
    if (text.find_first_of(".eE") != std::string::npos) return true;
    char held[400];
    snprintf(held, sizeof(held), "%.0f", value);
    return held == text;
  }
  bool Fail(std::string text) {
    if (problem.empty()) problem = std::move(text);
    return false;
  }
  bool Open() {
    names_.emplace_back();
    return names_.size() <= kMaxDepth ||
           Fail("nested more than " + std::to_string(kMaxDepth) + " deep");
  }
  bool Close() {
    names_.pop_back();
    return true;
  }
  std::vector<std::set<std::string>> names_;  // of the objects that are open
};

}  // namespace

Result<Json> ParseJsonDocument(WorkMeter* meter, std::string_view text) {
  if (text.size() > kMaxBytes) {
    return Status(ErrorCode::kInvalidInput, "a schema of " + std::to_string(text.size()) + " bytes",
                  {}, "at most 512 KiB are read");
  }
  const auto begin = [&] { return PacedChars(meter, text.data()); };
  const auto end = [&] { return PacedChars(meter, text.data() + text.size()); };
  Checker checker;
  if (!Json::sax_parse(begin(), end(), &checker)) {
    const std::string problem = checker.failed() ? "not valid JSON (or not UTF-8) at byte " +
                                                       std::to_string(checker.error_offset())
                                                 : checker.problem;
    return Status(ErrorCode::kInvalidInput, "the schema is " + problem);
  }
  Json document = Json::parse(begin(), end(), nullptr, false);
  if (document.is_discarded()) {
    return Status(ErrorCode::kInvalidInput, "the schema is not valid JSON");
  }
  return document;
}

std::string ToText(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lull::grammar
