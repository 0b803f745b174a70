#include "service/answer/call_reader.h"

#include <algorithm>

namespace lull {

SectionParser::SectionParser(std::string_view open, std::vector<std::string_view> drop,
                             std::unique_ptr<CallReader> reader, PieceSink sink)
    : open_(open), drop_(std::move(drop)), reader_(std::move(reader)), sink_(std::move(sink)) {}

void SectionParser::Push(const std::string& text, std::vector<ToolPiece>* out) {
  sink_.set_out(out);
  buffer_ += text;
  while (Step()) {
  }
}

void SectionParser::Finish(std::vector<ToolPiece>* out) {
  sink_.set_out(out);
  while (Step()) {
  }
  if (in_section_) {
    reader_->End(&buffer_, &sink_);
    if (sink_.calls() == calls_before_) sink_.Text(open_);
  }
  if (!sink_.full() && !(in_section_ && IsBlank(buffer_))) sink_.Text(buffer_);
  buffer_.clear();
}

bool SectionParser::Step() {
  if (in_section_) return StepSection();
  if (sink_.full()) {
    buffer_.clear();
    return false;
  }
  return StepText();
}

bool SectionParser::StepText() {
  size_t first = buffer_.find(open_), held = HeldBack(buffer_, open_);
  std::string_view mark = open_;
  for (std::string_view drop : drop_) {
    held = std::max(held, HeldBack(buffer_, drop));
    const size_t at = buffer_.find(drop);
    if (at < first) first = at, mark = drop;
  }
  if (first == std::string::npos) {
    const size_t sure = buffer_.size() - held;
    sink_.Text(std::string_view(buffer_).substr(0, sure));
    buffer_.erase(0, sure);
    return false;
  }
  sink_.Text(std::string_view(buffer_).substr(0, first));
  buffer_.erase(0, first + mark.size());
  if (mark != open_) return true;
  in_section_ = true;
  calls_before_ = sink_.calls();
  reader_->Open();
  return true;
}

bool SectionParser::StepSection() {
  switch (reader_->Read(&buffer_, &sink_)) {
    case CallReader::Step::kMore:
      return false;
    case CallReader::Step::kAgain:
      return true;
    case CallReader::Step::kDone:
      sink_.EndText();
      break;
    case CallReader::Step::kNo:
      if (sink_.calls() == calls_before_) sink_.Text(open_);
      break;
  }
  in_section_ = false;
  return true;
}

}  // namespace lull
