#include "service/json_request.h"

#include <algorithm>
#include <cmath>

#include "base/json_reader.h"
#include "base/work_meter.h"

namespace lull {
namespace {

struct JsonShape {
  int depth = 0;        // deepest nesting of brackets
  int64_t members = 0;  // colons, so name-value pairs
  int64_t values = 0;   // commas, so nearly all values
  int64_t nested = 0;   // opening brackets
};

// Counts outside strings; what is not valid JSON is the parser's business.
JsonShape ShapeOf(WorkMeter* work, const std::string& text) {
  JsonShape shape;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((i & 0xFF) == 0) work->Spend(0x40);
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      shape.depth = std::max(shape.depth, ++depth);
      ++shape.nested;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ':') {
      ++shape.members;
    } else if (c == ',') {
      ++shape.values;
    }
  }
  return shape;
}

Status SyntaxError(WorkMeter* work, const std::string& text) {
  if (text.empty())
    return Status(ErrorCode::kInvalidInput, "the body is empty: a JSON object is wanted", "body");
  JsonReader<Json> finder;
  Json::sax_parse(PacedChars(work, text.data()), PacedChars(work, text.data() + text.size()),
                  &finder);
  const std::string offset = std::to_string(std::min(finder.error_offset(), text.size()));
  const char* what = finder.error_offset() >= text.size()
                         ? "the body ends before its JSON does, at byte "
                         : "the body is not valid JSON at byte ";
  return Status(ErrorCode::kInvalidInput, what + offset, "body");
}

}  // namespace

Result<Json> ParseAnyJson(const std::string& text, const JsonLimits& limits, const ExecContext& ctx) {
  WorkMeter work(ctx);
  const JsonShape shape = ShapeOf(&work, text);
  if (shape.depth > limits.max_depth)
    return Status(ErrorCode::kInvalidInput,
                  "JSON nested deeper than " + std::to_string(limits.max_depth), "body");
  if (shape.members > limits.max_members)
    return Status(ErrorCode::kInvalidInput,
                  "JSON with more than " + std::to_string(limits.max_members) + " object members",
                  "body");
  if (shape.values > limits.max_values || shape.nested > limits.max_nested)
    return Status(ErrorCode::kInvalidInput,
                  "JSON with more than " + std::to_string(limits.max_values) + " values, or " +
                      std::to_string(limits.max_nested) + " of them arrays or objects",
                  "body");
  Json json = Json::parse(PacedChars(&work, text.data()),
                          PacedChars(&work, text.data() + text.size()), nullptr, false);
  if (json.is_discarded()) return SyntaxError(&work, text);
  return json;
}

Result<Json> ParseJson(const std::string& text, const JsonLimits& limits, const ExecContext& ctx) {
  LULL_ASSIGN_OR_RETURN(Json json, ParseAnyJson(text, limits, ctx));
  if (json.is_object()) return json;
  return Status(ErrorCode::kInvalidInput, "the body is not a JSON object", "body");
}

const Json* JsonFields::Get(const char* name) {
  seen_.insert(name);
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void JsonFields::Fail(const char* name, const std::string& message) {
  if (status_.ok()) status_ = Status(ErrorCode::kUsage, std::string(name) + ": " + message, name);
}

void JsonFields::Fail(const Error& error) {
  if (status_.ok()) status_ = error;
}

double JsonFields::Number(const char* name, double fallback, double min, double max) {
  const Json* field = Get(name);
  if (field == nullptr) return fallback;
  if (!field->is_number()) return Fail(name, "must be a number"), fallback;
  const double value = field->get<double>();
  if (!(value >= min && value <= max)) {
    char range[96];
    snprintf(range, sizeof range, "must be between %g and %g", min, max);
    Fail(name, range);
    return fallback;
  }
  return value;
}

int64_t JsonFields::Integer(const char* name, int64_t fallback, int64_t min, int64_t max) {
  const Json* field = Get(name);
  if (field == nullptr) return fallback;
  const bool whole =
      field->is_number_integer() ||
      (field->is_number_float() && std::nearbyint(field->get<double>()) == field->get<double>() &&
       std::fabs(field->get<double>()) < 9e15);
  if (!whole) return Fail(name, "must be an integer"), fallback;
  const bool huge = field->is_number_unsigned() && field->get<uint64_t>() > uint64_t{INT64_MAX};
  const int64_t value = huge ? INT64_MAX : field->get<int64_t>();
  if (huge || value < min || value > max) {
    Fail(name, "must be between " + std::to_string(min) + " and " + std::to_string(max));
    return fallback;
  }
  return value;
}

bool JsonFields::Bool(const char* name, bool fallback) {
  const Json* field = Get(name);
  if (field == nullptr) return fallback;
  if (!field->is_boolean()) return Fail(name, "must be true or false"), fallback;
  return field->get<bool>();
}

std::string JsonFields::String(const char* name, const std::string& fallback) {
  const Json* field = Get(name);
  if (field == nullptr) return fallback;
  if (!field->is_string()) return Fail(name, "must be a string"), fallback;
  return field->get<std::string>();
}

void JsonFields::Ignore(const char* name) { seen_.insert(name); }

Status JsonFields::Finish() const {
  if (!status_.ok()) return status_;
  for (const auto& [name, value] : object_.items()) {
    if (seen_.count(name) > 0 || value.is_null()) continue;
    return Status(ErrorCode::kUnsupported, name + ": not supported", name, "leave the field out");
  }
  return Status();
}

}  // namespace lull
