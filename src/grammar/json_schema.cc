#include "grammar/json_schema.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grammar/json_document.h"
#include "grammar/json_strings.h"
#include "grammar/number_range.h"
#include "grammar/schema_constraints.h"

namespace lull::grammar {
namespace {

constexpr int kMaxAlternatives = 4'000;
constexpr size_t kMaxExclusive = 256;  // of one oneOf: each is compared with each
constexpr int kMaxBuildDepth = 100;    // schemas within schemas, the same one again counted too
constexpr uint64_t kMaxItems = 100'000;

Status Unsupported(std::string message, std::string where, std::string hint = {}) {
  return {ErrorCode::kUnsupported, std::move(message), std::move(where), std::move(hint)};
}

class SchemaBuilder {
 public:
  SchemaBuilder(AutomatonBuilder* builder, const Json& root)
      : builder_(builder), merger_(root, builder), root_(root) {}

  Result<int32_t> BuildAll() {
    const int32_t rule = RuleOf({&root_, "#"});
    while (!queue_.empty()) {
      const auto [part, target] = queue_.back();
      queue_.pop_back();
      LULL_ASSIGN_OR_RETURN(const int32_t start, Build({part}, builder_->Return()));
      LULL_RETURN_IF_ERROR(builder_->status());
      builder_->SetRule(target, start);
    }
    return rule;
  }

 private:
  // One rule for each place in the schema that is called.
  int32_t RuleOf(const Part& part) {
    const auto [it, is_new] = rules_.try_emplace(part.schema, 0);
    if (is_new) {
      it->second = builder_->NewRule();
      queue_.push_back({part, it->second});
    }
    return it->second;
  }

  // All parts at once, then next.
  Result<int32_t> Build(Parts parts, int32_t next) {
    if (depth_ >= kMaxBuildDepth) {
      return Unsupported(
          "schemas within schemas more than " + std::to_string(kMaxBuildDepth) + " deep",
          parts.empty() ? "#" : parts[0].path);
    }
    LULL_RETURN_IF_ERROR(builder_->status());
    builder_->Spend(16);
    ++depth_;
    Result<int32_t> start = BuildWithin(std::move(parts), next);
    --depth_;
    return start;
  }

  Result<int32_t> BuildWithin(Parts parts, int32_t next) {
    if (parts.size() == 1) {
      LULL_ASSIGN_OR_RETURN(const std::optional<Part> target, merger_.PureReference(parts[0]));
      if (target.has_value()) return builder_->Call(RuleOf(*target), next);
    }
    Constraints all;
    for (const Part& part : parts) LULL_RETURN_IF_ERROR(merger_.Add(part, &all));
    return BuildConstraints(std::move(all), next);
  }

  Result<int32_t> BuildConstraints(Constraints all, int32_t next) {
    if (!all.groups.empty()) return BuildGroup(std::move(all), next);
    if (all.never) return builder_->Dead();
    if (all.values.has_value()) return BuildValues(all, next);
    if (all.unconstrained()) return builder_->Call(builder_->value_rule(), next);
    all.types = all.WrittenTypes();
    std::vector<int32_t> starts;
    for (Type type : {Type::kNull, Type::kBoolean, Type::kString, Type::kNumber, Type::kInteger,
                      Type::kArray, Type::kObject}) {
      if (!all.types.Has(type)) continue;
      if (type == Type::kInteger && all.types.Has(Type::kNumber)) continue;  // is among them
      LULL_ASSIGN_OR_RETURN(const int32_t start, BuildType(all, type, next));
      starts.push_back(start);
    }
    LULL_RETURN_IF_ERROR(builder_->status());
    return builder_->AnyOf(starts);
  }

  // The first anyOf or oneOf: each of its alternatives together with everything else.
  Result<int32_t> BuildGroup(Constraints all, int32_t next) {
    const Group group = all.groups.back();
    all.groups.pop_back();
    if (group.exactly_one) LULL_RETURN_IF_ERROR(CheckDisjoint(all, group));
    const bool alone = all.groups.empty() && all.unconstrained() && !all.values.has_value();
    std::vector<int32_t> starts;
    for (const Part& part : group.alternatives) {
      if (++alternatives_ > kMaxAlternatives) {
        return Unsupported(
            "more than " + std::to_string(kMaxAlternatives) + " combinations of alternatives",
            part.path);
      }
      int32_t start = 0;
      if (alone) {
        LULL_ASSIGN_OR_RETURN(start, Build({part}, next));
      } else {
        builder_->Spend(8 * all.size());  // the copy
        Constraints both = all;
        LULL_RETURN_IF_ERROR(merger_.Add(part, &both));
        LULL_ASSIGN_OR_RETURN(start, BuildConstraints(std::move(both), next));
      }
      starts.push_back(start);
    }
    return builder_->AnyOf(starts);
  }

  // Judged together with everything else: what the alternatives share may let both hold.
  Status CheckDisjoint(const Constraints& others, const Group& group) {
    if (group.alternatives.size() > kMaxExclusive) {
      return Unsupported("oneOf of more than " + std::to_string(kMaxExclusive) + " alternatives",
                         group.path, "use anyOf");
    }
    builder_->Spend(8 * group.alternatives.size() * others.size());  // the copies
    LULL_RETURN_IF_ERROR(builder_->status());
    std::vector<Constraints> all(group.alternatives.size(), others);
    for (size_t i = 0; i < all.size(); ++i) {
      LULL_RETURN_IF_ERROR(merger_.Add(group.alternatives[i], &all[i]));
      for (size_t j = 0; j < i; ++j) {
        builder_->Spend(64);
        LULL_ASSIGN_OR_RETURN(const bool disjoint, merger_.Disjoint(all[i], all[j]));
        if (disjoint) continue;
        return Unsupported("alternatives " + std::to_string(j) + " and " + std::to_string(i) +
                               " of oneOf may hold at once",
                           group.path, "use anyOf, or require a property whose const differs");
      }
    }
    return Status::Ok();
  }

  Result<int32_t> BuildValues(const Constraints& all, int32_t next) {
    std::vector<int32_t> starts;
    for (const Json& value : *all.values) {
      LULL_ASSIGN_OR_RETURN(const bool holds, merger_.Holds(value, all));
      if (holds) starts.push_back(builder_->Literal(ToText(value), next));
      LULL_RETURN_IF_ERROR(builder_->status());
    }
    return builder_->AnyOf(starts);
  }

  Result<int32_t> BuildType(const Constraints& all, Type type, int32_t next) {
    switch (type) {
      case Type::kNull:
        return builder_->Literal("null", next);
      case Type::kBoolean:
        return builder_->Split(builder_->Literal("true", next), builder_->Literal("false", next));
      case Type::kString:
        return BuildString(all, next);
      case Type::kNumber:
      case Type::kInteger:
        return BuildNumeric(all, type == Type::kInteger, next);
      case Type::kArray:
        return BuildArray(all, next);
      case Type::kObject:
        return BuildObject(all, next);
    }
    return Status(ErrorCode::kInternal, "a JSON type of no known kind");
  }

  Result<int32_t> BuildNumeric(const Constraints& all, bool integer, int32_t next) {
    const bool bounded = all.numbers.least.has_value() || all.numbers.most.has_value();
    if (bounded) return BuildNumber(builder_, all.numbers, integer, next);
    return builder_->Call(integer ? builder_->integer_rule() : builder_->number_rule(), next);
  }

  Result<int32_t> BuildString(const Constraints& all, int32_t next) {
    if (all.lengths.min > all.lengths.max) return builder_->Dead();
    if (all.patterns.empty()) {
      if (all.lengths.min > AutomatonBuilder::kMaxStringLength) {
        return Unsupported("minLength above a million", all.path);
      }
      return builder_->Call(builder_->StringRule(all.lengths.min, all.lengths.max), next);
    }
    if (all.patterns.size() > 1) {
      return Unsupported("more than one of pattern and format on one string", all.patterns[1].path,
                         "join them in one pattern");
    }
    // A rule of its own: what stands behind it does not multiply its masks.
    const Pattern& pattern = all.patterns[0];
    const std::string key = pattern.regex + (pattern.search ? "?" : "!") +
                            std::to_string(all.lengths.min) + "," + std::to_string(all.lengths.max);
    const auto [it, is_new] = pattern_rules_.try_emplace(key, 0);
    if (is_new) {
      it->second = builder_->NewRule();
      LULL_ASSIGN_OR_RETURN(const int32_t start,
                            BuildPatternString(builder_, pattern.regex, pattern.search, all.lengths,
                                               builder_->Return(), pattern.path));
      builder_->SetRule(it->second, start);
    }
    return builder_->Call(it->second, next);
  }

  Result<int32_t> BuildArray(const Constraints& all, int32_t next) {
    const ArrayConstraints& array = all.array;
    const bool closed = array.no_more_items;
    const uint64_t listed = array.prefix.size();
    uint64_t max = array.max;
    if (closed) max = std::min<uint64_t>(max, listed);
    if (array.min > max) return builder_->Dead();
    const bool bounded = max != ArrayConstraints::kNoMaximum;
    // Positions from here on are alike.
    const uint64_t tail = bounded ? max : std::max(array.min, listed);
    if (tail > kMaxItems) {
      return Unsupported("an array of more than " + std::to_string(kMaxItems) + " counted items",
                         all.path, "give a smaller minItems or maxItems");
    }
    const int32_t end = builder_->Byte(']', ']', next);
    // after[i]: i items are written. first: none is.
    int32_t after = end, first = end;
    if (!bounded) {
      const int32_t loop = builder_->OpenSplit();
      LULL_ASSIGN_OR_RETURN(const int32_t item, BuildItem(all, tail, builder_->Space(loop)));
      builder_->SetSplit(loop, builder_->Byte(',', ',', builder_->Space(item)), end);
      after = loop;
      first = builder_->Split(item, end);
    }
    for (uint64_t i = tail; i > 0; --i) {
      LULL_ASSIGN_OR_RETURN(const int32_t item, BuildItem(all, i - 1, builder_->Space(after)));
      LULL_RETURN_IF_ERROR(builder_->status());
      const bool may_end = i - 1 >= array.min;
      first = may_end ? builder_->Split(item, end) : item;
      const int32_t more = builder_->Byte(',', ',', builder_->Space(item));
      after = may_end ? builder_->Split(more, end) : more;
    }
    return builder_->Byte('[', '[', builder_->Space(first));
  }

  Result<int32_t> BuildItem(const Constraints& all, uint64_t at, int32_t next) {
    const ArrayConstraints& array = all.array;
    if (at < array.prefix.size()) return Build(array.prefix[at], next);
    if (array.items.empty()) return builder_->Call(builder_->value_rule(), next);
    // The same for many positions: a rule.
    if (array.items.size() == 1) return builder_->Call(RuleOf(array.items[0]), next);
    return Build(array.items, next);
  }

  Result<int32_t> BuildObject(const Constraints& all, int32_t next) {
    LULL_ASSIGN_OR_RETURN(const ObjectPlan plan, merger_.PlanObject(all));
    const int32_t end = builder_->Byte('}', '}', next);
    int32_t after = end, first = end;
    if (plan.more) {
      const int32_t loop = builder_->OpenSplit();
      LULL_ASSIGN_OR_RETURN(const int32_t member, BuildOtherMember(plan, builder_->Space(loop)));
      builder_->SetSplit(loop, builder_->Byte(',', ',', builder_->Space(member)), end);
      after = loop;
      first = builder_->Split(member, end);
    }
    for (size_t i = plan.properties.size(); i > 0; --i) {
      const PlannedProperty& property = plan.properties[i - 1];
      LULL_ASSIGN_OR_RETURN(const int32_t value, Build(property.parts, builder_->Space(after)));
      LULL_RETURN_IF_ERROR(builder_->status());
      const int32_t member =
          builder_->Literal(ToText(Json(property.name)),
                            builder_->Space(builder_->Byte(':', ':', builder_->Space(value))));
      const int32_t more = builder_->Byte(',', ',', builder_->Space(member));
      after = property.required ? more : builder_->Split(more, after);
      first = property.required ? member : builder_->Split(member, first);
    }
    return builder_->Byte('{', '{', builder_->Space(first));
  }

  // A member whose name is none of the declared.
  Result<int32_t> BuildOtherMember(const ObjectPlan& plan, int32_t next) {
    int32_t value = 0;
    if (plan.more_parts.empty()) {
      value = builder_->Call(builder_->value_rule(), next);
    } else {
      LULL_ASSIGN_OR_RETURN(value, Build(plan.more_parts, next));
    }
    const int32_t after_name = builder_->Space(builder_->Byte(':', ':', builder_->Space(value)));
    if (plan.name_pattern.has_value()) {
      return BuildPatternString(builder_, plan.name_pattern->regex, true, {}, after_name,
                                plan.name_pattern->path);
    }
    if (plan.properties.empty()) {
      return builder_->Call(builder_->StringRule(0, AutomatonBuilder::kNoMaximum), after_name);
    }
    std::vector<std::string> names;
    for (const PlannedProperty& property : plan.properties) names.push_back(property.name);
    const int32_t rule = builder_->NewRule();
    const int32_t start = BuildOtherString(builder_, names);
    LULL_RETURN_IF_ERROR(builder_->status());
    builder_->SetRule(rule, start);
    return builder_->Call(rule, after_name);
  }

  AutomatonBuilder* builder_;
  SchemaMerger merger_;
  const Json& root_;
  std::map<const Json*, int32_t> rules_;
  std::map<std::string, int32_t> pattern_rules_;
  std::vector<std::pair<Part, int32_t>> queue_;
  int depth_ = 0;
  int alternatives_ = 0;
};

}  // namespace

Result<int32_t> BuildJsonSchema(AutomatonBuilder* builder, std::string_view schema_json) {
  LULL_ASSIGN_OR_RETURN(const Json root, ParseJsonDocument(builder->meter(), schema_json));
  SchemaBuilder schema(builder, root);
  return schema.BuildAll();
}

}  // namespace lull::grammar
