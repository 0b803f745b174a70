// JSON Schema by the letter of the standard, for what the random schemas of the tests say: an
// independent judge of texts, sharing no code with the grammars.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

namespace lull::grammar::testing {

using Document = nlohmann::ordered_json;

class SchemaValidator {
 public:
  explicit SchemaValidator(const Document& root) : root_(root) {}

  // Whether text is one JSON value that satisfies the schema; why() says what does not.
  bool Accepts(const std::string& text) {
    const Document value = Document::parse(text, nullptr, false);
    if (value.is_discarded()) return Fail("not JSON");
    return Valid(root_, value);
  }
  const std::string& why() const { return why_; }

  bool Valid(const Document& schema, const Document& value) {
    if (schema.is_boolean()) return schema.get<bool>() || Fail("false schema");
    for (const auto& [keyword, wanted] : schema.items()) {
      if (!Keyword(schema, keyword, wanted, value)) return Fail(keyword + " " + wanted.dump());
    }
    return true;
  }

 private:
  bool Fail(const std::string& why) {
    why_ = why;
    return false;
  }

  static bool HasType(const std::string& type, const Document& value) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "string") return value.is_string();
    if (type == "array") return value.is_array();
    if (type == "object") return value.is_object();
    if (type == "number") return value.is_number();
    return value.is_number() && value.get<double>() == std::floor(value.get<double>());
  }

  static size_t Length(const std::string& text) {
    size_t count = 0;
    for (char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return count;
  }

  bool Keyword(const Document& schema, const std::string& keyword, const Document& wanted,
               const Document& value) {
    if (keyword == "type") {
      if (schema.value("nullable", false) && value.is_null()) return true;
      if (wanted.is_string()) return HasType(wanted, value);
      for (const auto& type : wanted) {
        if (HasType(type, value)) return true;
      }
      return false;
    }
    if (keyword == "enum") return std::find(wanted.begin(), wanted.end(), value) != wanted.end();
    if (keyword == "const") return wanted == value;
    if (keyword == "$ref") return Valid(Target(wanted.get<std::string>()), value);
    if (keyword == "allOf") return Matches(wanted, value) == wanted.size();
    if (keyword == "anyOf") return Matches(wanted, value) > 0;
    if (keyword == "oneOf") return Matches(wanted, value) == 1;
    if (value.is_string()) return StringKeyword(keyword, wanted, value.get<std::string>());
    if (value.is_number()) return NumberKeyword(keyword, wanted, value.get<double>());
    if (value.is_array()) return ArrayKeyword(schema, keyword, wanted, value);
    if (value.is_object()) return ObjectKeyword(schema, keyword, wanted, value);
    return true;
  }

  size_t Matches(const Document& schemas, const Document& value) {
    size_t count = 0;
    for (const auto& schema : schemas) count += Valid(schema, value);
    return count;
  }

  const Document& Target(const std::string& reference) const {
    return root_.at(nlohmann::ordered_json::json_pointer(reference.substr(1)));
  }

  // Code points, as patterns count them. Requires: well-formed UTF-8, which the JSON reader checks.
  static std::wstring Wide(const std::string& text) {
    std::wstring wide;
    for (size_t i = 0; i < text.size();) {
      const unsigned char lead = static_cast<unsigned char>(text[i]);
      const int more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
      wchar_t code = more == 0 ? lead : lead & (0x3F >> more);
      for (int k = 1; k <= more; ++k) code = code << 6 | (text[i + k] & 0x3F);
      wide += code;
      i += 1 + more;
    }
    return wide;
  }
  static bool Finds(const std::string& regex, const std::string& text) {
    return std::regex_search(Wide(text), std::wregex(Wide(regex)));
  }

  static bool IsDate(const std::string& text) {
    static const std::regex form("([0-9]{4})-([0-9]{2})-([0-9]{2})");
    std::smatch parts;
    if (!std::regex_match(text, parts, form)) return false;
    const int year = std::stoi(parts[1]), month = std::stoi(parts[2]), day = std::stoi(parts[3]);
    constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12) return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day >= 1 && day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
  }

  static bool HasFormat(const std::string& format, const std::string& text) {
    if (format == "date") return IsDate(text);
    static const std::regex uuid("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");
    static const std::regex time(
        "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d+)?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)");
    static const std::regex four("(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})");
    if (format == "uuid") return std::regex_match(text, uuid);
    if (format == "time") return std::regex_match(text, time);
    if (format == "date-time") {
      return text.size() > 11 && IsDate(text.substr(0, 10)) && text[10] == 'T' &&
             std::regex_match(text.substr(11), time);
    }
    std::smatch parts;
    if (format != "ipv4" || !std::regex_match(text, parts, four)) return false;
    for (int i = 1; i <= 4; ++i) {
      if (std::stoi(parts[i]) > 255 || (parts[i].length() > 1 && *parts[i].first == '0'))
        return false;
    }
    return true;
  }

  bool StringKeyword(const std::string& keyword, const Document& wanted, const std::string& text) {
    if (keyword == "minLength") return Length(text) >= wanted.get<size_t>();
    if (keyword == "maxLength") return Length(text) <= wanted.get<size_t>();
    if (keyword == "format") return HasFormat(wanted, text);
    if (keyword != "pattern") return true;
    return Finds(wanted, text);
  }

  bool NumberKeyword(const std::string& keyword, const Document& wanted, double value) {
    if (keyword == "minimum") return value >= wanted.get<double>();
    if (keyword == "maximum") return value <= wanted.get<double>();
    if (keyword == "exclusiveMinimum") return value > wanted.get<double>();
    if (keyword == "exclusiveMaximum") return value < wanted.get<double>();
    if (keyword == "multipleOf") return std::fmod(value, wanted.get<double>()) == 0.0;
    return true;
  }

  bool ArrayKeyword(const Document& schema, const std::string& keyword, const Document& wanted,
                    const Document& value) {
    if (keyword == "minItems") return value.size() >= wanted.get<size_t>();
    if (keyword == "maxItems") return value.size() <= wanted.get<size_t>();
    if (keyword == "prefixItems") {
      for (size_t i = 0; i < std::min(wanted.size(), value.size()); ++i) {
        if (!Valid(wanted[i], value[i])) return false;
      }
    }
    if (keyword == "items") {
      const size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
      for (size_t i = prefix; i < value.size(); ++i) {
        if (!Valid(wanted, value[i])) return false;
      }
    }
    return true;
  }

  bool ObjectKeyword(const Document& schema, const std::string& keyword, const Document& wanted,
                     const Document& value) {
    if (keyword == "required") {
      for (const auto& name : wanted) {
        if (!value.contains(name.get<std::string>())) return false;
      }
    }
    if (keyword == "properties") {
      for (const auto& [name, member] : value.items()) {
        if (wanted.contains(name) && !Valid(wanted[name], member)) return false;
      }
    }
    if (keyword == "patternProperties") {
      for (const auto& [name, member] : value.items()) {
        for (const auto& [regex, part] : wanted.items()) {
          if (Finds(regex, name) && !Valid(part, member)) return false;
        }
      }
    }
    if (keyword == "additionalProperties") {
      for (const auto& [name, member] : value.items()) {
        bool judged = schema.contains("properties") && schema["properties"].contains(name);
        if (schema.contains("patternProperties")) {
          for (const auto& [regex, part] : schema["patternProperties"].items()) {
            judged |= Finds(regex, name);
          }
        }
        if (!judged && !Valid(wanted, member)) return false;
      }
    }
    if (keyword == "minProperties") return value.size() >= wanted.get<size_t>();
    if (keyword == "maxProperties") return value.size() <= wanted.get<size_t>();
    return true;
  }

  const Document& root_;
  std::string why_;
};

}  // namespace lull::grammar::testing
