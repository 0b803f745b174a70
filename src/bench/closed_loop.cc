#include "bench/closed_loop.h"

#include <algorithm>

#include "base/os/os.h"
#include "base/os/thread.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kPauseAfterFailureNs = 100 * kMs;

}  // namespace

ClosedLoop::ClosedLoop(const LoadPlan& load, const std::vector<BenchPrompt>& prompts,
                       size_t first_prompt)
    : load_(load), prompts_(prompts), next_(first_prompt) {
  load_.cancelled = &stopped_;
}

Result<std::unique_ptr<ClosedLoop>> ClosedLoop::Start(const LoadPlan& load,
                                                      const std::vector<BenchPrompt>& prompts,
                                                      size_t first_prompt) {
  std::unique_ptr<ClosedLoop> loop(new ClosedLoop(load, prompts, first_prompt));
  for (int i = 0; i < std::max(load.concurrency, 1); ++i) {
    std::thread client;
    LULL_RETURN_IF_ERROR(os::StartThread(
        "client thread " + std::to_string(i), [raw = loop.get()] { raw->Client(); }, &client));
    loop->clients_.push_back(std::move(client));
  }
  return loop;
}

void ClosedLoop::Client() {
  while (!stopped_.load()) {
    const size_t index = next_.fetch_add(1) % prompts_.size();
    Answer answer = Ask(load_, prompts_[index].text);
    if (stopped_.load()) return;
    answer.prompt_index = index;
    answer.nominal_tokens = prompts_[index].nominal_tokens;
    int64_t pause_ns = 0;
    if (answer.failure.empty()) {
      completed_.fetch_add(1);
    } else if (answer.status == 429) {
      pause_ns = std::max(answer.retry_after_s, 1) * 1000 * kMs;
    } else {
      failed_.fetch_add(1);
      pause_ns = kPauseAfterFailureNs;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      answers_.push_back(std::move(answer));
    }
    for (const int64_t end = os::MonotonicNs() + pause_ns;
         !stopped_.load() && os::MonotonicNs() < end;)
      os::SleepUntilNs(std::min(end, os::MonotonicNs() + 100 * kMs));
  }
}

void ClosedLoop::Stop() {
  stopped_.store(true);
  for (std::thread& client : clients_)
    if (client.joinable()) client.join();
}

ClosedLoop::~ClosedLoop() { Stop(); }

std::vector<Answer> ClosedLoop::TakeAnswers() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::move(answers_);
}

bool WaitUntilIdle(int pid, double timeout_s) {
  constexpr int64_t kStepNs = 200 * kMs;
  const int64_t end = os::MonotonicNs() + static_cast<int64_t>(timeout_s * 1e9);
  Result<int64_t> before = os::ProcessCpuNsOf(pid);
  while (before.ok() && os::MonotonicNs() < end) {
    os::SleepUntilNs(os::MonotonicNs() + kStepNs);
    const Result<int64_t> after = os::ProcessCpuNsOf(pid);
    if (!after.ok()) return false;
    if (*after - *before < kStepNs / 50) return true;
    before = after;
  }
  return false;
}

}  // namespace lull
