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
                                        const std::vector<Tool>& tools, bool marks) {
  const NewConstraintFn constraint = [served, tools, marks] {
    return NewCallConstraint(served, tools, marks);
  };
  const bool strict =
      std::any_of(tools.begin(), tools.end(), [](const Tool& tool) { return tool.strict; });
  const auto probe = constraint();
  if (probe.ok()) return constraint;
  if (strict) return probe.error();
  return NewConstraintFn();
}

}  // namespace

Result<NewConstraintFn> ToolConstraint(const ServedModelPtr& served, const ToolParams& tools,
                                       bool marks) {
  if (!tools.offered()) return NewConstraintFn();
  if (tools.choice != ToolParams::Choice::kRequired)
    return ForOfferedTools(served, tools.tools, marks);
  LULL_ASSIGN_OR_RETURN(const GrammarSpec calls, CallGrammar(tools.tools, marks));
  return Compiled(served, calls);
}

Result<std::vector<int32_t>> SetUpChat(const ModelCall& call, const Json& messages,
                                       const ToolParams& tools,
                                       const std::optional<GrammarSpec>& grammar,
                                       const Json* variables, CompletionParams* params) {
  if (tools.offered() && grammar.has_value())
    return Status(ErrorCode::kUnsupported, "response_format: not beside tools that may be called",
                  "response_format", "set tool_choice to none, or leave one of them out");
  const Model& model = *call.served->model;
  LULL_ASSIGN_OR_RETURN(
      const ChatPrompt prompt,
      MakeChatPrompt(model, messages, tools.offered() ? tools.tools : std::vector<Tool>(),
                     variables));
  if (grammar.has_value()) {
    params->new_constraint = Compiled(call.served, *grammar);
  } else {
    LULL_ASSIGN_OR_RETURN(params->new_constraint,
                          ToolConstraint(call.served, tools, prompt.marks_calls));
  }
  return model.TokenizePrompt(prompt.text);
}

}  // namespace lull
