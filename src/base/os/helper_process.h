// A process that does on behalf of this one what this one has given up (sandbox.h): a fixed set of
// jobs, by name, and nothing else.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "lull/status.h"

namespace lull::os {

class HelperProcess {
 public:
  // Told a line of progress, in the process that asked; false: the job is to give up.
  using OnLine = std::function<bool(const std::string& line)>;
  // Runs in the helper: does the job of this argument, reports lines on the way, and gives up where
  // report says false.
  using Job = std::function<Status(const std::string& argument, const OnLine& report)>;

  // Forks. Requires: this process has one thread. The helper ends with this process.
  static Result<std::unique_ptr<HelperProcess>> Start(Job job);
  ~HelperProcess();
  HelperProcess(const HelperProcess&) = delete;
  HelperProcess& operator=(const HelperProcess&) = delete;

  // Has the helper do its job; returns what that returned. kIo where the helper has gone.
  // Requires: no newline in argument. Thread-safe: one job at a time.
  Status Do(const std::string& argument, const OnLine& on_line);
  int pid() const { return pid_; }

 private:
  HelperProcess() = default;
  std::mutex mutex_;
  int fd_ = -1;
  int pid_ = -1;
  std::string input_;  // read and not yet a whole line
};

}  // namespace lull::os
