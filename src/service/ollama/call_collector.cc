#include "service/ollama/call_collector.h"

#include "service/generation.h"

namespace lull {

void CallCollector::Push(const std::string& text, std::string* content, Json* calls) {
  if (!parser_.has_value()) {
    *content += text;
    return;
  }
  std::vector<ToolPiece> pieces;
  parser_->Push(text, &pieces);
  Take(pieces, content, calls);
}

void CallCollector::Finish(std::string* content, Json* calls) {
  if (!parser_.has_value()) return;
  std::vector<ToolPiece> pieces;
  parser_->Finish(&pieces);
  Take(pieces, content, calls);
  GiveUp(content);
}

void CallCollector::Take(const std::vector<ToolPiece>& pieces, std::string* content, Json* calls) {
  for (const ToolPiece& piece : pieces) {
    if (piece.kind == ToolPiece::Kind::kText) {
      *content += piece.text;
    } else if (piece.kind == ToolPiece::Kind::kBegin) {
      GiveUp(content);
      open_ = ToolCall{piece.text, ""};
    } else if (open_.has_value()) {
      open_->arguments += piece.text;
      Close(piece.call, calls);
    }
  }
}

// The call, once its arguments are complete.
void CallCollector::Close(int index, Json* calls) {
  if (!open_->arguments.ends_with('}')) return;
  const Result<Json> arguments = ParseJson(open_->arguments);
  if (!arguments.ok()) return;
  calls->push_back(
      {{"function", {{"index", index}, {"name", open_->name}, {"arguments", *arguments}}}});
  open_.reset();
}

void CallCollector::GiveUp(std::string* content) {
  if (!open_.has_value()) return;
  *content += "{\"name\": " + Dump(open_->name) + ", \"arguments\": " + open_->arguments;
  open_.reset();
}

}  // namespace lull
