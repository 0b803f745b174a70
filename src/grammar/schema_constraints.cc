#include "grammar/schema_constraints.h"

#include <algorithm>
#include <cmath>

#include "grammar/code_set.h"
#include "tokenizer/unicode.h"

namespace lull::grammar {
namespace {

constexpr int kMaxMergeDepth = 40;
constexpr size_t kMaxValues = 10'000;

Status Invalid(std::string message, std::string where) {
  return {ErrorCode::kInvalidInput, std::move(message), std::move(where)};
}
Status Unsupported(std::string message, std::string where, std::string hint = {}) {
  return {ErrorCode::kUnsupported, std::move(message), std::move(where), std::move(hint)};
}

std::string Below(const Part& part, std::string_view keyword) {
  return part.path + "/" + std::string(keyword);
}

Result<uint64_t> Count(const Part& part, const char* keyword, const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number >= 0 && number < 9e15 && number == std::floor(number)) {
      return static_cast<uint64_t>(number);
    }
  }
  return Invalid(std::string(keyword) + " is no count", Below(part, keyword));
}

Result<NumberBounds::Bound> BoundOf(const Part& part, const char* keyword, const Json& value,
                                    bool exclusive) {
  if (!value.is_number())
    return Invalid(std::string(keyword) + " is no number", Below(part, keyword));
  const std::optional<Decimal> number = Decimal::Parse(ToText(value));
  if (!number.has_value()) {
    return Unsupported(
        std::string(keyword) + " of more than 18 digits before the point or 17 after",
        Below(part, keyword));
  }
  return NumberBounds::Bound{*number, exclusive};
}

// Bounds of the machine's numbers; none where every number that is written fits.
struct NumberFormat {
  std::string_view name, least, most;
};
constexpr NumberFormat kNumberFormats[] = {
    {"float", "", ""},
    {"double", "", ""},
    {"int64", "", ""},
    {"uint64", "0", ""},
    {"uint", "0", ""},
    {"int8", "-128", "127"},
    {"uint8", "0", "255"},
    {"int16", "-32768", "32767"},
    {"uint16", "0", "65535"},
    {"int32", "-2147483648", "2147483647"},
    {"uint32", "0", "4294967295"},
};

std::optional<Type> TypeNamed(std::string_view name) {
  constexpr std::pair<std::string_view, Type> kNames[] = {
      {"null", Type::kNull},     {"boolean", Type::kBoolean}, {"string", Type::kString},
      {"number", Type::kNumber}, {"integer", Type::kInteger}, {"array", Type::kArray},
      {"object", Type::kObject}};
  for (const auto& [known, type] : kNames) {
    if (known == name) return type;
  }
  return std::nullopt;
}

// kInteger for whole numbers, however they are written.
Type TypeOf(const Json& value) {
  if (value.is_null()) return Type::kNull;
  if (value.is_boolean()) return Type::kBoolean;
  if (value.is_string()) return Type::kString;
  if (value.is_array()) return Type::kArray;
  if (value.is_object()) return Type::kObject;
  const bool whole =
      value.is_number_integer() || value.get<double>() == std::floor(value.get<double>());
  return whole ? Type::kInteger : Type::kNumber;
}

uint64_t CodePoints(const std::string& text) {
  uint64_t count = 0;
  for (size_t pos = 0; pos < text.size(); ++count) NextCodePoint(text, &pos);
  return count;
}

// One step of a JSON pointer, as it stands in a URI fragment.
bool DecodeStep(std::string_view step, std::string* name) {
  name->clear();
  const auto hex = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::string plain;
  for (size_t i = 0; i < step.size(); ++i) {
    if (step[i] != '%') {
      plain += step[i];
      continue;
    }
    if (i + 2 >= step.size() || hex(step[i + 1]) < 0 || hex(step[i + 2]) < 0) return false;
    plain += static_cast<char>(hex(step[i + 1]) * 16 + hex(step[i + 2]));
    i += 2;
  }
  for (size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] != '~') {
      *name += plain[i];
    } else if (++i < plain.size() && (plain[i] == '0' || plain[i] == '1')) {
      *name += plain[i] == '0' ? '~' : '/';
    } else {
      return false;
    }
  }
  return true;
}

const Json* Member(const Json& value, std::string_view name) {
  const auto it = value.find(std::string(name));
  return it == value.end() ? nullptr : &*it;
}

const Json* ChildOf(const Json& value, const std::string& name) {
  if (value.is_object()) return Member(value, name);
  if (!value.is_array() || name.empty() || name.size() > 6) return nullptr;
  if (name.find_first_not_of("0123456789") != std::string::npos) return nullptr;
  const size_t index = std::stoul(name);
  return index < value.size() ? &value[index] : nullptr;
}

// Schemas must be objects or booleans.
Status CheckSchema(const Part& part) {
  if (part.schema->is_object() || part.schema->is_boolean()) return Status::Ok();
  return Invalid("a schema is an object, true or false", part.path);
}

}  // namespace

const Part* MemberRules::Find(std::string_view name) const {
  for (const auto& [known, part] : properties) {
    if (known == name) return &part;
  }
  return nullptr;
}

const Part* MemberRules::For(std::string_view name) const {
  const Part* own = Find(name);
  return own == nullptr && additional.has_value() ? &*additional : own;
}

size_t Constraints::size() const {
  size_t size = 1 + object.required.size() + array.prefix.size();
  if (values.has_value()) size += values->size();
  for (const MemberRules& rules : object.rules) size += 1 + rules.properties.size();
  for (const Group& group : groups) size += 1 + group.alternatives.size();
  return size;
}

TypeSet Constraints::WrittenTypes() const {
  if (!types.all()) return types;
  TypeSet about = TypeSet::None();
  if (!lengths.any() || !patterns.empty()) about.Add(Type::kString);
  if (numbers.least.has_value() || numbers.most.has_value()) about.Add(Type::kNumber);
  if (array.any()) about.Add(Type::kArray);
  if (object.any()) about.Add(Type::kObject);
  return about.none() ? types : about;
}

const SchemaMerger::Keyword* SchemaMerger::FindKeyword(std::string_view name) {
  using M = SchemaMerger;
  static constexpr Keyword kKeywords[] = {
      {"type", &M::ReadType},
      {"enum", &M::ReadEnum},
      {"const", &M::ReadConst},
      {"$ref", &M::ReadRef},
      {"allOf", &M::ReadAllOf},
      {"anyOf", &M::ReadAnyOf},
      {"oneOf", &M::ReadOneOf},
      {"minLength", &M::ReadMinLength},
      {"maxLength", &M::ReadMaxLength},
      {"pattern", &M::ReadPattern},
      {"format", &M::ReadFormat},
      {"minimum", &M::ReadMinimum},
      {"maximum", &M::ReadMaximum},
      {"exclusiveMinimum", &M::ReadExclusiveMinimum},
      {"exclusiveMaximum", &M::ReadExclusiveMaximum},
      {"multipleOf", &M::ReadMultipleOf},
      {"items", &M::ReadWithOthers},
      {"prefixItems", &M::ReadWithOthers},
      {"additionalItems", &M::ReadWithOthers},
      {"minItems", &M::ReadMinItems},
      {"maxItems", &M::ReadMaxItems},
      {"uniqueItems", &M::ReadUniqueItems},
      {"properties", &M::ReadWithOthers},
      {"additionalProperties", &M::ReadWithOthers},
      {"patternProperties", &M::ReadWithOthers},
      {"required", &M::ReadRequired},
      {"minProperties", &M::ReadMinProperties},
      {"maxProperties", &M::ReadMaxProperties},
      {"propertyNames", &M::ReadPropertyNames},
      {"nullable", &M::ReadNullable},
      {"$schema", nullptr},
      {"$comment", nullptr},
      {"$defs", nullptr},
      {"definitions", nullptr},
      {"title", nullptr},
      {"description", nullptr},
      {"default", nullptr},
      {"example", nullptr},
      {"examples", nullptr},
      {"deprecated", nullptr},
      {"readOnly", nullptr},
      {"writeOnly", nullptr},
      {"discriminator", nullptr},
  };
  for (const Keyword& keyword : kKeywords) {
    if (keyword.name == name) return &keyword;
  }
  static constexpr Keyword kExtension = {"x-", nullptr};
  return name.starts_with("x-") ? &kExtension : nullptr;
}

Status SchemaMerger::Add(const Part& part, Constraints* to) {
  builder_->Spend(8);
  LULL_RETURN_IF_ERROR(builder_->status());
  LULL_RETURN_IF_ERROR(CheckSchema(part));
  if (to->path.empty()) to->path = part.path;
  if (part.schema->is_boolean()) {
    if (!part.schema->get<bool>()) to->never = true;
    return Status::Ok();
  }
  if (depth_ >= kMaxMergeDepth) {
    return Unsupported("a schema that is part of itself, or allOf and $ref more than " +
                           std::to_string(kMaxMergeDepth) + " deep",
                       part.path);
  }
  ++depth_;
  Status status;
  for (const auto& [name, value] : part.schema->items()) {
    builder_->Spend(16);
    const Keyword* keyword = FindKeyword(name);
    if (name == "$id" && part.schema == &root_) continue;
    if (keyword == nullptr) {
      status = Unsupported("the keyword \"" + name + "\" is not supported", part.path,
                           "docs/design/grammar.md lists those that are");
    } else if (keyword->read != nullptr) {
      status = (this->*keyword->read)(part, value, to);
    }
    if (!status.ok()) break;
  }
  if (status.ok()) status = ReadArrayItems(part, to);
  if (status.ok()) status = ReadMembers(part, to);
  --depth_;
  return status;
}

Result<std::optional<Part>> SchemaMerger::PureReference(const Part& part) {
  LULL_RETURN_IF_ERROR(CheckSchema(part));
  if (!part.schema->is_object()) return std::optional<Part>();
  const Json* reference = Member(*part.schema, "$ref");
  const Json* all_of = Member(*part.schema, "allOf");
  if (all_of != nullptr && (!all_of->is_array() || all_of->size() != 1)) all_of = nullptr;
  if ((reference == nullptr) == (all_of == nullptr)) return std::optional<Part>();
  for (const auto& [name, value] : part.schema->items()) {
    const Keyword* keyword = FindKeyword(name);
    const bool silent = keyword != nullptr && keyword->read == nullptr;
    if (!silent && &value != reference && &value != all_of) return std::optional<Part>();
  }
  if (reference == nullptr) {
    return PureReference({&(*all_of)[0], Below(part, "allOf/0")});
  }
  LULL_ASSIGN_OR_RETURN(Part target, Resolve(part, *reference));
  return std::optional<Part>(std::move(target));
}

Result<Part> SchemaMerger::Resolve(const Part& part, const Json& reference) {
  const std::string where = Below(part, "$ref");
  if (!reference.is_string()) return Invalid("$ref is no text", where);
  const std::string& text = reference.get_ref<const std::string&>();
  if (text != "#" && !text.starts_with("#/")) {
    return Unsupported("$ref to " + ToText(reference), where,
                       "refer within the schema, e.g. #/$defs/name");
  }
  const Json* target = &root_;
  std::string name;
  for (size_t at = 1; at < text.size();) {
    const size_t end = std::min(text.find('/', at + 1), text.size());
    if (!DecodeStep(std::string_view(text).substr(at + 1, end - at - 1), &name)) {
      return Invalid("$ref is no JSON pointer", where);
    }
    target = ChildOf(*target, name);
    if (target == nullptr) return Invalid("nothing is at " + ToText(reference), where);
    at = end;
  }
  return Part{target, text};
}

Status SchemaMerger::ReadRef(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const Part target, Resolve(part, value));
  return Add(target, to);
}

Status SchemaMerger::ReadAllOf(const Part& part, const Json& value, Constraints* to) {
  if (!value.is_array() || value.empty()) {
    return Invalid("allOf is no list of schemas", Below(part, "allOf"));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    LULL_RETURN_IF_ERROR(Add({&value[i], Below(part, "allOf/") + std::to_string(i)}, to));
  }
  return Status::Ok();
}

Status SchemaMerger::ReadGroup(const Part& part, const Json& value, const char* keyword,
                               bool exactly_one, Constraints* to) {
  const std::string path = Below(part, keyword);
  if (!value.is_array() || value.empty()) {
    return Invalid(std::string(keyword) + " is no list of schemas", path);
  }
  Group group;
  group.exactly_one = exactly_one && value.size() > 1;
  group.path = path;
  for (size_t i = 0; i < value.size(); ++i) {
    group.alternatives.push_back({&value[i], path + "/" + std::to_string(i)});
  }
  to->groups.push_back(std::move(group));
  return Status::Ok();
}

Status SchemaMerger::ReadAnyOf(const Part& part, const Json& value, Constraints* to) {
  return ReadGroup(part, value, "anyOf", false, to);
}
Status SchemaMerger::ReadOneOf(const Part& part, const Json& value, Constraints* to) {
  return ReadGroup(part, value, "oneOf", true, to);
}

Status SchemaMerger::ReadType(const Part& part, const Json& value, Constraints* to) {
  TypeSet types = TypeSet::None();
  const auto add = [&](const Json& name) {
    const auto type =
        name.is_string() ? TypeNamed(name.get_ref<const std::string&>()) : std::nullopt;
    if (type.has_value()) types.Add(*type);
    return type.has_value();
  };
  bool known = value.is_array() ? !value.empty() : add(value);
  if (value.is_array()) {
    for (const Json& name : value) known = known && add(name);
  }
  if (!known) return Invalid("type is " + ToText(value).substr(0, 100), Below(part, "type"));
  const Json* nullable = Member(*part.schema, "nullable");
  if (nullable != nullptr && nullable->is_boolean() && nullable->get<bool>()) {
    types.Add(Type::kNull);
  }
  to->types.IntersectWith(types);
  return Status::Ok();
}

Status SchemaMerger::ReadNullable(const Part& part, const Json& value, Constraints*) {
  if (value.is_boolean()) return Status::Ok();  // read with type
  return Invalid("nullable is neither true nor false", Below(part, "nullable"));
}

void SchemaMerger::KeepValues(std::vector<Json> values, Constraints* to) {
  if (!to->values.has_value()) {
    to->values = std::move(values);
    return;
  }
  std::erase_if(*to->values, [&](const Json& value) {
    builder_->Spend(1 + values.size());
    return !builder_->ok() || std::find(values.begin(), values.end(), value) == values.end();
  });
}

Status SchemaMerger::ReadEnum(const Part& part, const Json& value, Constraints* to) {
  if (!value.is_array() || value.empty() || value.size() > kMaxValues) {
    return Invalid("enum is no list of 1 to 10000 values", Below(part, "enum"));
  }
  KeepValues({value.begin(), value.end()}, to);
  return Status::Ok();
}

Status SchemaMerger::ReadConst(const Part&, const Json& value, Constraints* to) {
  std::vector<Json> values;
  values.push_back(value);
  KeepValues(std::move(values), to);
  return Status::Ok();
}

Status SchemaMerger::ReadMinLength(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const uint64_t count, Count(part, "minLength", value));
  to->lengths.min = std::max(to->lengths.min, count);
  return Status::Ok();
}

Status SchemaMerger::ReadMaxLength(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const uint64_t count, Count(part, "maxLength", value));
  to->lengths.max = std::min(to->lengths.max, count);
  return Status::Ok();
}

Status SchemaMerger::ReadPattern(const Part& part, const Json& value, Constraints* to) {
  if (!value.is_string()) return Invalid("pattern is no text", Below(part, "pattern"));
  to->patterns.push_back({value.get<std::string>(), true, Below(part, "pattern")});
  return Status::Ok();
}

Status SchemaMerger::ReadFormat(const Part& part, const Json& value, Constraints* to) {
  const std::string where = Below(part, "format");
  if (!value.is_string()) return Invalid("format is no text", where);
  const std::string& name = value.get_ref<const std::string&>();
  for (const NumberFormat& known : kNumberFormats) {
    if (known.name != name) continue;
    if (!known.least.empty()) to->numbers.AtLeast({*Decimal::Parse(known.least)});
    if (!known.most.empty()) to->numbers.AtMost({*Decimal::Parse(known.most)});
    return Status::Ok();
  }
  const std::string_view regex = FormatRegex(name);
  if (regex.empty()) {
    return Unsupported("the format " + ToText(value) + " is not supported", where,
                       "give a pattern instead");
  }
  to->patterns.push_back({std::string(regex), false, where});
  return Status::Ok();
}

// Draft 4 says exclusiveMinimum: true beside minimum.
Status SchemaMerger::ReadMinimum(const Part& part, const Json& value, Constraints* to) {
  const Json* exclusive = Member(*part.schema, "exclusiveMinimum");
  const bool is_exclusive = exclusive != nullptr && *exclusive == true;
  LULL_ASSIGN_OR_RETURN(const auto bound, BoundOf(part, "minimum", value, is_exclusive));
  to->numbers.AtLeast(bound);
  return Status::Ok();
}

Status SchemaMerger::ReadMaximum(const Part& part, const Json& value, Constraints* to) {
  const Json* exclusive = Member(*part.schema, "exclusiveMaximum");
  const bool is_exclusive = exclusive != nullptr && *exclusive == true;
  LULL_ASSIGN_OR_RETURN(const auto bound, BoundOf(part, "maximum", value, is_exclusive));
  to->numbers.AtMost(bound);
  return Status::Ok();
}

Status SchemaMerger::ReadExclusiveMinimum(const Part& part, const Json& value, Constraints* to) {
  if (value.is_boolean()) return Status::Ok();  // read with minimum
  LULL_ASSIGN_OR_RETURN(const auto bound, BoundOf(part, "exclusiveMinimum", value, true));
  to->numbers.AtLeast(bound);
  return Status::Ok();
}

Status SchemaMerger::ReadExclusiveMaximum(const Part& part, const Json& value, Constraints* to) {
  if (value.is_boolean()) return Status::Ok();
  LULL_ASSIGN_OR_RETURN(const auto bound, BoundOf(part, "exclusiveMaximum", value, true));
  to->numbers.AtMost(bound);
  return Status::Ok();
}

Status SchemaMerger::ReadMultipleOf(const Part& part, const Json& value, Constraints* to) {
  if (!value.is_number() || value != 1) {
    return Unsupported("multipleOf other than 1 is not supported", Below(part, "multipleOf"));
  }
  // Of the numbers the integers; other types as they were.
  TypeSet whole = TypeSet::None();
  for (Type type :
       {Type::kNull, Type::kBoolean, Type::kString, Type::kInteger, Type::kArray, Type::kObject}) {
    whole.Add(type);
  }
  to->types.IntersectWith(whole);
  return Status::Ok();
}

Status SchemaMerger::ReadMinItems(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const uint64_t count, Count(part, "minItems", value));
  to->array.min = std::max(to->array.min, count);
  to->array.given = true;
  return Status::Ok();
}

Status SchemaMerger::ReadMaxItems(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const uint64_t count, Count(part, "maxItems", value));
  to->array.max = std::min(to->array.max, count);
  to->array.given = true;
  return Status::Ok();
}

Status SchemaMerger::ReadUniqueItems(const Part& part, const Json& value, Constraints*) {
  if (value == false) return Status::Ok();
  return Unsupported("uniqueItems is not supported", Below(part, "uniqueItems"));
}

Status SchemaMerger::ReadArrayItems(const Part& part, Constraints* to) {
  const Json* items = Member(*part.schema, "items");
  const Json* prefix = Member(*part.schema, "prefixItems");
  const char* prefix_name = "prefixItems";
  const char* items_name = "items";
  if (prefix == nullptr && items != nullptr && items->is_array()) {  // before draft 2020-12
    prefix = items;
    prefix_name = "items";
    items = Member(*part.schema, "additionalItems");
    items_name = "additionalItems";
  } else if (Member(*part.schema, "additionalItems") != nullptr) {
    return Unsupported("additionalItems without a list of items", Below(part, "additionalItems"));
  }
  if (prefix == nullptr && items == nullptr) return Status::Ok();
  ArrayConstraints& array = to->array;
  if (array.given && (!array.prefix.empty() || !array.items.empty() || array.no_more_items) &&
      prefix != nullptr) {
    return Unsupported("prefixItems beside the items of another schema", Below(part, prefix_name));
  }
  array.given = true;
  if (prefix != nullptr) {
    if (!prefix->is_array()) return Invalid("prefixItems is no list", Below(part, prefix_name));
    for (size_t i = 0; i < prefix->size(); ++i) {
      array.prefix.push_back({{&(*prefix)[i], Below(part, prefix_name) + "/" + std::to_string(i)}});
    }
  } else {
    // Its items are those of every position.
    for (Parts& parts : array.prefix) parts.push_back({items, Below(part, items_name)});
  }
  if (items == nullptr) return Status::Ok();
  LULL_RETURN_IF_ERROR(CheckSchema({items, Below(part, items_name)}));
  if (*items == false) array.no_more_items = true;
  if (items->is_object()) array.items.push_back({items, Below(part, items_name)});
  return Status::Ok();
}

Status SchemaMerger::ReadRequired(const Part& part, const Json& value, Constraints* to) {
  const std::string where = Below(part, "required");
  if (!value.is_array()) return Invalid("required is no list of names", where);
  for (const Json& name : value) {
    if (!name.is_string()) return Invalid("required is no list of names", where);
    to->object.required.push_back({name.get<std::string>(), where});
  }
  return Status::Ok();
}

// Only what says no more than that names are texts.
Status SchemaMerger::ReadPropertyNames(const Part& part, const Json& value, Constraints*) {
  bool silent = value == true || value.is_object();
  for (const auto& [name, wanted] : value.items()) {
    if (!value.is_object()) break;
    const Keyword* keyword = FindKeyword(name);
    const bool is_text = name == "type" && wanted == "string";
    silent = silent && (is_text || (keyword != nullptr && keyword->read == nullptr));
  }
  if (silent) return Status::Ok();
  return Unsupported("propertyNames is not supported but as {\"type\":\"string\"}",
                     Below(part, "propertyNames"), "use patternProperties");
}

Status SchemaMerger::ReadMinProperties(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const uint64_t count, Count(part, "minProperties", value));
  to->object.min = std::max(to->object.min, count);
  to->object.count_path = Below(part, "minProperties");
  return Status::Ok();
}

Status SchemaMerger::ReadMaxProperties(const Part& part, const Json& value, Constraints* to) {
  LULL_ASSIGN_OR_RETURN(const uint64_t count, Count(part, "maxProperties", value));
  to->object.max = std::min(to->object.max, count);
  to->object.count_path = Below(part, "maxProperties");
  return Status::Ok();
}

Status SchemaMerger::ReadMembers(const Part& part, Constraints* to) {
  const Json* properties = Member(*part.schema, "properties");
  const Json* additional = Member(*part.schema, "additionalProperties");
  const Json* patterns = Member(*part.schema, "patternProperties");
  if (properties == nullptr && additional == nullptr && patterns == nullptr) return Status::Ok();
  MemberRules rules;
  if (properties != nullptr) {
    const std::string where = Below(part, "properties");
    if (!properties->is_object()) return Invalid("properties is no object", where);
    for (const auto& [name, schema] : properties->items()) {
      builder_->Spend(8);
      rules.properties.push_back({name, {&schema, where + "/" + name}});
    }
  }
  if (additional != nullptr) {
    rules.additional = Part{additional, Below(part, "additionalProperties")};
    LULL_RETURN_IF_ERROR(CheckSchema(*rules.additional));
  }
  if (patterns != nullptr) {
    const std::string where = Below(part, "patternProperties");
    if (!patterns->is_object()) return Invalid("patternProperties is no object", where);
    if (patterns->size() > 1 || !rules.properties.empty()) {
      return Unsupported("patternProperties beside properties, or more than one", where);
    }
    for (const auto& [regex, schema] : patterns->items()) {
      rules.pattern = {Pattern{regex, true, where}, Part{&schema, where + "/" + regex}};
    }
  }
  to->object.rules.push_back(std::move(rules));
  return Status::Ok();
}

Result<ObjectPlan> SchemaMerger::PlanObject(const Constraints& all) {
  ObjectPlan plan;
  const ObjectConstraints& object = all.object;
  std::set<std::string> seen;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) plan.properties.push_back({name, {}, false});
  };
  for (const MemberRules& rules : object.rules) {
    for (const auto& [name, part] : rules.properties) add(name);
  }
  for (const auto& [name, path] : object.required) add(name);
  bool declares = false;  // some schema lists members and leaves others to chance
  bool speaks = false;    // some schema says what else may come
  bool closed = false;
  for (const MemberRules& rules : object.rules) {
    if (rules.pattern.has_value()) {
      if (object.rules.size() > 1 || !plan.properties.empty()) {
        return Unsupported("patternProperties beside properties", rules.pattern->first.path);
      }
      plan.name_pattern = rules.pattern->first;
      plan.more_parts.push_back(rules.pattern->second);
      plan.more = true;
      return plan.more && (object.min > 0 || object.max != UINT64_MAX)
                 ? Result<ObjectPlan>(Unsupported("counting members", object.count_path))
                 : Result<ObjectPlan>(std::move(plan));
    }
    declares |= !rules.properties.empty();
    if (!rules.additional.has_value()) continue;
    if (*rules.additional->schema == false) closed = true;
    speaks = true;
    if (rules.additional->schema->is_object()) plan.more_parts.push_back(*rules.additional);
  }
  declares |= !object.required.empty();
  plan.more = !closed && (speaks || !declares);
  std::set<std::string> required;
  for (const auto& [name, path] : object.required) required.insert(name);
  for (PlannedProperty& property : plan.properties) {
    builder_->Spend(4 + object.rules.size());
    property.required = required.contains(property.name);
    for (const MemberRules& rules : object.rules) {
      builder_->Spend(rules.properties.size() / 4);
      if (const Part* part = rules.For(property.name)) property.parts.push_back(*part);
    }
  }
  // Counts are taken where they follow from the rest.
  const bool enough = required.size() >= object.min;
  const bool few = object.max == UINT64_MAX || (!plan.more && plan.properties.size() <= object.max);
  if (!enough || !few) {
    return Unsupported("a count of members that does not follow from required and properties",
                       object.count_path);
  }
  return plan;
}

Result<bool> SchemaMerger::Holds(const Json& value, const Constraints& all) {
  builder_->Spend(8);
  const Type type = TypeOf(value);
  if (all.never || !all.types.Has(type)) return false;
  if (type == Type::kString) {
    if (!all.patterns.empty()) {
      return Unsupported("pattern or format beside enum or const", all.patterns[0].path);
    }
    const uint64_t length = CodePoints(value.get_ref<const std::string&>());
    return length >= all.lengths.min && length <= all.lengths.max;
  }
  if (type == Type::kNumber || type == Type::kInteger) {
    if (!all.numbers.least.has_value() && !all.numbers.most.has_value()) return true;
    const std::optional<Decimal> number = Decimal::Parse(ToText(value));
    if (!number.has_value()) return Unsupported("bounds beside such a number in enum", all.path);
    return all.numbers.Has(*number);
  }
  const bool judged =
      (type == Type::kArray && all.array.any()) || (type == Type::kObject && all.object.any());
  if (judged)
    return Unsupported("enum or const of arrays or objects beside their keywords", all.path);
  return true;
}

Result<Constraints> SchemaMerger::MemberNamed(const std::string& name,
                                              const ObjectConstraints& object) {
  Constraints member;
  for (const MemberRules& rules : object.rules)
    if (const Part* part = rules.For(name)) LULL_RETURN_IF_ERROR(Add(*part, &member));
  return member;
}

Result<bool> SchemaMerger::Disjoint(const Constraints& a, const Constraints& b, int depth) {
  builder_->Spend(16);
  LULL_RETURN_IF_ERROR(builder_->status());
  if (a.never || b.never) return true;
  // What is still to be chosen may name types, and members, that are not known here.
  const auto written = [](const Constraints& c) {
    return c.groups.empty() ? c.WrittenTypes() : c.types;
  };
  TypeSet from_a = written(a), from_b = written(b);
  from_a.IntersectWith(b.types);
  from_b.IntersectWith(a.types);
  if (from_a.none() && from_b.none()) return true;
  const auto outside = [&](const std::vector<Json>& values, const Constraints& other) {
    builder_->Spend(values.size() * (1 + (other.values.has_value() ? other.values->size() : 0)));
    if (!builder_->ok()) return false;
    return std::all_of(values.begin(), values.end(), [&](const Json& value) {
      if (!other.types.Has(TypeOf(value))) return true;
      return other.values.has_value() &&
             std::find(other.values->begin(), other.values->end(), value) == other.values->end();
    });
  };
  if (a.values.has_value() && outside(*a.values, b)) return true;
  if (b.values.has_value() && outside(*b.values, a)) return true;
  // Two kinds of objects: a member that both require and that differs.
  const bool objects = from_a.NoneBut(Type::kObject) && from_b.NoneBut(Type::kObject);
  if (depth >= 2 || !objects) return false;
  builder_->Spend(a.object.required.size() * b.object.required.size() / 4);
  for (const auto& [name, path] : a.object.required) {
    const bool shared = std::any_of(b.object.required.begin(), b.object.required.end(),
                                    [&](const auto& other) { return other.first == name; });
    if (!shared) continue;
    LULL_ASSIGN_OR_RETURN(const Constraints in_a, MemberNamed(name, a.object));
    LULL_ASSIGN_OR_RETURN(const Constraints in_b, MemberNamed(name, b.object));
    LULL_ASSIGN_OR_RETURN(const bool disjoint, Disjoint(in_a, in_b, depth + 1));
    if (disjoint) return true;
  }
  // Or each requires what the other never writes.
  if (!a.groups.empty() || !b.groups.empty()) return false;
  LULL_ASSIGN_OR_RETURN(const ObjectPlan plan_a, PlanObject(a));
  LULL_ASSIGN_OR_RETURN(const ObjectPlan plan_b, PlanObject(b));
  const auto requires_foreign = [&](const Constraints& one, const ObjectPlan& other) {
    builder_->Spend(one.object.required.size() * other.properties.size() / 4);
    if (other.more || !builder_->ok()) return false;
    return std::any_of(
        one.object.required.begin(), one.object.required.end(), [&](const auto& name) {
          return std::none_of(other.properties.begin(), other.properties.end(),
                              [&](const auto& property) { return property.name == name.first; });
        });
  };
  return requires_foreign(a, plan_b) && requires_foreign(b, plan_a);
}

}  // namespace lull::grammar
