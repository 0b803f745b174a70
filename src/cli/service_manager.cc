#include "cli/service_manager.h"

#include <cstdlib>

#include "base/os/notify.h"
#include "base/os/os.h"
#include "cli/environment.h"

namespace lull {
namespace {

constexpr int64_t kStuckNs = int64_t{60} * 1'000'000'000;

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  ServiceManager manager;
  manager.socket_ = EnvironmentVariable("NOTIFY_SOCKET");
  const std::string pid = EnvironmentVariable("WATCHDOG_PID");
  if (pid.empty() || pid == std::to_string(os::ProcessId()))
    manager.watchdog_s_ = strtod(EnvironmentVariable("WATCHDOG_USEC").c_str(), nullptr) * 1e-6;
  return manager;
}

// A manager that cannot be reached is no reason to stop serving.
void ServiceManager::Tell(const std::string& state) const {
  if (!socket_.empty()) static_cast<void>(os::NotifyServiceManager(socket_, state));
}

void ServiceManager::KeepTelling(HttpServer& server, std::function<bool()> healthy) const {
  if (socket_.empty() || !(watchdog_s_ > 0)) return;
  server.Every(watchdog_s_ / 2, [this, healthy = std::move(healthy)] {
    if (healthy()) Tell("WATCHDOG=1");
  });
}

bool StepWatch::Healthy(int64_t running, int64_t progress, int64_t now_ns) {
  if (running == 0 || progress != progress_) {
    progress_ = progress;
    since_ns_ = now_ns;
  }
  return now_ns - since_ns_ < kStuckNs;
}

}  // namespace lull
