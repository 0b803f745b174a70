// libFuzzer target: a template, and after a NUL the JSON of the messages.
// Built by the preset "fuzz".
//   build/fuzz/chat_template_fuzz -max_len=4096 CORPUS_FOLDER
#include <cstdint>
#include <string>

#include "chat/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t split = text.find('\0');
  lull::TemplateLimits limits;
  limits.max_steps = 20'000;
  limits.max_output_bytes = 1 << 16;
  const auto parsed = lull::ChatTemplate::Parse(text.substr(0, split), limits);
  if (!parsed.ok()) return 0;
  lull::TemplateInput input;
  input.messages_json = split == std::string::npos
                            ? R"([{"role":"user","content":"Hé","n":[1,2.5,null,{"a":true}]}])"
                            : text.substr(split + 1);
  input.extra_json = R"({"tools":[{"name":"f","parameters":{"x":1}}],"n":3,"s":"text"})";
  input.bos_token = "<s>";
  (void)(*parsed)->Render(input);
  return 0;
}
