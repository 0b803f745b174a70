#include "service/tool_params.h"

#include <algorithm>
#include <map>

namespace lull {
namespace {

constexpr size_t kMaxTools = 128;
constexpr std::string_view kOpen = "<tool_call>";

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

Json Member(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() ? Json() : *it;
}

// An error's text, or "".
std::string ReadTool(const Json& entry, bool flat, Tool* tool) {
  if (!entry.is_object() || Member(entry, "type") != "function")
    return "only tools of type function are supported";
  const Json function = flat ? entry : Member(entry, "function");
  if (!function.is_object()) return "function must be an object";
  const Json name = Member(function, "name"), description = Member(function, "description"),
             parameters = Member(function, "parameters"), strict = Member(function, "strict");
  if (!name.is_string() || !IsName(name.get<std::string>()))
    return "a name must be 1 to 128 letters, digits, _, - or .";
  if (!description.is_null() && !description.is_string()) return "description must be a string";
  if (!parameters.is_null() && !parameters.is_object()) return "parameters must be a JSON Schema";
  if (!strict.is_null() && !strict.is_boolean()) return "strict must be true or false";
  tool->name = name.get<std::string>();
  if (description.is_string()) tool->description = description.get<std::string>();
  tool->parameters = parameters.is_object()
                         ? parameters
                         : Json{{"type", "object"}, {"properties", Json::object()}};
  tool->strict = strict == true;
  return "";
}

void ReadTools(JsonFields& fields, bool flat, ToolParams* params) {
  const Json* tools = fields.Get("tools");
  if (tools == nullptr) return;
  if (!tools->is_array() || tools->size() > kMaxTools)
    return fields.Fail("tools", "must be an array of at most 128 tools");
  for (size_t i = 0; i < tools->size(); ++i) {
    Tool tool;
    const std::string wrong = ReadTool((*tools)[i], flat, &tool);
    if (!wrong.empty()) return fields.Fail("tools", "[" + std::to_string(i) + "]: " + wrong);
    if (NamesOf(params->tools).count(tool.name) > 0)
      return fields.Fail("tools", tool.name + " is there twice");
    params->tools.push_back(std::move(tool));
  }
}

void ReadNamedChoice(JsonFields& fields, const Json& choice, bool flat, ToolParams* params) {
  const Json function = flat || !choice.is_object() ? choice : Member(choice, "function");
  const Json name = function.is_object() ? Member(function, "name") : Json();
  if (!name.is_string() || Member(choice, "type") != "function")
    return fields.Fail("tool_choice", "must be none, auto, required or name a function");
  const auto named = std::find_if(params->tools.begin(), params->tools.end(),
                                  [&](const Tool& tool) { return tool.name == name; });
  if (named == params->tools.end())
    return fields.Fail("tool_choice", name.get<std::string>() + " is not in tools");
  params->tools = std::vector<Tool>{*named};
  params->choice = ToolParams::Choice::kRequired;
}

// The definitions of a tool's schema move to the root: references to them start there.
Status HoistDefinitions(Json* parameters, Json* root) {
  for (const char* group : {"$defs", "definitions"}) {
    const auto it = parameters->find(group);
    if (it == parameters->end() || !it->is_object()) continue;
    for (const auto& [name, value] : it->items()) {
      Json& there = (*root)[group][name];
      if (!there.is_null() && there != value)
        return Status(ErrorCode::kUnsupported, "tools: two tools define " + name + " differently",
                      "tools", "rename one of the definitions");
      there = value;
    }
    parameters->erase(group);
  }
  return Status();
}

// Passes everything until the mark of a call, or a bare call at the start; holds the call to its
// grammar; then passes everything again.
class CallConstraint : public TokenConstraint {
 public:
  CallConstraint(ServedModelPtr served, GrammarSpec call, CallTrigger trigger,
                 std::shared_ptr<TokenConstraint> first)
      : served_(std::move(served)),
        call_(std::move(call)),
        trigger_(std::move(trigger)),
        next_(std::move(first)),
        stream_(served_->model->NewTextStream(false)) {}

  Status FillMask(std::span<uint32_t> mask) override {
    if (inner_ != nullptr) return inner_->FillMask(mask);
    std::fill(mask.begin(), mask.end(), ~uint32_t{0});
    return Status();
  }

  Status Accept(int32_t token) override {
    if (inner_ == nullptr) return Watch(token);
    LULL_RETURN_IF_ERROR(inner_->Accept(token));
    if (!inner_->finished()) return Status();
    inner_.reset();
    text_.clear();
    stream_ = served_->model->NewTextStream(false);
    LULL_ASSIGN_OR_RETURN(next_, served_->model->NewConstraint(call_));
    return Status();
  }

  bool finished() const override { return false; }

 private:
  Status Watch(int32_t token) {
    if (served_->model->IsEndOfGeneration(token)) return Status();
    const std::string piece = TextOf(token);
    const bool blank = text_.find_first_not_of(" \t\r\n") == std::string::npos;
    text_ += piece;
    const std::string& mark = trigger_.mark;
    if (!mark.empty()) {
      if (text_.ends_with(mark)) inner_ = std::move(next_);
      if (text_.size() > 2 * mark.size()) text_.erase(0, text_.size() - mark.size());
    } else if (blank && piece.starts_with('{') && next_ != nullptr && next_->Accept(token).ok()) {
      inner_ = std::move(next_);
    }
    return Status();
  }

  std::string TextOf(int32_t token) {
    const auto& shown = trigger_.shown;
    const bool is_mark = std::find(shown.begin(), shown.end(), token) != shown.end();
    return is_mark ? served_->model->Detokenize({token}, true) : stream_->Push(token);
  }

  const ServedModelPtr served_;
  const GrammarSpec call_;
  const CallTrigger trigger_;
  std::shared_ptr<TokenConstraint> next_;   // for the next call
  std::shared_ptr<TokenConstraint> inner_;  // of the call that is being written
  std::unique_ptr<TextStream> stream_;
  std::string text_;  // the end of what was written
};

// Free until the parser sees the arguments of a call begin; then they fit the tool's schema; then
// free again. A token that brings more than the arguments' beginning is not held.
class ArgumentsConstraint : public TokenConstraint {
 public:
  ArgumentsConstraint(ServedModelPtr served, const AnswerStyle& style,
                      std::map<std::string, GrammarSpec> schemas)
      : served_(std::move(served)),
        schemas_(std::move(schemas)),
        parser_(NewAnswerParser(style)),
        stream_(served_->model->NewTextStream(true)) {}

  Status FillMask(std::span<uint32_t> mask) override {
    if (inner_ != nullptr) return inner_->FillMask(mask);
    std::fill(mask.begin(), mask.end(), ~uint32_t{0});
    return Status();
  }

  Status Accept(int32_t token) override {
    std::vector<ToolPiece> pieces;
    if (!served_->model->IsEndOfGeneration(token)) parser_->Push(stream_->Push(token), &pieces);
    if (inner_ != nullptr) {
      LULL_RETURN_IF_ERROR(inner_->Accept(token));
      if (inner_->finished()) inner_.reset();
      return Status();
    }
    if (pieces.empty() || pieces.back().kind != ToolPiece::Kind::kBegin) return Status();
    LULL_ASSIGN_OR_RETURN(inner_, served_->model->NewConstraint(schemas_[pieces.back().text]));
    return Status();
  }

  bool finished() const override { return false; }

 private:
  const ServedModelPtr served_;
  std::map<std::string, GrammarSpec> schemas_;
  const std::unique_ptr<AnswerParser> parser_;
  const std::unique_ptr<TextStream> stream_;
  std::shared_ptr<TokenConstraint> inner_;  // of the arguments that are being written
};

}  // namespace

ToolParams ReadToolParams(JsonFields& fields, bool flat) {
  ToolParams params;
  ReadTools(fields, flat, &params);
  if (!fields.Bool("parallel_tool_calls", true)) params.max_calls = 1;
  const Json* choice = fields.Get("tool_choice");
  if (choice == nullptr || *choice == "auto") return params;
  if (*choice == "none") {
    params.choice = ToolParams::Choice::kNone;
  } else if (*choice == "required") {
    params.choice = ToolParams::Choice::kRequired;
    if (params.tools.empty()) fields.Fail("tool_choice", "required needs tools");
  } else {
    ReadNamedChoice(fields, *choice, flat, &params);
  }
  return params;
}

Result<GrammarSpec> CallGrammar(const std::vector<Tool>& tools, bool marks) {
  Json root = Json::object();
  Json calls = Json::array();
  for (const Tool& tool : tools) {
    Json parameters = tool.parameters;
    LULL_RETURN_IF_ERROR(HoistDefinitions(&parameters, &root));
    if (!parameters.contains("type")) parameters["type"] = "object";
    calls.push_back({{"type", "object"},
                     {"properties", {{"name", {{"const", tool.name}}}, {"arguments", parameters}}},
                     {"required", {"name", "arguments"}},
                     {"additionalProperties", false}});
  }
  if (calls.size() == 1)
    root.update(calls.front());
  else
    root["anyOf"] = std::move(calls);
  GrammarSpec spec;
  spec.kind = GrammarSpec::Kind::kJsonSchema;
  spec.text = root.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (marks) spec.prefix = "<tool_call>\n", spec.suffix = "\n</tool_call>";
  return spec;
}

Result<std::shared_ptr<TokenConstraint>> NewCallConstraint(ServedModelPtr served,
                                                           const std::vector<Tool>& tools,
                                                           const CallTrigger& trigger) {
  const bool hermes = trigger.mark == kOpen;
  LULL_ASSIGN_OR_RETURN(GrammarSpec call, CallGrammar(tools, hermes));
  call.prefix = trigger.after;  // what opens the call is written already
  LULL_ASSIGN_OR_RETURN(std::shared_ptr<TokenConstraint> first, served->model->NewConstraint(call));
  return std::shared_ptr<TokenConstraint>(std::make_shared<CallConstraint>(
      std::move(served), std::move(call), trigger, std::move(first)));
}

Result<std::shared_ptr<TokenConstraint>> NewArgumentsConstraint(ServedModelPtr served,
                                                                const AnswerStyle& style) {
  std::map<std::string, GrammarSpec> schemas;
  for (const Tool& tool : style.tools) {
    GrammarSpec spec;
    spec.kind = GrammarSpec::Kind::kJsonSchema;
    Json parameters = tool.parameters;
    if (!parameters.contains("type")) parameters["type"] = "object";
    spec.text = parameters.dump(-1, ' ', false, Json::error_handler_t::replace);
    LULL_RETURN_IF_ERROR(served->model->NewConstraint(spec).status());
    schemas[tool.name] = std::move(spec);
  }
  return std::shared_ptr<TokenConstraint>(
      std::make_shared<ArgumentsConstraint>(std::move(served), style, std::move(schemas)));
}

}  // namespace lull
