// One file to disk: continued where it broke off, checked, and only then visible.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "lull/status.h"
#include "store/content_key.h"
#include "store/http.h"

namespace lull {

struct FetchOptions {
  HttpLimits http;
  int attempts = 6;               // in a row that bring nothing
  int64_t backoff_ms = 500;       // before the second attempt; twice that before the third, ...
  int64_t max_wait_ms = 120'000;  // a server that asks for more is an error
};

struct FetchTarget {
  std::string url;
  std::string token;  // for the host of url alone; "": none
  ContentKey key;
  uint64_t bytes = 0;        // 0: not known
  std::string path;          // where it appears
  std::string partial_path;  // on the same file system
};

// Bytes done and in total (0 where unknown), about ten times a second; note says what is waited
// for, "" while bytes move. False: give up.
using FetchProgressFn =
    std::function<bool(const std::string& note, uint64_t done_bytes, uint64_t total_bytes)>;

// Nothing to do where path is there. Waits while another process or thread fetches the same file.
// Answers of 408, 425, 429 and 5xx, lines that break or stall, and short answers are tried again
// with waits that grow (Retry-After is kept to); what is there is continued by range, and begun
// anew where the server does not honour that or the file there has changed. Bytes of another key
// are fetched once more from the start, then kInvalidInput, and nothing is left of them.
// kCancelled where progress gave up: the partial file stays for the next time, as after kIo.
Status FetchFile(HttpClient& http, const FetchTarget& target, const FetchOptions& options,
                 const FetchProgressFn& progress);

// An answer of text, at most max_bytes, under the same rules for trying again. head: of the answer
// where not null. kNotFound for 404; kUsage for 401 and 403, which ask for a token.
Result<std::string> FetchText(HttpClient& http, const std::string& url, const std::string& token,
                              size_t max_bytes, const FetchOptions& options, HttpAnswer* head,
                              const FetchProgressFn& progress);

}  // namespace lull
