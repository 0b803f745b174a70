#include "store/download.h"

#include <curl/curl.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/os/os.h"
#include "base/sha256.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

constexpr int kAttempts = 5;
constexpr int64_t kProgressPeriodNs = 100'000'000;

struct FileCloser {
  void operator()(FILE* file) const { fclose(file); }
};
struct CurlCloser {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

struct Transfer {
  CURL* curl = nullptr;
  std::unique_ptr<FILE, FileCloser> file;
  std::string partial_path;
  uint64_t start_bytes = 0;  // what the partial file held
  bool checked_range = false;
  bool write_failed = false;
  bool given_up = false;
  const ProgressFn* progress = nullptr;
  int64_t last_progress_ns = 0;
};

// A server that ignores the range answers 200 with the whole file: start over.
bool RestartUnlessPartial(Transfer& transfer) {
  transfer.checked_range = true;
  long code = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &code);
  if (transfer.start_bytes == 0 || code == 206) return true;
  transfer.start_bytes = 0;
  transfer.file.reset(fopen(transfer.partial_path.c_str(), "wb"));
  return transfer.file != nullptr;
}

size_t OnData(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (!transfer.checked_range && !RestartUnlessPartial(transfer)) transfer.write_failed = true;
  if (!transfer.write_failed && fwrite(data, 1, bytes, transfer.file.get()) != bytes)
    transfer.write_failed = true;
  return transfer.write_failed ? 0 : bytes;
}

int OnProgress(void* user, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const int64_t now_ns = os::MonotonicNs();
  if (!*transfer.progress || now_ns - transfer.last_progress_ns < kProgressPeriodNs) return 0;
  transfer.last_progress_ns = now_ns;
  const uint64_t total_bytes = total > 0 ? transfer.start_bytes + static_cast<uint64_t>(total) : 0;
  transfer.given_up =
      !(*transfer.progress)(transfer.start_bytes + static_cast<uint64_t>(now), total_bytes);
  return transfer.given_up ? 1 : 0;
}

enum class Outcome { kDone, kRetry, kFailed };

Outcome TransferOnce(const std::string& url, Transfer& transfer, std::string* reason) {
  std::error_code ec;
  const uint64_t have = fs::file_size(transfer.partial_path, ec);
  transfer.start_bytes = ec ? 0 : have;
  transfer.checked_range = false;
  transfer.file.reset(fopen(transfer.partial_path.c_str(), "ab"));
  if (transfer.file == nullptr) {
    *reason = "cannot write " + transfer.partial_path;
    return Outcome::kFailed;
  }
  std::unique_ptr<CURL, CurlCloser> curl(curl_easy_init());
  if (curl == nullptr) {
    *reason = "cannot start a transfer";
    return Outcome::kFailed;
  }
  transfer.curl = curl.get();
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 20L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1024L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, 30L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, OnData);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
  // Not CURLOPT_RESUME_FROM: with it curl itself refuses a server that ignores ranges.
  const std::string range = std::to_string(transfer.start_bytes) + "-";
  if (transfer.start_bytes > 0 && url.rfind("http", 0) == 0)
    curl_easy_setopt(curl.get(), CURLOPT_RANGE, range.c_str());
  const CURLcode rc = curl_easy_perform(curl.get());
  long code = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  const bool flushed = transfer.file == nullptr || fflush(transfer.file.get()) == 0;
  transfer.file.reset();
  if (rc == CURLE_OK && flushed) return Outcome::kDone;
  if (code == 416) return Outcome::kDone;  // nothing left to fetch: the hash decides
  if (transfer.write_failed || !flushed) {
    *reason = "cannot write " + transfer.partial_path + " (disk full?)";
    return Outcome::kFailed;
  }
  if (transfer.given_up) return Outcome::kFailed;
  *reason =
      std::string(curl_easy_strerror(rc)) + (code > 0 ? ", HTTP " + std::to_string(code) : "");
  const bool permanent = code >= 400 && code < 500 && code != 408 && code != 429;
  return permanent ? Outcome::kFailed : Outcome::kRetry;
}

}  // namespace

Status DownloadFile(const std::string& url, const std::string& sha256, const std::string& path,
                    const ProgressFn& progress) {
  static const CURLcode init = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)init;
  Transfer transfer;
  transfer.partial_path = path + ".partial";
  transfer.progress = &progress;
  std::string reason;
  Outcome outcome = Outcome::kRetry;
  for (int attempt = 0; attempt < kAttempts && outcome == Outcome::kRetry; ++attempt) {
    if (attempt > 0) os::SleepUntilNs(os::MonotonicNs() + (int64_t{500'000'000} << attempt));
    outcome = TransferOnce(url, transfer, &reason);
  }
  if (transfer.given_up) return Status(ErrorCode::kCancelled, "download cancelled", url);
  if (outcome != Outcome::kDone)
    return Status(ErrorCode::kIo, "download failed: " + reason, url,
                  "run the same command again: it continues where it stopped");
  LULL_ASSIGN_OR_RETURN(const std::string got, Sha256OfFile(transfer.partial_path));
  if (got != sha256) {
    std::error_code ec;
    fs::remove(transfer.partial_path, ec);
    return Status(ErrorCode::kInvalidInput, "wrong SHA-256: got " + got + ", want " + sha256, url,
                  "the partial file was removed; run the same command again");
  }
  LULL_RETURN_IF_ERROR(os::SyncFile(transfer.partial_path));
  std::error_code ec;
  fs::rename(transfer.partial_path, path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot rename: " + ec.message(), path);
  return Status();
}

}  // namespace lull
