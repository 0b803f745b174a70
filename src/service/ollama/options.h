// Ollama's request parameters, as the engine takes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "service/answer/answer_format.h"
#include "service/endpoint.h"
#include "service/json_request.h"
#include "service/tool_params.h"

namespace lull {

// What chat and generate have in common. A field's meaning, and what is done with those that
// Lull has no use for: docs/design/ollama.md.
struct OllamaParams {
  std::string model;  // as the client wrote it; answers repeat it
  std::optional<int64_t> keep_alive_ms;
  Request request;      // without the prompt; max_new_tokens 0: as many as the context holds
  int64_t num_ctx = 0;  // 0: what the server has
  bool stream = true;
  bool truncate = true;  // drop old messages where the context is too small for all
  bool logprobs = false;
  int top_logprobs = 0;
  ToolParams tools;  // of chat, which reads them itself
  Json format;       // null: any text; "json"; else a schema
  std::optional<bool> think;
  std::string think_level;  // "low", "medium", ...; "": none was given
  AnswerStyle style;        // how the answer is to be read, once the prompt is made
};

// The first error stays in fields.
OllamaParams ReadOllamaParams(const Service& service, JsonFields& fields);

// Tokens that prompt and answer may have together.
int64_t ContextTokens(const OllamaParams& params, const Engine& engine);

}  // namespace lull
