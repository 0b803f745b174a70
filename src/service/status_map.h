// Error codes to HTTP, in one place.
#pragma once

#include "lull/status.h"
#include "service/http/message.h"

namespace lull {

int HttpStatusOf(ErrorCode code);
// OpenAI's error body; 429 and 503 carry Retry-After.
HttpResponse ErrorResponse(const Error& error);

}  // namespace lull
