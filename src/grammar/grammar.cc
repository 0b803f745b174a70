#include "grammar/grammar.h"

#include <string>
#include <utility>

#include "grammar/code_set.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"

namespace lull::grammar {
namespace {

constexpr size_t kMaxChoices = 10'000;
constexpr size_t kMaxLiteralBytes = 1 << 20;

Status CheckLiteral(const std::string& text, const char* where) {
  if (text.size() > kMaxLiteralBytes) {
    return {ErrorCode::kInvalidInput, "a text of " + std::to_string(text.size()) + " bytes", where,
            "at most 1 MiB is taken"};
  }
  if (!IsValidUtf8(text)) return {ErrorCode::kInvalidInput, "a text that is not UTF-8", where};
  return Status::Ok();
}

Result<int32_t> BuildChoices(AutomatonBuilder* builder, const std::vector<std::string>& choices,
                             int32_t next) {
  if (choices.empty()) {
    return Status(ErrorCode::kUsage, "no choice is given", "choice", "list at least one text");
  }
  if (choices.size() > kMaxChoices) {
    return Status(ErrorCode::kInvalidInput, std::to_string(choices.size()) + " choices", "choice",
                  "at most 10000 are taken");
  }
  std::vector<int32_t> starts;
  for (const std::string& choice : choices) {
    LULL_RETURN_IF_ERROR(CheckLiteral(choice, "choice"));
    if (choice.empty()) {
      return Status(ErrorCode::kUsage, "a choice is empty", "choice", "give some text");
    }
    starts.push_back(builder->Literal(choice, next));
    LULL_RETURN_IF_ERROR(builder->status());
  }
  return builder->AnyOf(starts);
}

Result<int32_t> BuildBody(AutomatonBuilder* builder, const GrammarSpec& spec, int32_t next) {
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonObject:
      return builder->Call(builder->object_rule(), next);
    case GrammarSpec::Kind::kJsonSchema: {
      LULL_ASSIGN_OR_RETURN(const int32_t rule, BuildJsonSchema(builder, spec.text));
      return builder->Call(rule, next);
    }
    case GrammarSpec::Kind::kRegex:
      return BuildRegex(builder, spec.text, {}, next, "regex");
    case GrammarSpec::Kind::kChoice:
      return BuildChoices(builder, spec.choices, next);
  }
  return Status(ErrorCode::kInternal, "a grammar of no known kind");
}

const char* KindName(GrammarSpec::Kind kind) {
  switch (kind) {
    case GrammarSpec::Kind::kJsonObject:
      return "json_object";
    case GrammarSpec::Kind::kJsonSchema:
      return "json_schema";
    case GrammarSpec::Kind::kRegex:
      return "regex";
    case GrammarSpec::Kind::kChoice:
      return "choice";
  }
  return "grammar";
}

Status Located(const Status& status, const char* where) {
  Error error = status.error();
  if (error.where.empty()) error.where = where;
  return error;
}

}  // namespace

Result<std::shared_ptr<Grammar>> Grammar::Compile(const GrammarSpec& spec, const ExecContext& ctx,
                                                  const AutomatonLimits& limits) {
  LULL_RETURN_IF_ERROR(CheckLiteral(spec.prefix, "prefix"));
  LULL_RETURN_IF_ERROR(CheckLiteral(spec.suffix, "suffix"));
  WorkMeter meter(ctx);
  AutomatonBuilder builder(&meter, limits);
  const int32_t after = builder.Literal(spec.suffix, builder.Return());
  const Result<int32_t> body = BuildBody(&builder, spec, after);
  if (!body.ok()) return Located(body.status(), KindName(spec.kind));
  const int32_t root = builder.NewRule();
  builder.SetRule(root, builder.Literal(spec.prefix, *body));
  Result<Automaton> automaton = builder.Finish(root);
  if (!automaton.ok()) return Located(automaton.status(), KindName(spec.kind));
  return std::shared_ptr<Grammar>(new Grammar(std::move(*automaton)));
}

}  // namespace lull::grammar
