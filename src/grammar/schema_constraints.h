// What several schemas ask of one value, taken together.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/json_document.h"
#include "grammar/json_strings.h"
#include "grammar/number_range.h"
#include "lull/status.h"

namespace lull::grammar {

// A schema and where it stands, e.g. "#/properties/name". The document outlives it.
struct Part {
  const Json* schema = nullptr;
  std::string path;
};
using Parts = std::vector<Part>;

enum class Type { kNull, kBoolean, kString, kNumber, kInteger, kArray, kObject };

// An integer is a number too: kNumber brings kInteger along.
class TypeSet {
 public:
  static TypeSet All() { return TypeSet(0x7F); }
  static TypeSet None() { return TypeSet(0); }
  void Add(Type type) {
    bits_ |= 1u << static_cast<int>(type);
    if (type == Type::kNumber) Add(Type::kInteger);
  }
  void IntersectWith(TypeSet other) { bits_ &= other.bits_; }
  bool Has(Type type) const { return (bits_ >> static_cast<int>(type) & 1) != 0; }
  bool all() const { return bits_ == 0x7F; }
  bool none() const { return bits_ == 0; }
  bool NoneBut(Type type) const { return (bits_ & ~(1u << static_cast<int>(type))) == 0; }

 private:
  explicit TypeSet(uint32_t bits) : bits_(bits) {}
  uint32_t bits_;
};

struct Pattern {
  std::string regex;
  bool search = false;  // may match anywhere
  std::string path;
};

struct ArrayConstraints {
  static constexpr uint64_t kNoMaximum = UINT64_MAX;
  std::vector<Parts> prefix;   // by position
  Parts items;                 // of all after those
  bool no_more_items = false;  // nothing after those
  bool given = false;          // some keyword of arrays was read
  uint64_t min = 0, max = kNoMaximum;
  bool any() const { return given; }
};

// One schema's say on members; each judges names by its own properties.
struct MemberRules {
  std::vector<std::pair<std::string, Part>> properties;
  std::optional<Part> additional;  // a schema, true or false
  std::optional<std::pair<Pattern, Part>> pattern;
  const Part* Find(std::string_view name) const;  // among the properties
  const Part* For(std::string_view name) const;   // there, else `additional`; null: any value
};

struct ObjectConstraints {
  std::vector<MemberRules> rules;
  std::vector<std::pair<std::string, std::string>> required;  // name and path, in order
  uint64_t min = 0, max = UINT64_MAX;
  std::string count_path;  // of minProperties or maxProperties
  bool any() const { return !rules.empty() || !required.empty() || min > 0 || max != UINT64_MAX; }
};

struct Group {
  Parts alternatives;
  bool exactly_one = false;  // oneOf
  std::string path;
};

struct Constraints {
  std::string path;  // of the first part, for errors
  bool never = false;
  TypeSet types = TypeSet::All();
  std::optional<std::vector<Json>> values;  // enum and const
  LengthBounds lengths;
  std::vector<Pattern> patterns;
  NumberBounds numbers;
  ArrayConstraints array;
  ObjectConstraints object;
  std::vector<Group> groups;  // anyOf, oneOf: still to be chosen from

  // About how many parts a copy of it has.
  size_t size() const;
  // Where no type is given, the types that the keywords are about: what is written, though others
  // would do.
  TypeSet WrittenTypes() const;
  // Any value will do, but for values and groups.
  bool unconstrained() const {
    return !never && types.all() && lengths.any() && patterns.empty() &&
           !numbers.least.has_value() && !numbers.most.has_value() && !array.any() && !object.any();
  }
};

struct PlannedProperty {
  std::string name;
  Parts parts;
  bool required = false;
};
// An object as it is written: the properties in order, then others.
struct ObjectPlan {
  std::vector<PlannedProperty> properties;
  bool more = false;
  Parts more_parts;
  std::optional<Pattern> name_pattern;
};

class SchemaMerger {
 public:
  // Both outlive the merger. The builder counts the work.
  SchemaMerger(const Json& root, AutomatonBuilder* builder) : root_(root), builder_(builder) {}

  // Adds what the schema asks; $ref and allOf are followed.
  Status Add(const Part& part, Constraints* to);
  // What the schema refers to where it is nothing but a reference.
  Result<std::optional<Part>> PureReference(const Part& part);
  Result<ObjectPlan> PlanObject(const Constraints& all);
  // Whether the value satisfies everything but `values` and `groups`.
  Result<bool> Holds(const Json& value, const Constraints& all);
  // Whether nothing that is written for one can satisfy the other, as far as it is easily seen.
  Result<bool> Disjoint(const Constraints& a, const Constraints& b, int depth = 0);

 private:
  // What the members of this name must satisfy.
  Result<Constraints> MemberNamed(const std::string& name, const ObjectConstraints& object);

  using Reader = Status (SchemaMerger::*)(const Part& part, const Json& value, Constraints* to);
  struct Keyword {
    std::string_view name;
    Reader read;  // null: says nothing about the value
  };
  static const Keyword* FindKeyword(std::string_view name);

  Status ReadType(const Part& part, const Json& value, Constraints* to);
  Status ReadEnum(const Part& part, const Json& value, Constraints* to);
  Status ReadConst(const Part& part, const Json& value, Constraints* to);
  Status ReadRef(const Part& part, const Json& value, Constraints* to);
  Status ReadAllOf(const Part& part, const Json& value, Constraints* to);
  Status ReadAnyOf(const Part& part, const Json& value, Constraints* to);
  Status ReadOneOf(const Part& part, const Json& value, Constraints* to);
  Status ReadMinLength(const Part& part, const Json& value, Constraints* to);
  Status ReadMaxLength(const Part& part, const Json& value, Constraints* to);
  Status ReadPattern(const Part& part, const Json& value, Constraints* to);
  Status ReadFormat(const Part& part, const Json& value, Constraints* to);
  Status ReadMinimum(const Part& part, const Json& value, Constraints* to);
  Status ReadMaximum(const Part& part, const Json& value, Constraints* to);
  Status ReadExclusiveMinimum(const Part& part, const Json& value, Constraints* to);
  Status ReadExclusiveMaximum(const Part& part, const Json& value, Constraints* to);
  Status ReadMultipleOf(const Part& part, const Json& value, Constraints* to);
  Status ReadMinItems(const Part& part, const Json& value, Constraints* to);
  Status ReadMaxItems(const Part& part, const Json& value, Constraints* to);
  Status ReadUniqueItems(const Part& part, const Json& value, Constraints* to);
  Status ReadRequired(const Part& part, const Json& value, Constraints* to);
  Status ReadPropertyNames(const Part& part, const Json& value, Constraints* to);
  Status ReadMinProperties(const Part& part, const Json& value, Constraints* to);
  Status ReadMaxProperties(const Part& part, const Json& value, Constraints* to);
  Status ReadNullable(const Part& part, const Json& value, Constraints* to);
  // Keywords that only mean something together are read with the schema.
  Status ReadWithOthers(const Part&, const Json&, Constraints*) { return Status::Ok(); }
  Status ReadArrayItems(const Part& part, Constraints* to);
  Status ReadMembers(const Part& part, Constraints* to);
  Status ReadGroup(const Part& part, const Json& value, const char* keyword, bool exactly_one,
                   Constraints* to);
  void KeepValues(std::vector<Json> values, Constraints* to);

  Result<Part> Resolve(const Part& part, const Json& reference);

  const Json& root_;
  AutomatonBuilder* builder_;
  int depth_ = 0;
};

}  // namespace lull::grammar
