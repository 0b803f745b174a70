#include <cstdio>
#include <filesystem>

#include "base/os/atomic_file.h"
#include "base/os/os.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/output.h"
#include "cli/systemd_unit.h"
#include "store/model_ref.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
constexpr char kUnit[] = "lull.service";

Result<fs::path> UnitPath(bool user) {
  if (!user) return fs::path("/etc/systemd/system") / kUnit;
  const std::string config = EnvironmentVariable("XDG_CONFIG_HOME"),
                    home = EnvironmentVariable("HOME");
  if (config.empty() && home.empty())
    return Status(ErrorCode::kUsage, "neither HOME nor XDG_CONFIG_HOME is set", "--user");
  const fs::path folder = config.empty() ? fs::path(home) / ".config" : fs::path(config);
  return folder / "systemd/user" / kUnit;
}

std::vector<std::string> Systemctl(bool user, std::vector<std::string> words) {
  words.insert(words.begin(), "systemctl");
  if (user) words.insert(words.begin() + 1, "--user");
  return words;
}

Status Systemd(bool user, const std::vector<std::string>& words) {
  std::error_code ec;
  if (!fs::is_directory("/run/systemd/system", ec))
    return Status(ErrorCode::kUnsupported, "this machine was not started by systemd", "service",
                  "lull service install --dry-run prints the unit; lull serve runs without it");
  return os::RunCommand(Systemctl(user, words)).status();
}

Status NeedRoot(bool user) {
  if (user || os::UserId() == 0) return Status();
  return Status(ErrorCode::kUsage, "a service of the system needs root", "service",
                "--user makes it a service of yours");
}

class ServiceCommand : public Command {
 public:
  const char* name() const override { return "service"; }
  const char* help() const override { return "Run the server as a service of systemd"; }
  void AddOptions(CLI::App&) override {}
  Status Run() override {
    return Status(ErrorCode::kUsage, "say what to do with the service", "service",
                  "lull service install --user -- smollm2 --cpu 35%, uninstall, or status");
  }
};

class ServicePart : public Command {
 public:
  const char* parent() const override { return "service"; }
  void AddOptions(CLI::App& app) override {
    app.add_flag("--user", user_, "a service of yours, without root");
  }

 protected:
  bool user_ = false;
};

class ServiceInstallCommand : public ServicePart {
 public:
  const char* name() const override { return "install"; }
  const char* help() const override {
    return "Install, enable and start it: lull service install [--user] -- MODEL [serve's options]";
  }
  void AddOptions(CLI::App& app) override {
    ServicePart::AddOptions(app);
    app.add_flag("--dry-run", dry_run_, "print the unit file and do nothing");
    app.add_option("serve", args_, "model and options of lull serve, after --")
        ->required()
        ->expected(-1);
  }
  Status Run() override {
    std::error_code ec;
    UnitOptions options;
    options.binary = fs::read_symlink("/proc/self/exe", ec).string();
    options.serve_args = args_;
    options.user = user_;
    if (!fs::exists(args_[0], ec) && FindModelSource(args_[0]).ok()) options.pull = args_[0];
    LULL_ASSIGN_OR_RETURN(const std::string unit, SystemdUnit(options));
    LULL_ASSIGN_OR_RETURN(const fs::path path, UnitPath(user_));
    if (dry_run_) {
      if (json)
        PrintJson({{"path", path.string()}, {"unit", unit}});
      else
        fputs(unit.c_str(), stdout);
      return Status();
    }
    LULL_RETURN_IF_ERROR(NeedRoot(user_));
    LULL_RETURN_IF_ERROR(Systemd(user_, {"--version"}));
    fs::create_directories(path.parent_path(), ec);
    LULL_ASSIGN_OR_RETURN(const auto file, os::AtomicFile::Create(path.string()));
    LULL_RETURN_IF_ERROR(file->Write({reinterpret_cast<const uint8_t*>(unit.data()), unit.size()}));
    LULL_RETURN_IF_ERROR(file->Commit());
    LULL_RETURN_IF_ERROR(Systemd(user_, {"daemon-reload"}));
    LULL_RETURN_IF_ERROR(Systemd(user_, {"enable", kUnit}));
    LULL_RETURN_IF_ERROR(Systemd(user_, {"restart", kUnit}));
    fprintf(stderr, "lull: %s is installed and runs; journalctl %s-u lull tells more\n",
            path.c_str(), user_ ? "--user " : "");
    return Status();
  }

 private:
  bool dry_run_ = false;
  std::vector<std::string> args_;
};

class ServiceUninstallCommand : public ServicePart {
 public:
  const char* name() const override { return "uninstall"; }
  const char* help() const override { return "Stop it and remove its unit; models stay"; }
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const fs::path path, UnitPath(user_));
    std::error_code ec;
    if (!fs::exists(path, ec))
      return Status(ErrorCode::kNotFound, "it is not installed", path.string());
    LULL_RETURN_IF_ERROR(NeedRoot(user_));
    LULL_RETURN_IF_ERROR(Systemd(user_, {"disable", "--now", kUnit}));
    fs::remove(path, ec);
    if (ec) return Status(ErrorCode::kIo, "cannot remove: " + ec.message(), path.string());
    LULL_RETURN_IF_ERROR(Systemd(user_, {"daemon-reload"}));
    fprintf(stderr, "lull: %s is gone\n", path.c_str());
    return Status();
  }
};

class ServiceStatusCommand : public ServicePart {
 public:
  const char* name() const override { return "status"; }
  const char* help() const override { return "Whether it is installed and runs"; }
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const fs::path path, UnitPath(user_));
    std::error_code ec;
    const bool installed = fs::exists(path, ec);
    std::string state = "unknown";
    const Result<std::string> shown =
        os::RunCommand(Systemctl(user_, {"show", kUnit, "--property=ActiveState", "--value"}));
    if (shown.ok()) state = shown->substr(0, shown->find('\n'));
    if (json)
      PrintJson({{"path", path.string()}, {"installed", installed}, {"state", state}});
    else
      printf("%s: %s, %s\n", path.c_str(), installed ? "installed" : "not installed",
             state.c_str());
    return Status();
  }
};

}  // namespace

std::unique_ptr<Command> MakeServiceCommand() { return std::make_unique<ServiceCommand>(); }
std::unique_ptr<Command> MakeServiceInstallCommand() {
  return std::make_unique<ServiceInstallCommand>();
}
std::unique_ptr<Command> MakeServiceUninstallCommand() {
  return std::make_unique<ServiceUninstallCommand>();
}
std::unique_ptr<Command> MakeServiceStatusCommand() {
  return std::make_unique<ServiceStatusCommand>();
}

}  // namespace lull
