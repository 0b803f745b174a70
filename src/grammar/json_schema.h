// JSON Schema to rules.
#pragma once

#include <cstdint>
#include <string_view>

#include "grammar/automaton.h"
#include "lull/status.h"

namespace lull::grammar {

// The rule of the JSON texts that satisfy the schema. A keyword that is not understood, or not in
// this combination, is kUnsupported naming it and its path; a schema that makes no sense is
// kInvalidInput.
Result<int32_t> BuildJsonSchema(AutomatonBuilder* builder, std::string_view schema_json);

}  // namespace lull::grammar
