#include "lull/status.h"

namespace lull {

const char* ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk:
      return "ok";
    case ErrorCode::kUsage:
      return "usage";
    case ErrorCode::kInvalidInput:
      return "invalid_input";
    case ErrorCode::kInvalidModel:
      return "invalid_model";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kContextOverflow:
      return "context_overflow";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kBudgetImpossible:
      return "budget_impossible";
    case ErrorCode::kBusy:
      return "busy";
    case ErrorCode::kDeadlineExceeded:
      return "deadline_exceeded";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  std::string text = ErrorCodeName(error_.code);
  text += ": " + error_.message;
  if (!error_.where.empty()) text += " (at " + error_.where + ")";
  if (!error_.hint.empty()) text += "; " + error_.hint;
  return text;
}

}  // namespace lull
