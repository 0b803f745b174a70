#include "bench/prompts.h"

#include <algorithm>
#include <array>
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

class Writer {
 public:
  explicit Writer(uint64_t seed) : rng_(seed) {}

  std::string Prompt(int tokens) {
    const std::string question = std::string(" ") + Pick(kQuestions);
    std::string text = Opening();
    const int room = tokens - EstimateTokens(question);
    int used = EstimateTokens(text);
    // The best of a few candidate lines each time, so that short prompts meet their length too.
    while (true) {
      std::string best;
      int best_tokens = 0;
      for (int tries = 0; tries < 4; ++tries) {
        const std::string candidate = '\n' + Event();
        const int count = EstimateTokens(candidate);
        const bool better = best.empty() || (tokens <= 80 && count > best_tokens);
        if (used + count > room || !better) continue;
        best = candidate;
        best_tokens = count;
      }
      if (best.empty()) break;
      text += best;
      used += best_tokens;
    }
    return text + question;
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

  std::mt19937_64 rng_;
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

std::vector<BenchPrompt> MakeSecurityPrompts(uint64_t seed, size_t count) {
  Writer writer(seed ^ 0x6c756c6cu);
  std::array<int, 5> lengths = {40, 80, 160, 320, 640};
  std::vector<BenchPrompt> prompts;
  prompts.reserve(count);
  while (prompts.size() < count) {
    for (size_t i = lengths.size() - 1; i > 0; --i)
      std::swap(lengths[i], lengths[writer.Below(i + 1)]);
    for (size_t i = 0; i < lengths.size() && prompts.size() < count; ++i) {
      prompts.push_back({lengths[i], writer.Prompt(lengths[i])});
    }
  }
  return prompts;
}

}  // namespace lull
