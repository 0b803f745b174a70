// A fixed number of pages of equal size, handed out and taken back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/os/os.h"
#include "lull/status.h"

namespace lull {

// Not thread-safe. Pages are not cleared: a page's slots are written before they are read.
class BlockPool {
 public:
  static Result<BlockPool> Create(size_t page_bytes, size_t num_pages);

  int32_t Take();  // -1 where none is free
  void Give(int32_t page) { free_.push_back(page); }

  uint8_t* base() const { return memory_.data(); }
  size_t page_bytes() const { return page_bytes_; }
  size_t total() const { return total_; }
  size_t available() const { return free_.size(); }
  size_t used() const { return total_ - free_.size(); }

 private:
  os::Memory memory_;
  size_t page_bytes_ = 0;
  size_t total_ = 0;
  std::vector<int32_t> free_;  // the last is taken first: warm pages are used again
};

}  // namespace lull
