// Counts work between checkpoints so that no step has to know how long it takes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/exec_context.h"
#include "base/os/os.h"

namespace lull {

// One unit is about 10 to 20 ns of work, so 2048 units stay below 0.1 ms. Not thread-safe; the
// context outlives it.
class WorkMeter {
 public:
  explicit WorkMeter(const ExecContext& ctx) : ctx_(ctx) {}

  void Spend(size_t units) {
    spent_ += units;
    if (spent_ < kUnitsPerCheckpoint) return;
    spent_ = 0;
    ctx_.Checkpoint();
  }
  // What `bytes` of memory cost that are touched for the first time: mostly page faults.
  void SpendFresh(size_t bytes) { Spend(bytes / 64); }
  const ExecContext& context() const { return ctx_; }
  bool Cancelled() const { return ctx_.Cancelled(); }

 private:
  static constexpr size_t kUnitsPerCheckpoint = 2048;
  const ExecContext& ctx_;
  size_t spent_ = 0;
};

// target->assign(count, value), a piece at a time.
template <typename T>
void AssignPaced(WorkMeter* meter, size_t count, const T& value, std::vector<T>* target) {
  constexpr size_t kPiece = std::max<size_t>(1, 65536 / sizeof(T));
  target->clear();
  target->reserve(count);
  while (target->size() < count) {
    const size_t piece = std::min(kPiece, count - target->size());
    target->resize(target->size() + piece, value);
    meter->SpendFresh(piece * sizeof(T));
  }
}

// Frees what a vector or string of plain values holds, a piece at a time: the system takes a
// microsecond or so for each page.
template <typename Buffer>
void FreePaced(WorkMeter* meter, Buffer* buffer) {
  constexpr size_t kPiece = 65536;
  const size_t bytes = buffer->capacity() * sizeof(*buffer->data());
  if (bytes >= 4 * kPiece) {
    auto* data = reinterpret_cast<unsigned char*>(buffer->data());
    for (size_t at = 0; at < bytes; at += kPiece) {
      os::DiscardPages(data + at, std::min(kPiece, bytes - at));
      meter->SpendFresh(kPiece);
    }
  }
  Buffer().swap(*buffer);
}

}  // namespace lull
