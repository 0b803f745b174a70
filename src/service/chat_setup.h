// What chat and responses have in common: from messages, tools and a format to a prompt and to
// what its answer is held to.
#pragma once

#include <optional>
#include <vector>

#include "service/completion_params.h"
#include "service/tool_params.h"

namespace lull {

// The prompt's tokens. Sets params->new_constraint where a grammar, tools that must be called or
// tools whose arguments can be held to their schemas ask for it.
Result<std::vector<int32_t>> SetUpChat(const ModelCall& call, const Json& messages,
                                       const ToolParams& tools,
                                       const std::optional<GrammarSpec>& grammar,
                                       const Json* variables, CompletionParams* params);

// What holds an answer's calls to the schemas of their tools; null where nothing does. marks: of
// the prompt.
Result<CompletionParams::NewConstraintFn> ToolConstraint(const ServedModelPtr& served,
                                                         const ToolParams& tools, bool marks);

}  // namespace lull
