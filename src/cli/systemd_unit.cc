#include "cli/systemd_unit.h"

#include <algorithm>

namespace lull {
namespace {

constexpr char kHead[] = R"([Unit]
Description=Lull: language models in the background, inside a budget
After=network.target

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=30
Restart=on-failure
RestartSec=2
TimeoutStartSec=900
TimeoutStopSec=30
KillMode=mixed
Nice=10
CPUWeight=idle
IOWeight=10
TasksMax=512
OOMScoreAdjust=500
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
)";

// What only the system's manager may take away.
constexpr char kSystem[] = R"(DynamicUser=yes
StateDirectory=lull
Environment=LULL_HOME=%S/lull
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
)";

// One word of a command line, with what systemd would expand or split made plain.
Result<std::string> Quoted(const std::string& word) {
  std::string quoted = "\"";
  for (const char c : word) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F)
      return Status(ErrorCode::kUsage, "control characters cannot stand in a unit file", word);
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '%' || c == '$') quoted += c;
    quoted += c;
  }
  return quoted + '"';
}

bool IsPlain(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-:=,+").find(c) != std::string_view::npos;
  });
}

Result<std::string> CommandLine(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    LULL_ASSIGN_OR_RETURN(const std::string quoted, Quoted(word));
    line += (line.empty() ? "" : " ") + (IsPlain(word) ? word : quoted);
  }
  return line;
}

// The system's service runs as a user that may not read the key file: systemd hands it on. Returns
// the line that has it do so, and names the copy in the arguments.
std::string HandOnKeys(std::vector<std::string>* args) {
  const std::string flag = "--api-key-file";
  for (size_t i = 0; i < args->size(); ++i) {
    std::string& word = (*args)[i];
    std::string* path = nullptr;
    if (word == flag && i + 1 < args->size()) path = &(*args)[i + 1];
    if (word.starts_with(flag + "=")) {
      args->insert(args->begin() + static_cast<ptrdiff_t>(i) + 1, word.substr(flag.size() + 1));
      (*args)[i] = flag;
      path = &(*args)[i + 1];
    }
    if (path == nullptr) continue;
    const std::string line = "LoadCredential=keys:" + *path + "\n";
    *path = "${CREDENTIALS_DIRECTORY}/keys";
    return line;
  }
  return "";
}

}  // namespace

Result<std::string> SystemdUnit(const UnitOptions& options) {
  std::string unit = kHead;
  std::vector<std::string> words = {options.binary, "serve"};
  words.insert(words.end(), options.serve_args.begin(), options.serve_args.end());
  std::string credential;
  if (!options.user) {
    unit += kSystem;
    credential = HandOnKeys(&words);
    unit += credential;
  }
  if (!options.pull.empty()) {
    LULL_ASSIGN_OR_RETURN(const std::string pull,
                          CommandLine({options.binary, "pull", options.pull}));
    unit += "ExecStartPre=" + pull + "\n";
  }
  LULL_ASSIGN_OR_RETURN(std::string serve, CommandLine(words));
  // The one variable that systemd is to fill in.
  const std::string quoted = "\"$${CREDENTIALS_DIRECTORY}/keys\"";
  if (const size_t at = serve.find(quoted); !credential.empty() && at != std::string::npos)
    serve.replace(at, quoted.size(), "${CREDENTIALS_DIRECTORY}/keys");
  unit += "ExecStart=" + serve + "\n";
  unit += std::string("\n[Install]\nWantedBy=") +
          (options.user ? "default.target" : "multi-user.target") + "\n";
  return unit;
}

}  // namespace lull
