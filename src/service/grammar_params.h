// The fields that say what an answer must look like, to a grammar.
#pragma once

#include <optional>

#include "lull/grammar.h"
#include "service/json_request.h"

namespace lull {

// OpenAI's response_format ({"type": "text" | "json_object" | "json_schema" | "regex" | "choice"}),
// vLLM's structured_outputs ({"json" | "regex" | "choice" | "json_object": ...}) and guided_json,
// guided_regex, guided_choice. At most one of them; anything else fails by name.
std::optional<GrammarSpec> ReadGrammar(JsonFields& fields);

// The part that /v1/responses shares: {"type": ...}. json_schema's own fields stand in `schema_at`:
// null for the format itself. Fails field `name`.
std::optional<GrammarSpec> ReadFormat(JsonFields& fields, const char* name, const Json& format,
                                      const char* schema_at);

}  // namespace lull
