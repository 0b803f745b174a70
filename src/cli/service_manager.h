// The service manager that started this process, if one did and wants to know how it is.
#pragma once

#include <functional>
#include <string>

#include "service/http/server.h"

namespace lull {

class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  static ServiceManager FromEnvironment();
  void Ready() const { Tell("READY=1\nSTATUS=serving"); }
  void Stopping() const { Tell("STOPPING=1\nSTATUS=draining"); }
  // While the server's thread runs and healthy() is true, tells so at half the watchdog's period.
  // Does nothing where no watchdog waits.
  void KeepTelling(HttpServer& server, std::function<bool()> healthy) const;

 private:
  void Tell(const std::string& state) const;
  std::string socket_;
  double watchdog_s_ = 0;
};

// Whether work that is there gets on: false once `running` requests have seen no progress (a number
// that grows with steps and pauses) for a minute.
class StepWatch {
 public:
  bool Healthy(int64_t running, int64_t progress, int64_t now_ns);

 private:
  int64_t progress_ = -1;
  int64_t since_ns_ = 0;
};

}  // namespace lull
