#include "chat/chat_template.h"

#include <new>

#include "chat/interpreter.h"
#include "chat/json_input.h"
#include "chat/parser.h"
#include "chat/text.h"

namespace lull {
namespace {

using jinja::Kind;
using jinja::Run;
using jinja::Value;
using Variables = std::vector<std::pair<std::string, Value>>;

constexpr size_t kMaxSourceBytes = 1 << 20;

Status CollectVariables(const TemplateInput& input, Run& run, Variables* out) {
  LULL_ASSIGN_OR_RETURN(Value messages, jinja::ParseJson(run, input.messages_json, "messages"));
  if (!messages.is(Kind::kList)) {
    return Status(ErrorCode::kInvalidInput, "must be an array of messages", "messages",
                  "give [{\"role\": \"user\", \"content\": \"...\"}]");
  }
  for (const std::string* token : {&input.bos_token, &input.eos_token}) {
    if (!jinja::ValidUtf8(run.work(), *token)) {
      return Status(ErrorCode::kInvalidInput, "not valid UTF-8",
                    token == &input.bos_token ? "bos_token" : "eos_token");
    }
  }
  const auto set = [out](std::string_view name, Value value) {
    for (auto& [other, old] : *out) {
      if (other != name) continue;
      old = std::move(value);
      return;
    }
    out->emplace_back(name, std::move(value));
  };
  set("messages", std::move(messages));
  // Always defined, as transformers does: templates ask "is not none".
  set("tools", Value::None());
  set("documents", Value::None());
  set("add_generation_prompt", Value::Bool(input.add_generation_prompt));
  set("bos_token", run.String(input.bos_token));
  set("eos_token", run.String(input.eos_token));
  if (input.extra_json.empty()) return Status::Ok();
  LULL_ASSIGN_OR_RETURN(const Value extra, jinja::ParseJson(run, input.extra_json, "extra"));
  if (!extra.is(Kind::kDict)) {
    return Status(ErrorCode::kInvalidInput, "must be an object of variables", "extra");
  }
  const auto& entries = extra.as<jinja::DictObject>().entries();
  if (entries.size() > 1000) {
    return Status(ErrorCode::kInvalidInput, "more than 1000 variables", "extra");
  }
  for (const auto& [name, value] : entries) set(name.text(), value);
  return Status::Ok();
}

}  // namespace

struct ChatTemplate::Rep {
  std::unique_ptr<jinja::Template> parsed;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(const std::string& source,
                                                          const TemplateLimits& limits,
                                                          const ExecContext& ctx) {
  WorkMeter work(ctx);
  if (source.size() > kMaxSourceBytes) {
    return Status(ErrorCode::kInvalidInput,
                  "a template of more than " + std::to_string(kMaxSourceBytes) + " bytes",
                  "template");
  }
  if (!jinja::ValidUtf8(&work, source)) {
    return Status(ErrorCode::kInvalidInput, "the template is not valid UTF-8", "template");
  }
  auto rep = std::make_unique<Rep>();
  rep->limits = limits;
  LULL_ASSIGN_OR_RETURN(rep->parsed, jinja::ParseTemplate(source, limits, &work));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(rep)));
}

Result<std::string> ChatTemplate::Render(const TemplateInput& input, const ExecContext& ctx) const {
  Run run(rep_->limits, ctx);
  run.now_unix_s = input.now_unix_s;
  Variables variables;
  LULL_RETURN_IF_ERROR(CollectVariables(input, run, &variables));
  std::string out = jinja::Execute(*rep_->parsed, run, variables);
  if (!run.ok()) return run.error();
  return out;
}

}  // namespace lull
