// Any text as a model's answer, in pieces whose size the first byte gives.
#include <cstdint>

#include "service/tool_calls.h"

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
  return 0;
}
