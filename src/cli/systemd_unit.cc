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

// The files of secrets that lull serve may be given, and what their copies are called.
struct Secret {
  const char* flag;
  const char* name;
};
constexpr Secret kSecrets[] = {
    {"--api-key-file", "keys"}, {"--tls-cert", "tls_cert"}, {"--tls-key", "tls_key"}};

std::string CopyOf(const Secret& secret) {
  return std::string("${CREDENTIALS_DIRECTORY}/") + secret.name;
}

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

// A path where systemd expands specifiers but splits nothing.
Result<std::string> CredentialPath(const std::string& path) {
  if (!path.starts_with('/'))
    return Status(ErrorCode::kUsage, "a service has no folder that paths could begin in", path,
                  "give the whole path");
  LULL_ASSIGN_OR_RETURN(const std::string quoted, Quoted(path));  // no control characters
  std::string plain;
  for (const char c : path) plain += c == '%' ? "%%" : std::string(1, c);
  return plain;
}

// The system's service runs as a user that may not read files of secrets: systemd hands them on.
// Returns the lines that have it do so, and names the copies in the arguments.
Result<std::string> HandOnSecrets(std::vector<std::string>* args) {
  std::string lines;
  for (const Secret& secret : kSecrets) {
    for (size_t i = 0; i < args->size(); ++i) {
      const std::string prefix = std::string(secret.flag) + "=";
      if ((*args)[i].starts_with(prefix)) {
        args->insert(args->begin() + static_cast<ptrdiff_t>(i) + 1,
                     (*args)[i].substr(prefix.size()));
        (*args)[i] = secret.flag;
      }
      if ((*args)[i] != secret.flag || i + 1 == args->size()) continue;
      LULL_ASSIGN_OR_RETURN(const std::string path, CredentialPath((*args)[i + 1]));
      lines += std::string("LoadCredential=") + secret.name + ":" + path + "\n";
      (*args)[i + 1] = CopyOf(secret);
    }
  }
  return lines;
}

}  // namespace

Result<std::string> SystemdUnit(const UnitOptions& options) {
  std::string unit = kHead;
  std::vector<std::string> words = {options.binary, "serve"};
  words.insert(words.end(), options.serve_args.begin(), options.serve_args.end());
  if (!options.user) {
    LULL_ASSIGN_OR_RETURN(const std::string credentials, HandOnSecrets(&words));
    unit += kSystem + credentials;
  }
  if (!options.pull.empty()) {
    LULL_ASSIGN_OR_RETURN(const std::string pull,
                          CommandLine({options.binary, "pull", "--if-missing", options.pull}));
    unit += "ExecStartPre=" + pull + "\n";
  }
  LULL_ASSIGN_OR_RETURN(std::string serve, CommandLine(words));
  // The variables that systemd is to fill in.
  for (const Secret& secret : kSecrets) {
    const std::string quoted = "\"$" + CopyOf(secret) + "\"";
    if (const size_t at = serve.find(quoted); !options.user && at != std::string::npos)
      serve.replace(at, quoted.size(), CopyOf(secret));
  }
  unit += "ExecStart=" + serve + "\n";
  unit += std::string("\n[Install]\nWantedBy=") +
          (options.user ? "default.target" : "multi-user.target") + "\n";
  return unit;
}

}  // namespace lull
