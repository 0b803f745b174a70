#include "service/answer/answer_parser.h"

#include <algorithm>

namespace lull {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

}  // namespace

size_t HeldBack(std::string_view text, std::string_view mark) {
  if (mark.empty()) return 0;
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n)
    if (mark.starts_with(text.substr(text.size() - n))) return n;
  return 0;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(kSpaces) == std::string_view::npos;
}

std::string_view Stripped(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

Found FindAt(std::string_view text, size_t at, std::string_view mark) {
  const std::string_view rest = text.substr(std::min(at, text.size()));
  if (rest.starts_with(mark)) return Found::kYes;
  return mark.starts_with(rest) ? Found::kMore : Found::kNo;
}

size_t SkipSpaces(std::string_view text, size_t at) {
  const size_t next = text.find_first_not_of(kSpaces, at);
  return next == std::string_view::npos ? text.size() : next;
}

const Tool* PieceSink::Find(std::string_view name) const {
  const auto it = std::find_if(tools_.begin(), tools_.end(),
                               [&](const Tool& tool) { return tool.name == name; });
  return it == tools_.end() ? nullptr : &*it;
}

void PieceSink::Text(std::string_view text) {
  if (!any_text_) text.remove_prefix(SkipSpaces(text, 0));
  if (text.empty()) return;
  any_text_ = true;
  out_->push_back({ToolPiece::Kind::kText, std::string(text), -1});
}

void PieceSink::Reasoning(std::string_view text) {
  if (!text.empty()) out_->push_back({ToolPiece::Kind::kReasoning, std::string(text), -1});
}

void PieceSink::Begin(std::string_view name) {
  out_->push_back({ToolPiece::Kind::kBegin, std::string(name), calls_++});
}

void PieceSink::Arguments(std::string_view text) {
  if (!text.empty()) out_->push_back({ToolPiece::Kind::kArguments, std::string(text), calls_ - 1});
}

}  // namespace lull
