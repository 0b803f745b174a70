#include "service/receipt.h"

#include <algorithm>

namespace lull {

Json Receipt(const std::string& request_id, const RequestStats& stats) {
  return {{"request_id", request_id},
          {"queue_ms", stats.queue_ms},
          {"prefill_ms", stats.prefill_ms},
          {"decode_ms", stats.decode_ms},
          {"throttled_ms", stats.throttled_ms},
          {"cpu_ms", stats.cpu_ms},
          {"bytes_moved", stats.bytes_moved},
          {"kv_bytes", stats.kv_bytes},
          {"cached_tokens", stats.cached_tokens}};
}

RequestStats TotalOf(const std::vector<RequestStats>& parts) {
  RequestStats total;
  for (const RequestStats& part : parts) {
    total.prompt_tokens += part.prompt_tokens;
    total.new_tokens += part.new_tokens;
    total.queue_ms = std::max(total.queue_ms, part.queue_ms);
    total.prefill_ms = std::max(total.prefill_ms, part.prefill_ms);
    total.decode_ms = std::max(total.decode_ms, part.decode_ms);
    total.cpu_ms += part.cpu_ms;
    total.throttled_ms = std::max(total.throttled_ms, part.throttled_ms);
    total.bytes_moved += part.bytes_moved;
    total.kv_bytes += part.kv_bytes;
    total.cached_tokens += part.cached_tokens;
  }
  return total;
}

}  // namespace lull
