#include "service/chat_setup.h"

#include <algorithm>

namespace lull {
namespace {

using NewConstraintFn = CompletionParams::NewConstraintFn;

NewConstraintFn Compiled(const ServedModelPtr& served, const GrammarSpec& grammar) {
  return [served, grammar] { return served->model->NewConstraint(grammar); };
}

// With tools that the model may call or not. Where their schemas cannot be held, only those that
// promise it (strict) are an error.
Result<NewConstraintFn> ForOfferedTools(const ServedModelPtr& served,
                                        const std::vector<Tool>& tools, CallTrigger trigger) {
  const NewConstraintFn constraint = [served, tools, trigger = std::move(trigger)] {
    return NewCallConstraint(served, tools, trigger);
  };
  const bool strict =
      std::any_of(tools.begin(), tools.end(), [](const Tool& tool) { return tool.strict; });
  const auto probe = constraint();
  if (probe.ok()) return constraint;
  if (strict) return probe.error();
  return NewConstraintFn();
}

CallTrigger HermesTrigger(bool marks) {
  if (!marks) return {};
  return {"<tool_call>", "\n", {}};
}

// Where calls are written otherwise than as JSON behind <tool_call>, only `strict` asks to hold
// them: their arguments where those stand alone, else the call is written as JSON behind the
// format's own mark, which its parser reads too.
Result<NewConstraintFn> ForOtherFormats(const ServedModelPtr& served, const ToolParams& tools,
                                        const ChatPrompt& prompt, const AnswerFormat& format) {
  const bool strict = std::any_of(tools.tools.begin(), tools.tools.end(),
                                  [](const Tool& tool) { return tool.strict; });
  if (!strict) return NewConstraintFn();
  if (prompt.marks_calls) return ForOfferedTools(served, tools.tools, HermesTrigger(true));
  AnswerStyle style;
  style.format = &format;
  style.tools = tools.tools;
  style.max_calls = tools.max_calls;
  if (format.name == "harmony") {
    const NewConstraintFn constraint = [served, style] {
      return NewArgumentsConstraint(served, style);
    };
    LULL_RETURN_IF_ERROR(constraint().status());
    return constraint;
  }
  if (!format.structural && !format.marks.empty())
    return ForOfferedTools(
        served, tools.tools,
        {std::string(format.marks.front()), "", ShownTokens(*served->model, style)});
  return Status(ErrorCode::kUnsupported,
                "tools: strict cannot be kept for calls as " + std::string(format.name) +
                    " models write them",
                "tools", "leave strict out, or set tool_choice to required");
}

const AnswerFormat& FormatOfPrompt(const Model& model, const ChatPrompt& prompt) {
  return prompt.described ? HermesFormat() : FormatOf(model.chat_template());
}

}  // namespace

Result<NewConstraintFn> ToolConstraint(const ServedModelPtr& served, const ToolParams& tools,
                                       const ChatPrompt& prompt) {
  if (!tools.offered()) return NewConstraintFn();
  if (tools.choice != ToolParams::Choice::kRequired) {
    const AnswerFormat& format = FormatOfPrompt(*served->model, prompt);
    if (&format == &HermesFormat())
      return ForOfferedTools(served, tools.tools, HermesTrigger(prompt.marks_calls));
    return ForOtherFormats(served, tools, prompt, format);
  }
  LULL_ASSIGN_OR_RETURN(const GrammarSpec calls, CallGrammar(tools.tools, prompt.marks_calls));
  return Compiled(served, calls);
}

AnswerStyle StyleOf(const Model& model, const ToolParams& tools, bool held, ChatPrompt* prompt) {
  AnswerStyle style;
  if (tools.offered()) style.tools = tools.tools;
  style.max_calls = tools.max_calls;
  // Llama 3's templates refuse a history with more: a second call could never be answered.
  if (model.chat_template().find("only supports single tool-calls") != std::string::npos)
    style.max_calls = 1;
  const AnswerFormat& format = FormatOf(model.chat_template());
  const ReasoningMarks reasoning = ReasoningOf(model.chat_template());
  const bool in_reasoning = EndsInReasoning(prompt->text, reasoning);
  if (held) {
    if (in_reasoning) prompt->text += std::string(reasoning.close) + "\n\n";
    prompt->text += format.text_opening();
    return style;
  }
  style.format = &FormatOfPrompt(model, *prompt);
  if (format.structural) style.format = &format;
  style.reasoning = reasoning;
  style.in_reasoning = in_reasoning;
  return style;
}

std::vector<int32_t> ShownTokens(const Model& model, const AnswerStyle& style) {
  std::vector<std::string_view> marks = {style.reasoning.open, style.reasoning.close};
  // Of "<|channel>thought" only the first part is a token of its own.
  marks.push_back(style.reasoning.open.substr(0, style.reasoning.open.find('>') + 1));
  if (!style.tools.empty() || style.format->structural)
    marks.insert(marks.end(), style.format->marks.begin(), style.format->marks.end());
  std::vector<int32_t> shown;
  for (std::string_view mark : marks) {
    const Result<std::vector<int32_t>> tokens = model.Tokenize(mark, {});
    if (tokens.ok() && tokens->size() == 1 && model.Detokenize(*tokens, false).empty())
      shown.push_back(tokens->front());
  }
  return shown;
}

void SetEffort(const std::string& effort, Json* variables) {
  if (effort.empty()) return;
  if (!variables->contains("reasoning_effort")) (*variables)["reasoning_effort"] = effort;
  if (effort == "none" && !variables->contains("enable_thinking"))
    (*variables)["enable_thinking"] = false;
}

Json ReadTemplateVariables(JsonFields& fields) {
  const Json* given = fields.Get("chat_template_kwargs");
  const std::string effort = fields.String("reasoning_effort", "");
  Json variables = Json::object();
  if (given != nullptr && !given->is_object())
    fields.Fail("chat_template_kwargs", "must be an object");
  else if (given != nullptr)
    variables = *given;
  SetEffort(effort, &variables);
  return variables;
}

Result<ChatSetup> SetUpChat(const ModelCall& call, const Json& messages, const ToolParams& tools,
                            const std::optional<GrammarSpec>& grammar, const Json* variables,
                            CompletionParams* params) {
  if (tools.offered() && grammar.has_value())
    return Status(ErrorCode::kUnsupported, "response_format: not beside tools that may be called",
                  "response_format", "set tool_choice to none, or leave one of them out");
  const Model& model = *call.served->model;
  LULL_ASSIGN_OR_RETURN(
      ChatPrompt prompt,
      MakeChatPrompt(model, messages, tools.offered() ? tools.tools : std::vector<Tool>(),
                     variables));
  if (grammar.has_value()) {
    params->new_constraint = Compiled(call.served, *grammar);
  } else {
    LULL_ASSIGN_OR_RETURN(params->new_constraint, ToolConstraint(call.served, tools, prompt));
  }
  const bool required = tools.offered() && tools.choice == ToolParams::Choice::kRequired;
  ChatSetup setup;
  setup.style = StyleOf(model, tools, grammar.has_value() || required, &prompt);
  params->request.shown_tokens = ShownTokens(model, setup.style);
  LULL_ASSIGN_OR_RETURN(setup.tokens, model.TokenizePrompt(prompt.text));
  return setup;
}

}  // namespace lull
