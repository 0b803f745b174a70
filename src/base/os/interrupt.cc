#include "base/os/interrupt.h"

#include <signal.h>

namespace lull::os {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<bool> raised_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void Raise(int) { raised_flag.store(true, std::memory_order_relaxed); }

}  // namespace

InterruptFlag::InterruptFlag() {
  raised_flag.store(false, std::memory_order_relaxed);
  struct sigaction action {};
  action.sa_handler = Raise;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (const int number : kSignals) {
    struct sigaction before {};
    const bool ignored = sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN;
    if (!ignored) sigaction(number, &action, nullptr);  // nohup stays what it is
  }
}

InterruptFlag::~InterruptFlag() {
  for (const int number : kSignals) {
    struct sigaction before {};
    if (sigaction(number, nullptr, &before) == 0 && before.sa_handler == Raise)
      signal(number, SIG_DFL);
  }
}

const std::atomic<bool>* InterruptFlag::flag() const { return &raised_flag; }

}  // namespace lull::os
