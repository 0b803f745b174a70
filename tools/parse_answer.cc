// parse_answer < jobs: takes answers of models apart, one JSON object a line:
// {"template", "prompt", "answer", "tools"} in; {"format", "content", "reasoning", "calls"} out, or
// {"format", "error"} where pieces of other sizes give something else.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "service/answer/answer_format.h"

namespace {

using nlohmann::ordered_json;

struct Parsed {
  std::string content, reasoning;
  ordered_json calls = ordered_json::array();
  bool operator==(const Parsed&) const = default;
};

Parsed Parse(const lull::AnswerStyle& style, const std::string& answer, size_t piece) {
  const auto parser = lull::NewAnswerParser(style);
  std::vector<lull::ToolPiece> pieces;
  for (size_t at = 0; at < answer.size(); at += piece)
    parser->Push(answer.substr(at, piece), &pieces);
  parser->Finish(&pieces);
  Parsed parsed;
  for (const lull::ToolPiece& one : pieces) {
    if (one.kind == lull::ToolPiece::Kind::kText) parsed.content += one.text;
    if (one.kind == lull::ToolPiece::Kind::kReasoning) parsed.reasoning += one.text;
    if (one.kind == lull::ToolPiece::Kind::kBegin)
      parsed.calls.push_back({{"name", one.text}, {"arguments", ""}});
    if (one.kind == lull::ToolPiece::Kind::kArguments)
      parsed.calls.back()["arguments"].get_ref<std::string&>() += one.text;
  }
  return parsed;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const ordered_json job = ordered_json::parse(line, nullptr, false);
    if (job.is_discarded()) return 2;
    const std::string text = job.at("template"), prompt = job.at("prompt"),
                      answer = job.at("answer");
    lull::AnswerStyle style;
    style.format = &lull::FormatOf(text);
    style.reasoning = lull::ReasoningOf(text);
    style.in_reasoning = lull::EndsInReasoning(prompt, style.reasoning);
    style.max_calls = 100;
    for (const auto& tool : job.at("tools")) {
      lull::Tool one;
      one.name = tool.at("function").at("name");
      one.parameters = lull::Json::parse(tool.at("function").at("parameters").dump());
      style.tools.push_back(std::move(one));
    }
    const Parsed whole = Parse(style, answer, answer.size() + 1);
    ordered_json out = {{"format", style.format->name},
                        {"content", whole.content},
                        {"reasoning", whole.reasoning},
                        {"calls", whole.calls}};
    for (const size_t piece : {1, 2, 3, 5, 7, 11, 23, 61}) {
      const Parsed other = Parse(style, answer, piece);
      if (!(other == whole)) {
        out["error"] = "in pieces of " + std::to_string(piece) + ": " + other.content + " | " +
                       other.reasoning + " | " + other.calls.dump();
        break;
      }
    }
    std::cout << out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
  }
  return 0;
}
