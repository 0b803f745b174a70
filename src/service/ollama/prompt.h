// A conversation as clients send it, made a prompt by the model's own template.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lull/model.h"
#include "service/json_request.h"

namespace lull {

// Checks an array of messages and makes every content a string: the text parts of an array joined,
// "" for null or none. Errors name the message.
Status NormalizeMessages(Json* messages);

// The tokens of normalized messages and an opened answer. variables: an object of what else the
// template may use (tools, enable_thinking, ...), or null.
Result<std::vector<int32_t>> ChatPromptTokens(const Model& model, const Json& messages,
                                              const Json& variables);

}  // namespace lull
