#include "grammar/json_schema.h"

namespace lull::grammar {

Result<int32_t> BuildJsonSchema(AutomatonBuilder*, std::string_view) {
  return Status(ErrorCode::kUnsupported, "JSON Schema is not implemented", "json_schema");
}

}  // namespace lull::grammar
