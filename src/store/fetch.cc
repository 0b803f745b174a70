#include "store/fetch.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>

#include "base/os/os.h"
#include "base/os/partial_file.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTickNs = 100'000'000;
// An attempt that brings so much is none of those in a row that bring nothing.
constexpr uint64_t kWorthwhileBytes = 64 << 10;

Status Cancelled(const std::string& where) {
  return Status(ErrorCode::kCancelled, "cancelled", where, "pull again: it continues");
}

// What several processes that were refused at once do not all do at the same time: 50 to 100 %.
int64_t Jittered(int64_t ms) {
  static std::atomic<uint64_t> state{static_cast<uint64_t>(os::MonotonicNs()) ^
                                     static_cast<uint64_t>(os::ProcessId()) << 32};
  uint64_t x = state.fetch_add(0x9E3779B97F4A7C15u);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return ms / 2 + static_cast<int64_t>((x ^ (x >> 31)) % static_cast<uint64_t>(ms / 2 + 1));
}

bool WorthAnotherTry(int status, bool redirected) {
  if (status == 408 || status == 425 || status == 429 || status >= 500) return true;
  return redirected && status == 403;  // an address that was good for a while
}

// What the answers that end a fetch mean.
Status Refusal(const HttpOutcome& outcome, const std::string& url) {
  const HttpAnswer& head = outcome.head;
  if (outcome.end == HttpEnd::kRefused)
    return Status(ErrorCode::kIo, "refused: " + outcome.reason, url);
  const std::string said =
      "HTTP " + std::to_string(head.status) + (head.message.empty() ? "" : ", " + head.message);
  if (head.status == 401 || head.status == 403)
    return Status(ErrorCode::kUsage, "no access: " + said, url,
                  "is it spelled right? If it is private or asks for consent, agree on its page "
                  "and give a token: HF_TOKEN or --token-file");
  if (head.status == 404 || head.status == 410)
    return Status(ErrorCode::kNotFound, "nothing there: " + said, url, "is it spelled right?");
  return Status(ErrorCode::kIo, "unexpected answer: " + said, url);
}

// Counts attempts and waits between them.
class Patience {
 public:
  Patience(const FetchOptions& options, const std::string& url) : options_(options), url_(url) {}

  // After an attempt that failed for now; wait is told seconds still to go, in words. An error:
  // no more attempts.
  Status Wait(const HttpOutcome& outcome, bool brought_much,
              const std::function<bool(const std::string& note)>& wait) {
    failures_ = brought_much ? 1 : failures_ + 1;
    const std::string why = Reason(outcome);
    if (failures_ >= options_.attempts)
      return Status(ErrorCode::kIo, "the download failed: " + why, url_,
                    "pull again: it continues where it stopped");
    const int64_t asked_s =
        outcome.end == HttpEnd::kDone ? std::max<int64_t>(outcome.head.retry_after_s, 0) : 0;
    if (asked_s > options_.max_wait_ms / 1000)
      return Status(ErrorCode::kIo,
                    why + ": the server asks to come back in " + std::to_string(asked_s) + " s",
                    url_, "pull again then: it continues where it stopped");
    const int64_t own_ms = Jittered(options_.backoff_ms << std::min(failures_ - 1, 6));
    const int64_t until_ns =
        os::MonotonicNs() +
        std::max(std::min(own_ms, options_.max_wait_ms), asked_s * 1000) * 1'000'000;
    for (int64_t now = os::MonotonicNs(); now < until_ns; now = os::MonotonicNs()) {
      if (!wait(why + ", trying again in " +
                std::to_string((until_ns - now + 999'999'999) / 1'000'000'000) + " s"))
        return Cancelled(url_);
      os::SleepUntilNs(std::min(until_ns, now + kTickNs));
    }
    return Status();
  }

 private:
  static std::string Reason(const HttpOutcome& outcome) {
    if (outcome.end != HttpEnd::kDone || !outcome.reason.empty()) return outcome.reason;
    return "HTTP " + std::to_string(outcome.head.status);
  }

  const FetchOptions& options_;
  const std::string url_;
  int failures_ = 0;
};

// A fetch of one file, which this thread alone writes.
class FileFetch {
 public:
  FileFetch(HttpClient& http, const FetchTarget& target, const FetchOptions& options,
            const FetchProgressFn& progress, os::PartialFile& file)
      : http_(http), target_(target), options_(options), progress_(progress), file_(file) {}

  Status Run() {
    LULL_RETURN_IF_ERROR(TakeUpWhatIsThere());
    Patience patience(options_, target_.url);
    while (!Whole()) {
      const uint64_t before = file_.bytes();
      HttpOutcome outcome = Attempt();
      LULL_RETURN_IF_ERROR(failure_);
      if (restart_) {
        LULL_RETURN_IF_ERROR(StartOver());
        if (++restarts_ <= options_.attempts) continue;
        outcome.end = HttpEnd::kBroken;
        outcome.reason = "the server gives other bytes than asked for";
      }
      if (whole_ || Whole()) break;
      const int status = outcome.head.status;
      const bool answered = outcome.end == HttpEnd::kDone && status != 200 && status != 206;
      if (outcome.end == HttpEnd::kRefused ||
          (answered && !WorthAnotherTry(status, outcome.head.redirected)))
        return Refusal(outcome, target_.url);
      if (outcome.end == HttpEnd::kDone && !answered) outcome.reason = "the answer was too short";
      if (outcome.end == HttpEnd::kStopped) outcome.reason = wrong_answer_;
      const bool much = file_.bytes() > before + kWorthwhileBytes;
      LULL_RETURN_IF_ERROR(
          patience.Wait(outcome, much, [this](const std::string& note) { return Tell(note); }));
    }
    return Verify();
  }

 private:
  bool Whole() const { return target_.bytes > 0 && file_.bytes() == target_.bytes; }
  bool Tell(const std::string& note) {
    return !progress_ || progress_(note, file_.bytes(), target_.bytes);
  }
  void NewHash() { hash_ = std::make_unique<ContentHasher>(target_.key, target_.bytes); }

  Status StartOver() {
    restart_ = whole_ = false;
    etag_.clear();
    NewHash();
    return file_.Clear();
  }

  Status TakeUpWhatIsThere() {
    NewHash();
    if (target_.bytes > 0 && file_.bytes() > target_.bytes) return StartOver();
    return file_.Read([this](std::span<const uint8_t> bytes) {
      hash_->Update(bytes.data(), bytes.size());
      return Tell("") ? Status() : Cancelled(target_.url);
    });
  }

  HttpOutcome Attempt() {
    start_ = file_.bytes();
    HttpCallbacks callbacks;
    callbacks.on_head = [this](const HttpAnswer& head) { return OnHead(head); };
    callbacks.on_data = [this](const char* data, size_t size) { return OnData(data, size); };
    callbacks.keep_going = [this] {
      if (Tell("")) return true;
      failure_ = Cancelled(target_.url);
      return false;
    };
    // Within one run the etag guards what is there; what an earlier run left, the hash alone.
    const HttpOutcome outcome = http_.Get({target_.url, target_.token, start_, etag_}, callbacks);
    const bool ok =
        outcome.end == HttpEnd::kDone && (outcome.head.status == 200 || outcome.head.status == 206);
    if (ok && target_.bytes == 0) whole_ = true;
    if (outcome.end == HttpEnd::kDone && outcome.head.status == 416) {
      // Nothing after what is there: where the size is unknown that may be all.
      if (target_.bytes == 0 && start_ > 0)
        whole_ = true;
      else
        restart_ = true;
    }
    return outcome;
  }

  // The last answer but for its body.
  bool OnHead(const HttpAnswer& head) {
    if (start_ > 0 && head.status == 200) {  // no ranges, or another file by now
      failure_ = StartOver();
      if (!failure_.ok()) return false;
      start_ = 0;
    }
    const bool other_start = start_ > 0 && head.range_start != static_cast<int64_t>(start_);
    const bool other_file = start_ > 0 && !etag_.empty() && head.etag != etag_;
    if (other_start || other_file || (start_ == 0 && head.status == 206)) {
      restart_ = true;
      return false;
    }
    etag_ = head.etag.starts_with("W/") ? "" : head.etag;  // weak ones do not go with ranges
    const auto expected = static_cast<int64_t>(target_.bytes - start_);
    if (target_.bytes > 0 && head.content_bytes >= 0 && head.content_bytes != expected) {
      wrong_answer_ = std::to_string(head.content_bytes) + " bytes announced, " +
                      std::to_string(expected) + " expected";
      return false;
    }
    return true;
  }

  bool OnData(const char* data, size_t size) {
    if (target_.bytes > 0 && size > target_.bytes - file_.bytes()) {
      restart_ = true;
      return false;
    }
    hash_->Update(data, size);
    failure_ = file_.Append({reinterpret_cast<const uint8_t*>(data), size});
    return failure_.ok();
  }

  Status Verify() {
    const ContentKey got = hash_->Key();
    if (got == target_.key) return file_.Publish(target_.path);
    LULL_RETURN_IF_ERROR(StartOver());
    if (!std::exchange(verified_once_, true)) return Run();
    LULL_RETURN_IF_ERROR(file_.Discard());
    return Status(ErrorCode::kInvalidInput,
                  "wrong " + std::string(target_.key.is_sha256() ? "SHA-256" : "Git SHA-1") +
                      ", twice: got " + got.hex() + ", want " + target_.key.hex(),
                  target_.url, "nothing of it was kept; is the server, or a proxy, to be trusted?");
  }

  HttpClient& http_;
  const FetchTarget& target_;
  const FetchOptions& options_;
  const FetchProgressFn& progress_;
  os::PartialFile& file_;
  std::unique_ptr<ContentHasher> hash_;
  Status failure_;    // of this machine, or given up
  std::string etag_;  // of what is there
  std::string wrong_answer_;
  uint64_t start_ = 0;    // of this attempt
  bool restart_ = false;  // what is there is of no use
  bool whole_ = false;    // as far as the server says, where the size is unknown
  bool verified_once_ = false;
  int restarts_ = 0;
};

}  // namespace

Status FetchFile(HttpClient& http, const FetchTarget& target, const FetchOptions& options,
                 const FetchProgressFn& progress) {
  std::error_code ec;
  for (;;) {
    if (fs::exists(target.path, ec)) return Status();
    LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::PartialFile> file,
                          os::PartialFile::TryOpen(target.partial_path));
    if (file != nullptr) {
      if (fs::exists(target.path, ec)) return file->Discard();  // whoever had it has just ended
      return FileFetch(http, target, options, progress, *file).Run();
    }
    if (progress && !progress("waiting for another pull of it", 0, target.bytes))
      return Cancelled(target.url);
    os::SleepUntilNs(os::MonotonicNs() + kTickNs);
  }
}

Result<std::string> FetchText(HttpClient& http, const std::string& url, const std::string& token,
                              size_t max_bytes, const FetchOptions& options, HttpAnswer* head,
                              const FetchProgressFn& progress) {
  const auto tell = [&](const std::string& note) { return !progress || progress(note, 0, 0); };
  Patience patience(options, url);
  for (;;) {
    std::string text;
    bool too_long = false;
    HttpCallbacks callbacks;
    callbacks.on_data = [&](const char* data, size_t size) {
      too_long = size > max_bytes - text.size();
      if (!too_long) text.append(data, size);
      return !too_long;
    };
    callbacks.keep_going = [&] { return tell(""); };
    const HttpOutcome outcome = http.Get({url, token, 0, ""}, callbacks);
    if (too_long)
      return Status(ErrorCode::kInvalidInput,
                    "an answer of more than " + std::to_string(max_bytes) + " bytes", url);
    if (outcome.end == HttpEnd::kStopped) return Cancelled(url);
    const int status = outcome.head.status;
    if (outcome.end == HttpEnd::kDone && status == 200) {
      if (head != nullptr) *head = outcome.head;
      return text;
    }
    if (outcome.end == HttpEnd::kRefused ||
        (outcome.end == HttpEnd::kDone && !WorthAnotherTry(status, outcome.head.redirected)))
      return Refusal(outcome, url);
    LULL_RETURN_IF_ERROR(patience.Wait(outcome, false, tell));
  }
}

}  // namespace lull
