// Any text as a model's answer, in pieces whose size the first byte gives.
#include <cstdint>

#include "service/ollama/call_collector.h"
#include "service/tool_calls.h"

namespace {

// Ollama's calls have an offered name and an object of arguments.
void CheckCollected(const std::string& text, size_t piece) {
  lull::ToolParams tools;
  tools.tools.resize(2);
  tools.tools[0].name = "f";
  tools.tools[1].name = "g";
  tools.max_calls = 8;
  lull::CallCollector collector(tools);
  std::string content;
  lull::Json calls = lull::Json::array();
  for (size_t at = 0; at < text.size(); at += piece)
    collector.Push(text.substr(at, piece), &content, &calls);
  collector.Finish(&content, &calls);
  if (calls.size() > 8) __builtin_trap();
  for (const lull::Json& call : calls) {
    const lull::Json& function = call["function"];
    const bool offered = function["name"] == "f" || function["name"] == "g";
    if (!offered || !function["arguments"].is_object()) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 16;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  lull::ToolCallParser parser({"f", "g"}, 8);
  std::vector<lull::ToolPiece> pieces;
  for (size_t at = 0; at < text.size(); at += piece) parser.Push(text.substr(at, piece), &pieces);
  parser.Finish(&pieces);
  for (const lull::ToolPiece& one : pieces)
    if (one.kind != lull::ToolPiece::Kind::kText && one.call >= parser.calls()) __builtin_trap();
  CheckCollected(text, piece);
  return 0;
}
