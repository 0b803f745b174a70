#include "bench/prompts.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <iterator>
#include <random>

namespace lull {
namespace {

constexpr const char* kProcesses[] = {
    "powershell.exe", "winword.exe", "rundll32.exe",  "svchost.exe",  "chrome.exe", "python3",
    "bash",           "curl",        "sshd",          "explorer.exe", "mshta.exe",  "certutil.exe",
    "wscript.exe",    "node",        "backup-agent",  "teams.exe",    "cron",       "regsvr32.exe",
    "msiexec.exe",    "java",        "vssadmin.exe",  "outlook.exe",  "nginx",      "osascript",
    "bitsadmin.exe",  "launchd",     "print-spooler", "wmic.exe",     "rsync",      "docker"};
constexpr const char* kFolders[] = {"C:\\Users\\%s\\Downloads\\",
                                    "C:\\Users\\%s\\AppData\\Local\\Temp\\",
                                    "/home/%s/.cache/",
                                    "/Users/%s/Library/",
                                    "C:\\ProgramData\\%s\\",
                                    "/tmp/%s-work/",
                                    "/var/lib/%s/",
                                    "\\\\fileserver\\share\\%s\\"};
constexpr const char* kFiles[] = {"invoice.docm", "update.dll",  "setup.msi",  "notes.txt",
                                  "loader.ps1",   "archive.7z",  "report.pdf", "install.sh",
                                  "driver.sys",   "photos.zip",  "macro.vbs",  "agent.jar",
                                  "backup.tar",   "payload.bin", "readme.lnk", "session.db"};
constexpr const char* kUsers[] = {"maria", "tkoenig", "svc-build", "root",   "j.alvarez", "guest01",
                                  "nadia", "oadmin",  "deploy",    "pwhite", "hchen",     "kiosk"};
constexpr const char* kSites[] = {
    "cdn-sync.example", "updates.vendor.example", "files.partner.test", "mail.corp.example",
    "pool.miner.test",  "telemetry.app.example",  "paste.notes.test",   "login-portal.test"};
constexpr const char* kHosts[] = {"WS", "LAPTOP", "SRV", "build", "kiosk", "db", "mac", "edge"};
constexpr const char* kKeys[] = {"HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Run",
                                 "HKLM\\System\\CurrentControlSet\\Services",
                                 "HKLM\\Software\\Policies\\Microsoft\\Windows Defender",
                                 "HKCU\\Environment"};
constexpr const char* kQuestions[] = {"Is this malicious? Answer in two sentences.",
                                      "Classify it as benign, suspicious or malicious and say why.",
                                      "What should the analyst check first?",
                                      "Which step of an attack does this look like, if any?",
                                      "Should the endpoint be isolated? Give one reason.",
                                      "Name the most suspicious detail and explain it briefly.",
                                      "Could an administrator have done this on purpose?",
                                      "Summarize the risk for the owner of the machine."};

// One token each in most vocabularies.
constexpr const char* kWords[] = {"and",  "then", "again", "on",  "at",   "by",   "file", "user",
                                  "host", "time", "new",   "old", "open", "read", "once", "twice"};

class Writer {
 public:
  Writer(uint64_t seed, const TokenCounter& counter) : rng_(seed), counter_(counter) {}

  // Events to nearly the length by estimate, then single words to exactly it by count.
  Result<std::string> Prompt(int tokens) {
    std::string question, text;
    int64_t used = tokens + 1;
    for (int tries = 0; tries < kOpeningTries && used > tokens; ++tries) {
      question = std::string(" ") + Pick(kQuestions);
      text = Opening();
      LULL_ASSIGN_OR_RETURN(used, counter_(text + question));
    }
    // A tokenizer may count more or less than the estimate: what is left shrinks by the true count.
    for (int tries = 0; tries < kEventTries && used + kWordsLeft < tokens; ++tries) {
      std::string more = text;
      int64_t room = (tokens - used - kWordsLeft) * 7 / 8;
      for (int misses = 0; misses < 8;) {
        const std::string event = '\n' + Event();
        const int64_t estimate = EstimateTokens(event);
        if (estimate > room) {
          ++misses;
          continue;
        }
        more += event;
        room -= estimate;
      }
      if (more == text) break;
      LULL_ASSIGN_OR_RETURN(const int64_t count, counter_(more + question));
      if (count > tokens) continue;
      text = more;
      used = count;
    }
    return Fill(text, question, tokens, used);
  }

  size_t Below(size_t n) { return static_cast<size_t>(rng_() % n); }

 private:
  template <size_t n>
  const char* Pick(const char* const (&list)[n]) {
    return list[Below(n)];
  }
  std::string Number(int low, int high) {
    return std::to_string(low + static_cast<int>(Below(static_cast<size_t>(high - low + 1))));
  }
  std::string Host() { return std::string(Pick(kHosts)) + "-" + Number(10, 999); }
  std::string Address() {
    return Number(11, 223) + "." + Number(0, 255) + "." + Number(0, 255) + "." + Number(1, 254);
  }
  std::string Path() {
    char folder[96];
    const char* const format = kFolders[Below(std::size(kFolders))];
    const std::string pattern = format;
    const size_t hole = pattern.find("%s");
    snprintf(folder, sizeof(folder), "%s%s%s", pattern.substr(0, hole).c_str(), Pick(kUsers),
             pattern.substr(hole + 2).c_str());
    return std::string(folder) + Pick(kFiles);
  }
  std::string Time() {
    char text[16];
    snprintf(text, sizeof(text), "%02zu:%02zu:%02zu", Below(24), Below(60), Below(60));
    return text;
  }

  Result<std::string> Fill(std::string text, const std::string& question, int tokens,
                           int64_t used) {
    for (int tries = 0; tries < kFillTries && used != tokens; ++tries) {
      std::string more = text;
      // Far from the length many words at once, one by one at last.
      const int64_t words = std::max<int64_t>(1, (tokens - used) / 2);
      for (int64_t i = 0; i < words; ++i) more += std::string(" ") + Pick(kWords);
      LULL_ASSIGN_OR_RETURN(const int64_t count, counter_(more + question));
      if (count > tokens) continue;
      text = more;
      used = count;
    }
    if (used == tokens) return text + question;
    return Status(ErrorCode::kUsage,
                  "no prompt of " + std::to_string(tokens) + " tokens: the nearest has " +
                      std::to_string(used),
                  "prompt lengths", "ask for longer prompts");
  }

  std::string Opening() {
    switch (Below(8)) {
      case 0:
        return Host() + " raised an alert at " + Time() + ".";
      case 1:
        return std::string(Pick(kProcesses)) + " misbehaves on " + Host() + ".";
      case 2:
        return "User " + std::string(Pick(kUsers)) + " reports a slow " + Host() + ".";
      case 3:
        return Time() + ": sensor events of " + Host() + ".";
      case 4:
        return "Review " + Host() + ", user " + Pick(kUsers) + ".";
      case 5:
        return std::string(Pick(kUsers)) + " was seen on " + Host() + ":";
      case 6:
        return "Traffic to " + std::string(Pick(kSites)) + " from " + Host() + ".";
      default:
        return "Case " + Number(100, 9999) + ", " + Host() + ".";
    }
  }

  std::string Event() {
    const std::string process = Pick(kProcesses);
    switch (Below(12)) {
      case 0:
        return process + " started " + Pick(kProcesses) + " as " + Pick(kUsers) + ".";
      case 1:
        return process + " wrote " + Path() + ".";
      case 2:
        return process + " connected to " + Address() + ":" + Number(21, 9999) + ".";
      case 3:
        return "DNS query for " + std::string(Pick(kSites)) + " by " + process + ".";
      case 4:
        return "Login of " + std::string(Pick(kUsers)) + " failed " + Number(2, 90) + " times.";
      case 5:
        return process + " set " + Pick(kKeys) + " to " + Path() + ".";
      case 6:
        return Time() + " " + process + "[" + Number(200, 9999) + "]: read " + Path() + ".";
      case 7:
        return "A scheduled task runs " + Path() + " every " + Number(2, 60) + " minutes.";
      case 8:
        return "USB storage was mounted and " + std::string(Pick(kFiles)) + " copied.";
      case 9:
        return process + " used " + Number(20, 99) + " % CPU for " + Number(2, 50) + " minutes.";
      case 10:
        return "The parent of " + process + " is " + Pick(kProcesses) + ", unsigned.";
      default:
        return process + " sent " + Number(1, 900) + " MB to " + Pick(kSites) + " at " + Time() +
               ".";
    }
  }

  static constexpr int kOpeningTries = 30;
  static constexpr int kEventTries = 12;
  static constexpr int kFillTries = 400;
  static constexpr int64_t kWordsLeft = 8;

  std::mt19937_64 rng_;
  const TokenCounter& counter_;
};

}  // namespace

int EstimateTokens(const std::string& text) {
  double tokens = 0;
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (std::isalpha(c)) {
      size_t end = i;
      while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end]))) ++end;
      // A common word after a space is one token; parts of names and paths break more.
      const bool word = i == 0 || text[i - 1] == ' ' || text[i - 1] == '\n';
      const double length = static_cast<double>(end - i);
      tokens += word ? 1.0 + std::max(0.0, (length - 8.0) / 4.0) : 1.0 + (length - 1.0) / 5.0;
      i = end;
      continue;
    }
    if (c != ' ') tokens += 1.0;
    ++i;
  }
  return static_cast<int>(tokens + 0.5);
}

Result<std::vector<BenchPrompt>> MakeSecurityPrompts(const PromptOptions& options) {
  const TokenCounter estimate = [](const std::string& text) -> Result<int64_t> {
    return int64_t{EstimateTokens(text)};
  };
  const TokenCounter& counter = options.counter ? options.counter : estimate;
  if (options.lengths.empty())
    return Status(ErrorCode::kUsage, "no prompt lengths", "prompt lengths");
  Writer writer(options.seed ^ 0x6c756c6cu, counter);
  std::vector<int> lengths = options.lengths;
  std::vector<BenchPrompt> prompts;
  prompts.reserve(options.count);
  while (prompts.size() < options.count) {
    for (size_t i = lengths.size() - 1; i > 0; --i)
      std::swap(lengths[i], lengths[writer.Below(i + 1)]);
    for (size_t i = 0; i < lengths.size() && prompts.size() < options.count; ++i) {
      LULL_ASSIGN_OR_RETURN(std::string text, writer.Prompt(lengths[i]));
      prompts.push_back({lengths[i], std::move(text)});
    }
  }
  return prompts;
}

}  // namespace lull
