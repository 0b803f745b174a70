#include "service/status_map.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "service/json_request.h"

namespace lull {

int HttpStatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk:
      return 200;
    case ErrorCode::kUsage:
    case ErrorCode::kInvalidInput:
    case ErrorCode::kUnsupported:
    case ErrorCode::kContextOverflow:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kBusy:
      return 429;
    case ErrorCode::kDeadlineExceeded:
      return 504;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kBudgetImpossible:
      return 503;
    default:
      return 500;
  }
}

namespace {

// Whole seconds, as HTTP has them; what was not estimated is worth a try after one.
int RetryAfterSeconds(const Error& error) {
  return static_cast<int>(std::ceil(std::clamp(error.retry_after_s, 1.0, 3600.0)));
}

// The one code by which clients of OpenAI's API know what to do: shorten the conversation.
const char* CodeOnTheWire(ErrorCode code) {
  return code == ErrorCode::kContextOverflow ? "context_length_exceeded" : ErrorCodeName(code);
}

}  // namespace

HttpResponse ErrorResponse(const Error& error) {
  HttpResponse response;
  response.status = HttpStatusOf(error.code);
  std::string message = error.message;
  if (!error.hint.empty()) message += " (" + error.hint + ")";
  const char* type = response.status == 429  ? "rate_limit_error"
                     : response.status < 500 ? "invalid_request_error"
                                             : "server_error";
  const Json body = {{"error",
                      {{"message", message},
                       {"type", type},
                       {"param", error.where.empty() ? Json(nullptr) : Json(error.where)},
                       {"code", CodeOnTheWire(error.code)}}}};
  response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (response.status == 429 || response.status == 503)
    response.headers.push_back({"Retry-After", std::to_string(RetryAfterSeconds(error))});
  return response;
}

}  // namespace lull
