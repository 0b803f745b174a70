#include "cli/answer_printer.h"

#include <cstdio>
#include <utility>

#include "base/os/os.h"

namespace lull {
namespace {

void Print(FILE* stream, const std::string& text) {
  fwrite(text.data(), 1, text.size(), stream);
  fflush(stream);
}

}  // namespace

AnswerPrinter::AnswerPrinter(const Model& model, ChatPrompt prompt, bool print)
    : print_(print), dim_(os::IsTerminal(2)) {
  const AnswerStyle style = StyleOf(model, {}, /*held=*/false, &prompt);
  shown_tokens_ = ShownTokens(model, style);
  parser_ = NewAnswerParser(style);
}

void AnswerPrinter::Push(const std::string& text) {
  std::vector<ToolPiece> pieces;
  parser_->Push(text, &pieces);
  Take(pieces);
}

void AnswerPrinter::Finish() {
  std::vector<ToolPiece> pieces;
  parser_->Finish(&pieces);
  Take(pieces);
}

void AnswerPrinter::Take(const std::vector<ToolPiece>& pieces) {
  for (const ToolPiece& piece : pieces) {
    if (piece.kind == ToolPiece::Kind::kReasoning) {
      reasoning_ += piece.text;
      if (print_) Print(stderr, dim_ ? "\x1b[2m" + piece.text + "\x1b[0m" : piece.text);
    } else {
      if (print_ && content_.empty() && !reasoning_.empty()) Print(stderr, "\n\n");
      content_ += piece.text;
      if (print_) Print(stdout, piece.text);
    }
  }
}

}  // namespace lull
