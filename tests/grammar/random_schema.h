// Random schemas over every keyword that is taken, and now and then one that is not.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/random_weights.h"

namespace lull::grammar::testing {

using Document = nlohmann::ordered_json;

class RandomSchema {
 public:
  explicit RandomSchema(uint64_t seed) : random_(seed) {}

  Document Make() {
    Document schema = Any(3);
    if (schema.is_boolean()) schema = Document::object();
    schema["$defs"] = Document::object();
    for (const char* name : {"a", "b"}) schema["$defs"][name] = Any(2);
    return schema;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }
  bool Chance(uint64_t one_in) { return Below(one_in) == 0; }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[Below(from.size())];
  }

  Document Any(int depth) {
    switch (Below(depth > 0 ? 14 : 8)) {
      case 0:
        return String();
      case 1:
        return Number("integer");
      case 2:
        return Number("number");
      case 3:
        return Values();
      case 4:
        return Document{{"type", Pick<std::string>({"null", "boolean", "string"})}};
      case 5:
        return Document{{"type", {"string", "null", "integer"}}, {"minimum", 3}, {"maxLength", 4}};
      case 6:
        return Chance(4) ? Document(true) : String();
      case 7:
        return Document{{"$ref", Pick<std::string>({"#/$defs/a", "#/$defs/b"})}};
      case 8:
      case 9:
        return Array(depth);
      case 10:
      case 11:
        return Object(depth);
      default:
        return Combination(depth);
    }
  }

  Document Values() {
    const std::vector<Document> values = {"a",  "ab", "caf\u00e9 \"x\"", 1,  -2.5,
                                          true, {},   {1, {{"k", "v"}}}, "", "\n"};
    if (Chance(3)) return Document{{"const", Pick(values)}};
    Document list = Document::array();
    for (uint64_t i = 0; i <= Below(4); ++i) list.push_back(Pick(values));
    return Document{{"enum", list}};
  }

  Document String() {
    Document schema = {{"type", "string"}};
    switch (Below(5)) {
      case 0:
        schema["pattern"] = Pick<std::string>({"^[a-c]+$", "a|b", "^\\d{2,4}$", "\"", "^(ab)*c?$",
                                               "^[^a-z]{1,3}$", "x?y", "^\\w+\\s\\w+$", "[\\\\/]"});
        break;
      case 1:
        schema["format"] = Pick<std::string>({"date", "time", "date-time", "uuid", "ipv4"});
        return schema;
      default:
        break;
    }
    if (Chance(2)) schema["minLength"] = Below(4);
    if (Chance(2)) schema["maxLength"] = 2 + Below(6);
    return schema;
  }

  Document Number(const char* type) {
    Document schema = {{"type", type}};
    const std::vector<Document> bounds = {-120, -10,  -2.5, -1, -0.125, 0,   0.5,
                                          1,    7.25, 9,    10, 99,     1000};
    const size_t low = Below(bounds.size()), high = Below(bounds.size());
    if (Chance(2)) schema[Chance(2) ? "minimum" : "exclusiveMinimum"] = bounds[std::min(low, high)];
    if (Chance(2)) schema[Chance(2) ? "maximum" : "exclusiveMaximum"] = bounds[std::max(low, high)];
    if (Chance(8)) schema["multipleOf"] = 1;
    return schema;
  }

  Document Array(int depth) {
    Document schema = {{"type", "array"}};
    if (Chance(3)) {
      schema["prefixItems"] = Document::array();
      for (uint64_t i = 0; i <= Below(2); ++i) schema["prefixItems"].push_back(Any(depth - 1));
    }
    if (!Chance(4)) schema["items"] = Chance(5) ? Document(false) : Any(depth - 1);
    if (Chance(2)) schema["minItems"] = Below(3);
    if (Chance(2)) schema["maxItems"] = 1 + Below(3);
    return schema;
  }

  Document Object(int depth) {
    Document schema = Document::object();
    if (!Chance(3)) schema["type"] = "object";
    const std::vector<std::string> names = {"a", "ab", "name", "k \"q\"", "value"};
    if (!Chance(5)) {
      schema["properties"] = Document::object();
      for (const std::string& name : names) {
        if (Chance(2)) schema["properties"][name] = Any(depth - 1);
      }
    } else if (Chance(2)) {
      schema["patternProperties"] = {{Pick<std::string>({"^n", "[0-9]$"}), Any(depth - 1)}};
      schema["additionalProperties"] = false;
      return schema;
    }
    if (Chance(2)) {
      schema["required"] = Document::array();
      for (const std::string& name : names) {
        if (Chance(3)) schema["required"].push_back(name);
      }
    }
    if (Chance(3)) schema["additionalProperties"] = Chance(2) ? Document(false) : Any(depth - 1);
    if (Chance(12)) schema["maxProperties"] = 5;
    return schema;
  }

  // What a part leaves to be chosen: of which type it is, or which members it has.
  Document Choices() {
    if (Chance(2)) return {{{"type", "string"}}, {{"type", "object"}}};
    return {{{"properties", {{"ab", {{"type", "integer"}}}}}}, {{"required", {"name"}}}};
  }

  Document Combination(int depth) {
    Document schema = Document::object();
    const char* keyword = Pick<const char*>({"anyOf", "anyOf", "oneOf", "allOf"});
    schema[keyword] = Document::array();
    const bool tagged = Chance(2), open = tagged && Chance(3);
    for (uint64_t i = 0; i < 2 + Below(2); ++i) {
      Document part = tagged ? Object(depth - 1) : Any(depth - 1);
      if (tagged && std::string(keyword) != "allOf") {
        part["properties"]["kind"] = {{"const", "k" + std::to_string(i)}};
        part["required"] = {"kind"};
        part.erase("patternProperties");
      }
      if (open) {
        part.erase("type");
        part["anyOf"] = Choices();
      }
      schema[keyword].push_back(part);
    }
    if (Chance(4)) schema["type"] = {"object", "string", "array"};
    if (Chance(6)) schema["maxLength"] = 5;
    if (Chance(3)) Beside(depth, &schema);
    return schema;
  }

  // More that must hold at once.
  void Beside(int depth, Document* schema) {
    if (Chance(2)) (*schema)["additionalProperties"] = Any(depth - 1);
    if (Chance(2)) (*schema)["items"] = Any(depth - 1);
    if (Chance(2)) (*schema)["minItems"] = Below(3);
    const char* keyword = Pick<const char*>({"allOf", "anyOf", "oneOf"});
    if (!schema->contains(keyword))
      (*schema)[keyword] = {Chance(2) ? Object(depth - 1) : Any(depth - 1), Any(depth - 1)};
  }

  TestRandom random_;
};

}  // namespace lull::grammar::testing
