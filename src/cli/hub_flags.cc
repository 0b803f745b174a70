#include "cli/hub_flags.h"

#include <filesystem>
#include <utility>

#include "cli/environment.h"
#include "cli/output.h"

namespace lull {
namespace {

std::string UsualTokenFile() {
  if (const std::string path = EnvironmentVariable("HF_TOKEN_PATH"); !path.empty()) return path;
  if (const std::string home = EnvironmentVariable("HF_HOME"); !home.empty())
    return home + "/token";
  const std::string cache = EnvironmentVariable("XDG_CACHE_HOME");
  if (!cache.empty()) return cache + "/huggingface/token";
  return EnvironmentVariable("HOME") + "/.cache/huggingface/token";
}

std::string Trimmed(std::string text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  size_t start = 0;
  while (start < text.size() && static_cast<unsigned char>(text[start]) <= ' ') ++start;
  return text.substr(start);
}

Result<std::string> ReadToken(const std::string& token_file) {
  std::error_code ec;
  if (!token_file.empty()) {
    LULL_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(token_file));
    return Trimmed(text);
  }
  if (const std::string token = EnvironmentVariable("HF_TOKEN"); !token.empty())
    return Trimmed(token);
  const std::string usual = UsualTokenFile();
  if (!std::filesystem::is_regular_file(usual, ec)) return std::string();
  LULL_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(usual));
  return Trimmed(text);
}

}  // namespace

void HubFlags::AddTo(CLI::App& app) {
  app.add_option("--token-file", token_file,
                 "file with the hub's token (default: HF_TOKEN, ~/.cache/huggingface/token)");
  app.add_option("--stall-timeout", stall_s, "seconds without a byte until a line counts as dead")
      ->check(CLI::Range(0.05, 3600.0));
  app.add_option("--attempts", attempts, "attempts in a row that may fail (default 6)")
      ->check(CLI::Range(1, 1000));
  app.add_option("--backoff-ms", backoff_ms)->check(CLI::Range(1, 600'000))->group("");
  app.add_option("--connect-ms", connect_ms)->check(CLI::Range(1, 600'000))->group("");
}

Result<HubOptions> HubFlags::ToOptions() const {
  HubOptions options;
  if (const std::string endpoint = EnvironmentVariable("HF_ENDPOINT"); !endpoint.empty()) {
    LULL_ASSIGN_OR_RETURN(options.endpoint, CheckedEndpoint(endpoint));
  }
  LULL_ASSIGN_OR_RETURN(options.token, ReadToken(token_file));
  LULL_RETURN_IF_ERROR(CheckToken(options.token));
  options.fetch.attempts = attempts;
  options.fetch.backoff_ms = backoff_ms;
  options.fetch.http.connect_ms = connect_ms;
  options.fetch.http.stall_ms = static_cast<int64_t>(stall_s * 1000);
  return options;
}

}  // namespace lull
