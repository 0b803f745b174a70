// The chat templates that model files carry: the Jinja that real files use, interpreted with limits
// on steps, depth and output. Renders exactly as Hugging Face's transformers sets up Python's
// jinja2 (trim_blocks, lstrip_blocks, loopcontrols, tojson without HTML escaping, strftime_now,
// raise_exception). Immutable after Parse, thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/exec_context.h"
#include "lull/status.h"

namespace lull {

struct TemplateLimits {
  int64_t max_steps = 500'000;
  int max_depth = 64;
  int64_t max_output_bytes = 4 << 20;
  int64_t max_range = 100'000;
};

struct TemplateInput {
  std::string messages_json;  // array of message objects
  std::string extra_json;     // object with further variables, or ""
  bool add_generation_prompt = true;
  std::string bos_token;
  std::string eos_token;
  int64_t now_unix_s = 0;  // injected clock for strftime_now (UTC)
};

class ChatTemplate {
 public:
  // Both checkpoint ctx.
  static Result<std::unique_ptr<ChatTemplate>> Parse(const std::string& source,
                                                     const TemplateLimits& limits = {},
                                                     const ExecContext& ctx = ExecContext());
  ~ChatTemplate();
  Result<std::string> Render(const TemplateInput& input,
                             const ExecContext& ctx = ExecContext()) const;

 private:
  struct Rep;
  explicit ChatTemplate(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
