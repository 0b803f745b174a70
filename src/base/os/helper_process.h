// A process that does on behalf of this one what this one has given up (sandbox.h): a fixed set of
// jobs, by name, and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "lull/status.h"

namespace lull::os {

// The helper itself only waits: forked while this process is small, it stays that small and uses no
// CPU. Each job runs in a process of its own at the lowest priority, so that a job that crashes,
// hangs or fills memory costs its own request and no other.
class HelperProcess {
 public:
  // Told a line of progress, in the process that asked; false: the job is to give up.
  using OnLine = std::function<bool(const std::string& line)>;
  // Runs in the helper: does the job of this argument, reports lines on the way, and gives up where
  // report says false. What it starts is ended with it.
  using Job = std::function<Status(const std::string& argument, const OnLine& report)>;

  struct Limits {
    int64_t tick_ms = 1000;        // how often OnLine is asked anew while nothing comes
    int64_t silence_ms = 300'000;  // a job without a line for so long hangs
    int64_t end_ms = 10'000;       // how long the helper has to say that a job has ended
  };

  // Forks. Requires: this process has one thread. The helper and its job end with this process,
  // whichever way that ends.
  static Result<std::unique_ptr<HelperProcess>> Start(Job job, const Limits& limits);
  static Result<std::unique_ptr<HelperProcess>> Start(Job job) { return Start(job, Limits()); }
  ~HelperProcess();
  HelperProcess(const HelperProcess&) = delete;
  HelperProcess& operator=(const HelperProcess&) = delete;

  // Has the helper do its job; returns what that returned. on_line is told each line and, while
  // none comes, again the last one, so that it can give up at any time: kCancelled then. kIo where
  // the job crashed or hung, or the helper has gone. Requires: no newline in argument, at most 1024
  // bytes. Thread-safe: one job at a time.
  Status Do(const std::string& argument, const OnLine& on_line);
  int pid() const { return pid_; }

 private:
  enum class Heard { kLine, kNothing, kEnd };

  HelperProcess() = default;
  Heard Listen(std::string* line);
  Status Await(const OnLine& on_line);
  Status GiveUp(Status why);
  Status Lost(const char* how);

  std::mutex mutex_;
  Limits limits_;
  int fd_ = -1;
  int pid_ = -1;
  bool lost_ = false;
  std::string input_;  // read and not yet a whole line
};

}  // namespace lull::os
