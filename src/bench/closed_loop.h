// Clients that ask again as soon as they are answered, until they are stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/load.h"
#include "bench/prompts.h"
#include "lull/status.h"

namespace lull {

// A refused client (429) asks again after the time that the server names, or a second. Thread-safe.
class ClosedLoop {
 public:
  // load: concurrency says how many clients; its bounds and arrivals do not count. Prompts are used
  // in turn from first_prompt on. Requires: prompts outlive the object and are not empty.
  static Result<std::unique_ptr<ClosedLoop>> Start(const LoadPlan& load,
                                                   const std::vector<BenchPrompt>& prompts,
                                                   size_t first_prompt);
  ~ClosedLoop();
  ClosedLoop(const ClosedLoop&) = delete;
  ClosedLoop& operator=(const ClosedLoop&) = delete;

  int64_t completed() const { return completed_.load(); }
  int64_t failed() const { return failed_.load(); }  // refusals are not failures
  // Closes all connections. Requests under way are no answers.
  void Stop();
  // In order of their ends; after Stop().
  std::vector<Answer> TakeAnswers();
  size_t next_prompt() const { return next_.load(); }

 private:
  ClosedLoop(const LoadPlan& load, const std::vector<BenchPrompt>& prompts, size_t first_prompt);
  void Client();

  LoadPlan load_;
  const std::vector<BenchPrompt>& prompts_;
  std::atomic<bool> stopped_{false};
  std::atomic<size_t> next_;
  std::atomic<int64_t> completed_{0}, failed_{0};
  std::mutex mutex_;
  std::vector<Answer> answers_;
  std::vector<std::thread> clients_;
};

// Waits until the process uses next to no CPU: what was cancelled is put away. False where it goes
// on for longer than timeout_s.
bool WaitUntilIdle(int pid, double timeout_s);

}  // namespace lull
