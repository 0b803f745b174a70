#include "service/ollama/call_collector.h"

#include "service/generation.h"

namespace lull {

void CallCollector::Push(const std::string& text, OllamaText* out) {
  std::vector<ToolPiece> pieces;
  parser_->Push(text, &pieces);
  Take(pieces, out);
}

void CallCollector::Finish(OllamaText* out) {
  std::vector<ToolPiece> pieces;
  parser_->Finish(&pieces);
  Take(pieces, out);
  GiveUp(&out->content);
}

void CallCollector::Take(const std::vector<ToolPiece>& pieces, OllamaText* out) {
  for (const ToolPiece& piece : pieces) {
    switch (piece.kind) {
      case ToolPiece::Kind::kText:
        out->content += piece.text;
        break;
      case ToolPiece::Kind::kReasoning:
        out->thinking += piece.text;
        break;
      case ToolPiece::Kind::kBegin:
        GiveUp(&out->content);
        open_ = ToolCall{piece.text, ""};
        break;
      case ToolPiece::Kind::kArguments:
        if (!open_.has_value()) break;
        open_->arguments += piece.text;
        Close(piece.call, &out->calls);
        break;
    }
  }
}

// The call, once its arguments are complete.
void CallCollector::Close(int index, Json* calls) {
  if (!open_->arguments.ends_with('}')) return;
  const Result<Json> arguments = ParseJson(open_->arguments);
  if (!arguments.ok()) return;
  calls->push_back(
      {{"id", NextId("call_")},
       {"function", {{"index", index}, {"name", open_->name}, {"arguments", *arguments}}}});
  open_.reset();
}

void CallCollector::GiveUp(std::string* content) {
  if (!open_.has_value()) return;
  *content += "{\"name\": " + Dump(open_->name) + ", \"arguments\": " + open_->arguments;
  open_.reset();
}

}  // namespace lull
