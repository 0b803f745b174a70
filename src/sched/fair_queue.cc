#include "sched/fair_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace lull {

void FairQueue::Add(SequencePtr sequence) {
  Class& c = classes_[ClassOf(*sequence)];
  const auto found = c.find(sequence->account());
  if (found == c.end()) {
    int64_t least = c.empty() ? 0 : std::numeric_limits<int64_t>::max();
    for (const auto& [name, account] : c) least = std::min(least, account.rows_served);
    c[sequence->account()].rows_served = least;
  }
  Account& account = AccountOf(*sequence);
  account.waiting.push_back(std::move(sequence));
  ++account.open;
  ++size_;
}

void FairQueue::PutBack(SequencePtr&& sequence) {
  Account& account = AccountOf(*sequence);
  account.waiting.push_front(std::move(sequence));
  ++size_;
}

void FairQueue::Leave(const Sequence& sequence) {
  if (--AccountOf(sequence).open == 0) classes_[ClassOf(sequence)].erase(sequence.account());
}

Sequence* FairQueue::front() const {
  for (const Class& c : classes_) {
    const Account* next = nullptr;
    for (const auto& [name, account] : c) {
      if (account.waiting.empty()) continue;
      const auto rank = [](const Account& a) {
        return std::pair(a.rows_served, a.waiting.front()->id());
      };
      if (next == nullptr || rank(account) < rank(*next)) next = &account;
    }
    if (next != nullptr) return next->waiting.front().get();
  }
  return nullptr;
}

SequencePtr FairQueue::PopFront() {
  Account& account = AccountOf(*front());
  SequencePtr sequence = std::move(account.waiting.front());
  account.waiting.pop_front();
  --size_;
  return sequence;
}

SequencePtr FairQueue::Take(uint64_t id) {
  for (Class& c : classes_)
    for (auto& [name, account] : c) {
      const auto is_it = [id](const SequencePtr& s) { return s->id() == id; };
      const auto it = std::find_if(account.waiting.begin(), account.waiting.end(), is_it);
      if (it == account.waiting.end()) continue;
      SequencePtr sequence = std::move(*it);
      account.waiting.erase(it);
      --size_;
      return sequence;
    }
  return nullptr;
}

void FairQueue::Charge(const Sequence& sequence, int64_t rows) {
  AccountOf(sequence).rows_served += rows;
}

}  // namespace lull
