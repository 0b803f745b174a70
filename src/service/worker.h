// One background thread for work that must not hold up the HTTP thread: templates and tokenizing,
// which may also sleep to keep the CPU budget.
#pragma once

#include <functional>
#include <memory>

#include "lull/status.h"

namespace lull {

class Worker {
 public:
  Worker();
  ~Worker();  // drops what has not started and joins
  // An error: the system refused the thread, and nothing that is posted will run.
  const Status& start_status() const;
  // Runs fn on the worker's thread, in order; false where too many wait already.
  bool Post(std::function<void()> fn);
  // At once where this is the worker's thread, else as Post.
  bool Run(std::function<void()> fn);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace lull
