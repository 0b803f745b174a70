// Any text as a model's answer, in pieces whose size the first byte gives, in the
// format that the second names.
#include <cstdint>

#include "service/ollama/call_collector.h"
#include "service/tool_calls.h"

namespace {

// Ollama's calls have an offered name and an object of arguments.
void CheckCollected(const std::string& text, size_t piece, size_t format) {
  lull::AnswerStyle style;
  const auto& formats = lull::AllFormats();
  style.format = &formats[format % formats.size()];
  if (format >= formats.size()) style.reasoning = {"<think>", "</think>"};
  style.tools.resize(2);
  style.tools[0].name = "f";
  style.tools[1].name = "g";
  style.max_calls = 8;
  lull::CallCollector collector(style);
  lull::OllamaText out;
  for (size_t at = 0; at < text.size(); at += piece) collector.Push(text.substr(at, piece), &out);
  collector.Finish(&out);
  const lull::Json& calls = out.calls;
  if (calls.size() > 8) __builtin_trap();
  for (const lull::Json& call : calls) {
    const lull::Json& function = call["function"];
    const bool offered = function["name"] == "f" || function["name"] == "g";
    if (!offered || !function["arguments"].is_object()) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = 1 + data[0] % 16;
  const std::string text(reinterpret_cast<const char*>(data + 2), size - 2);
  lull::ToolCallParser parser({"f", "g"}, 8);
  std::vector<lull::ToolPiece> pieces;
  for (size_t at = 0; at < text.size(); at += piece) parser.Push(text.substr(at, piece), &pieces);
  parser.Finish(&pieces);
  for (const lull::ToolPiece& one : pieces)
    if (one.kind != lull::ToolPiece::Kind::kText && one.call >= parser.calls()) __builtin_trap();
  CheckCollected(text, piece, data[1] % 64);
  return 0;
}
