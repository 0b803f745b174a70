// What chat and responses have in common: from messages, tools and a format to a prompt and to
// what its answer is held to.
#pragma once

#include <optional>
#include <vector>

#include "service/answer/answer_format.h"
#include "service/completion_params.h"
#include "service/tool_params.h"

namespace lull {

struct ChatSetup {
  std::vector<int32_t> tokens;
  AnswerStyle style;
};

// The prompt's tokens, and how its answer is to be read. Sets params->new_constraint where a
// grammar, tools that must be called or tools whose arguments can be held to their schemas ask for
// it.
Result<ChatSetup> SetUpChat(const ModelCall& call, const Json& messages, const ToolParams& tools,
                            const std::optional<GrammarSpec>& grammar, const Json* variables,
                            CompletionParams* params);

// How the answer to prompt is to be read. held: a grammar holds all of it, so there is no room for
// reasoning or marks in front; the prompt's text is then brought to where plain text begins.
AnswerStyle StyleOf(const Model& model, const ToolParams& tools, bool held, ChatPrompt* prompt);

// The control tokens that are marks of this style.
std::vector<int32_t> ShownTokens(const Model& model, const AnswerStyle& style);

// What holds an answer's calls to the schemas of their tools; null where nothing does.
Result<CompletionParams::NewConstraintFn> ToolConstraint(const ServedModelPtr& served,
                                                         const ToolParams& tools,
                                                         const ChatPrompt& prompt);

// `chat_template_kwargs` and `reasoning_effort`, as the template's variables.
Json ReadTemplateVariables(JsonFields& fields);
// "none" turns thinking off.
void SetEffort(const std::string& effort, Json* variables);

}  // namespace lull
