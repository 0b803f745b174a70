#include "service/grammar_params.h"

#include <vector>

namespace lull {
namespace {

constexpr size_t kMaxChoices = 4096;

std::string SchemaText(const Json& schema) {
  return schema.is_string() ? schema.get<std::string>()
                            : schema.dump(-1, ' ', false, Json::error_handler_t::replace);
}

using Grammar = std::optional<GrammarSpec>;

Grammar JsonObject() {
  GrammarSpec spec;
  spec.kind = GrammarSpec::Kind::kJsonObject;
  return spec;
}

Grammar Schema(JsonFields& fields, const char* name, const Json& schema) {
  GrammarSpec spec;
  spec.kind = GrammarSpec::Kind::kJsonSchema;
  if (!schema.is_object() && !schema.is_string() && !schema.is_boolean())
    fields.Fail(name, "the schema must be an object");
  else
    spec.text = SchemaText(schema);
  return spec;
}

Grammar Regex(JsonFields& fields, const char* name, const Json& pattern) {
  GrammarSpec spec;
  spec.kind = GrammarSpec::Kind::kRegex;
  if (pattern.is_string())
    spec.text = pattern.get<std::string>();
  else
    fields.Fail(name, "the pattern must be a string");
  return spec;
}

Grammar Choice(JsonFields& fields, const char* name, const Json& choices) {
  GrammarSpec spec;
  spec.kind = GrammarSpec::Kind::kChoice;
  const bool fits = choices.is_array() && !choices.empty() && choices.size() <= kMaxChoices;
  if (!fits) fields.Fail(name, "the choices must be an array of 1 to 4096 strings");
  for (const Json& choice : fits ? choices : Json::array()) {
    if (!choice.is_string()) fields.Fail(name, "the choices must be strings");
    spec.choices.push_back(choice.is_string() ? choice.get<std::string>() : "");
  }
  return spec;
}

const Json& Member(const Json& object, const char* name) {
  static const Json kNull;
  const auto it = object.find(name);
  return it == object.end() ? kNull : *it;
}

// The members that a format of this type may have, besides those that only describe it.
bool Refuses(JsonFields& fields, const char* name, const Json& object,
             std::initializer_list<const char*> known) {
  for (const auto& [key, value] : object.items()) {
    bool found = false;
    for (const char* one : known) found = found || key == one;
    if (found || value.is_null()) continue;
    fields.Fail(name, key + " is not supported here");
    return true;
  }
  return false;
}

Grammar StructuredOutputs(JsonFields& fields, const Json& outputs) {
  constexpr const char* kName = "structured_outputs";
  if (!outputs.is_object()) return fields.Fail(kName, "must be an object"), std::nullopt;
  if (Refuses(fields, kName, outputs, {"json", "regex", "choice", "json_object"}))
    return std::nullopt;
  const Json& json = Member(outputs, "json");
  const Json& regex = Member(outputs, "regex");
  const Json& choice = Member(outputs, "choice");
  const bool object = Member(outputs, "json_object") == true;
  if (!json.is_null() + !regex.is_null() + !choice.is_null() + object != 1)
    return fields.Fail(kName, "give one of json, regex, choice and json_object"), std::nullopt;
  if (!json.is_null()) return Schema(fields, kName, json);
  if (!regex.is_null()) return Regex(fields, kName, regex);
  return object ? JsonObject() : Choice(fields, kName, choice);
}

}  // namespace

Grammar ReadFormat(JsonFields& fields, const char* name, const Json& format,
                   const char* schema_at) {
  const Json& type = format.is_object() ? Member(format, "type") : Member(Json::object(), "");
  const bool nested = type == "json_schema" && schema_at != nullptr;
  const char* payload = nested             ? schema_at
                        : type == "regex"  ? "pattern"
                        : type == "choice" ? "choices"
                                           : "type";
  if (type != "json_schema" || nested)
    if (format.is_object() && Refuses(fields, name, format, {"type", payload})) return std::nullopt;
  if (type == "text") return std::nullopt;
  if (type == "json_object") return JsonObject();
  if (type == "regex") return Regex(fields, name, Member(format, payload));
  if (type == "choice") return Choice(fields, name, Member(format, payload));
  if (type != "json_schema") {
    fields.Fail(name, "the type must be text, json_object, json_schema, regex or choice");
    return std::nullopt;
  }
  const Json& holder = schema_at == nullptr ? format : Member(format, schema_at);
  if (!holder.is_object()) return fields.Fail(name, "json_schema is missing"), std::nullopt;
  if (Refuses(fields, name, holder, {"type", "name", "description", "strict", "schema"}))
    return std::nullopt;
  return Schema(fields, name, Member(holder, "schema"));
}

Grammar ReadGrammar(JsonFields& fields) {
  std::vector<GrammarSpec> found;
  const auto add = [&found](Grammar grammar) {
    if (grammar.has_value()) found.push_back(std::move(*grammar));
  };
  if (const Json* format = fields.Get("response_format"))
    add(ReadFormat(fields, "response_format", *format, "json_schema"));
  if (const Json* outputs = fields.Get("structured_outputs"))
    add(StructuredOutputs(fields, *outputs));
  if (const Json* json = fields.Get("guided_json")) add(Schema(fields, "guided_json", *json));
  if (const Json* regex = fields.Get("guided_regex")) add(Regex(fields, "guided_regex", *regex));
  if (const Json* choice = fields.Get("guided_choice"))
    add(Choice(fields, "guided_choice", *choice));
  if (found.size() > 1) fields.Fail("response_format", "more than one grammar is given");
  return found.empty() ? std::nullopt : Grammar(found.front());
}

}  // namespace lull
