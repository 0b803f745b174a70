// A fixed number of pages of equal size, handed out, shared, kept and taken back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/os/os.h"
#include "lull/status.h"

namespace lull {

// Not thread-safe. Pages are not cleared: a page's slots are written before they are read. A page
// is free when nobody uses it and it is not kept.
class BlockPool {
 public:
  static Result<BlockPool> Create(size_t page_bytes, size_t num_pages);

  int32_t Take();            // for one user; -1 where none is free
  void Share(int32_t page);  // one more user
  void Give(int32_t page);   // one user less
  void Keep(int32_t page);   // stays as it is when its last user has gone
  void Drop(int32_t page);   // not kept any more
  bool in_use(int32_t page) const { return users_[static_cast<size_t>(page)] > 0; }

  uint8_t* base() const { return memory_.data(); }
  uint8_t* at(int32_t page) const { return base() + static_cast<size_t>(page) * page_bytes_; }
  size_t page_bytes() const { return page_bytes_; }
  size_t total() const { return total_; }
  size_t available() const { return free_.size(); }
  size_t cached() const { return cached_; }  // kept and not used by anyone
  size_t used() const { return total_ - free_.size() - cached_; }

 private:
  os::Memory memory_;
  size_t page_bytes_ = 0;
  size_t total_ = 0;
  size_t cached_ = 0;
  std::vector<int32_t> free_;   // the last is taken first: warm pages are used again
  std::vector<int32_t> users_;  // per page
  std::vector<char> kept_;      // per page
};

}  // namespace lull
