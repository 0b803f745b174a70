#include "service/worker.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "base/os/thread.h"

namespace lull {
namespace {

constexpr size_t kMaxWaiting = 4096;  // as many as there may be connections

}  // namespace

struct Worker::Rep {
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stop || !jobs.empty(); });
      if (stop) return;
      std::function<void()> job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      try {
        job();
      } catch (const std::exception&) {  // without memory to say why: who waits for it is cut
      }
      job = nullptr;  // what it holds is freed outside the lock
      lock.lock();
    }
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> jobs;
  bool stop = false;
  Status start_status;
  std::thread thread;
};

Worker::Worker() : rep_(std::make_unique<Rep>()) {
  rep_->start_status = os::StartThread(
      "tokenizing thread", [rep = rep_.get()] { rep->Loop(); }, &rep_->thread);
}

const Status& Worker::start_status() const { return rep_->start_status; }

Worker::~Worker() {
  {
    std::lock_guard<std::mutex> lock(rep_->mutex);
    rep_->stop = true;
  }
  rep_->changed.notify_all();
  if (rep_->thread.joinable()) rep_->thread.join();
}

bool Worker::Run(std::function<void()> fn) {
  if (std::this_thread::get_id() != rep_->thread.get_id()) return Post(std::move(fn));
  fn();
  return true;
}

bool Worker::Post(std::function<void()> fn) {
  std::lock_guard<std::mutex> lock(rep_->mutex);
  if (rep_->jobs.size() >= kMaxWaiting) return false;
  rep_->jobs.push_back(std::move(fn));
  rep_->changed.notify_one();
  return true;
}

}  // namespace lull
