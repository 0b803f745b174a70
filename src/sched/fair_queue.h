// Who goes next: the classes in their order, within a class the account that has had the fewest
// rows, within an account first come, first served. Not thread-safe: the batcher's.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "sched/sequence.h"

namespace lull {

using SequencePtr = std::unique_ptr<Sequence>;

class FairQueue {
 public:
  // A new request joins its account. An account without any begins where the least served of its
  // class is: it gets neither credit nor debt for the time that it was away.
  void Add(SequencePtr sequence);
  // A preempted one goes to the head of its account. Where this throws it is still the caller's.
  void PutBack(SequencePtr&& sequence);
  // The request has ended, wherever it was; PutBack is not possible any more.
  void Leave(const Sequence& sequence);

  bool empty() const { return size_ == 0; }
  int64_t size() const { return size_; }
  Sequence* front() const;        // null where empty
  SequencePtr PopFront();         // Requires: not empty
  SequencePtr Take(uint64_t id);  // null where no such request waits

  // Rows computed for a request that has not left.
  void Charge(const Sequence& sequence, int64_t rows);
  int64_t rows_served(const Sequence& sequence) const { return AccountOf(sequence).rows_served; }

  template <typename Fn>
  void ForEach(Fn&& fn) const {
    for (const Class& c : classes_)
      for (const auto& [name, account] : c)
        for (const SequencePtr& sequence : account.waiting) fn(*sequence);
  }

 private:
  struct Account {
    int64_t rows_served = 0;
    int64_t open = 0;  // requests that have not left
    std::deque<SequencePtr> waiting;
  };
  using Class = std::map<std::string, Account>;

  static size_t ClassOf(const Sequence& sequence) {
    return static_cast<size_t>(sequence.priority());
  }
  const Account& AccountOf(const Sequence& sequence) const {
    return classes_[ClassOf(sequence)].at(sequence.account());
  }
  Account& AccountOf(const Sequence& sequence) {
    return classes_[ClassOf(sequence)].at(sequence.account());
  }

  std::array<Class, 3> classes_;  // by Priority
  int64_t size_ = 0;
};

}  // namespace lull
