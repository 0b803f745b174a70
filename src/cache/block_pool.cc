#include "cache/block_pool.h"

#include <limits>

namespace lull {

Result<BlockPool> BlockPool::Create(size_t page_bytes, size_t num_pages) {
  constexpr size_t kMaxPages = std::numeric_limits<int32_t>::max() / 2;
  if (num_pages > kMaxPages || (page_bytes != 0 && num_pages > (size_t{1} << 46) / page_bytes))
    return Status(ErrorCode::kOutOfMemory,
                  "a KV pool of " + std::to_string(num_pages) + " pages of " +
                      std::to_string(page_bytes) + " bytes is too large",
                  "kv_pool_tokens", "give the pool fewer tokens");
  BlockPool pool;
  LULL_ASSIGN_OR_RETURN(pool.memory_, os::Memory::Allocate(page_bytes * num_pages));
  pool.page_bytes_ = page_bytes;
  pool.total_ = num_pages;
  pool.users_.resize(num_pages);
  pool.kept_.resize(num_pages);
  pool.free_.reserve(num_pages);
  for (size_t i = num_pages; i > 0; --i) pool.free_.push_back(static_cast<int32_t>(i - 1));
  return pool;
}

int32_t BlockPool::Take() {
  if (free_.empty()) return -1;
  const int32_t page = free_.back();
  free_.pop_back();
  users_[static_cast<size_t>(page)] = 1;
  return page;
}

void BlockPool::Share(int32_t page) {
  const auto i = static_cast<size_t>(page);
  if (users_[i]++ == 0) --cached_;
}

void BlockPool::Give(int32_t page) {
  const auto i = static_cast<size_t>(page);
  if (--users_[i] > 0) return;
  if (kept_[i]) {
    ++cached_;
  } else {
    free_.push_back(page);
  }
}

void BlockPool::Keep(int32_t page) { kept_[static_cast<size_t>(page)] = 1; }

void BlockPool::Drop(int32_t page) {
  const auto i = static_cast<size_t>(page);
  kept_[i] = 0;
  if (users_[i] > 0) return;
  --cached_;
  free_.push_back(page);
}

}  // namespace lull
