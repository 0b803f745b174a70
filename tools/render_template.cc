// Renders chat templates from JSON lines: {"template", "messages", "extra", "add_generation_prompt",
// "bos_token", "eos_token", "now"} in, {"text"} or {"error"} out. The oracle's other side
// (tools/compare_templates.py).
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "chat/chat_template.h"

namespace {

using nlohmann::ordered_json;

lull::Result<std::string> Render(const ordered_json& job) {
  lull::TemplateInput input;
  input.messages_json = job.at("messages").dump();
  if (job.contains("extra")) input.extra_json = job.at("extra").dump();
  input.add_generation_prompt = job.value("add_generation_prompt", true);
  input.bos_token = job.value("bos_token", "");
  input.eos_token = job.value("eos_token", "");
  input.now_unix_s = job.value("now", int64_t{0});
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<lull::ChatTemplate> parsed,
                        lull::ChatTemplate::Parse(job.at("template").get<std::string>()));
  return parsed->Render(input);
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const ordered_json job = ordered_json::parse(line, nullptr, false);
    if (job.is_discarded() || !job.is_object() || !job.contains("messages") ||
        !job.contains("template")) {
      std::cerr << "render_template: not a job: " << line.substr(0, 80) << "\n";
      return 2;
    }
    const lull::Result<std::string> text = Render(job);
    ordered_json answer;
    if (text.ok()) {
      answer["text"] = *text;
    } else {
      answer["error"] = text.status().ToString();
    }
    std::cout << answer.dump() << "\n";
  }
  return 0;
}
