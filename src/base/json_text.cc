#include "base/json_text.h"

#include "base/json_reader.h"

namespace lull {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 32;

class DepthReader : public JsonReader<Json> {
 public:
  bool start_object(std::size_t) override { return ++depth_ <= kMaxDepth; }
  bool start_array(std::size_t) override { return ++depth_ <= kMaxDepth; }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }

 private:
  int depth_ = 0;
};

}  // namespace

Result<Json> ParseJsonText(std::string_view text, const std::string& what) {
  DepthReader reader;
  if (!Json::sax_parse(text, &reader))
    return Status(ErrorCode::kInvalidInput, "not JSON, or nested too deeply", what);
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return Status(ErrorCode::kInvalidInput, "not JSON", what);
  return json;
}

const Json& JsonField(const Json& object, const char* name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

std::string JsonText(const Json& object, const char* name) {
  const Json& field = JsonField(object, name);
  return field.is_string() ? field.get<std::string>() : "";
}

}  // namespace lull
