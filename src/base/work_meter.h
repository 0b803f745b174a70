// Counts work between checkpoints so that no step has to know how long it takes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
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

// Discards what a long buffer holds, which must not be read again, a piece at a time: the system
// takes a microsecond or so for each page.
inline void DiscardPaced(WorkMeter* meter, void* data, size_t bytes) {
  constexpr size_t kPiece = 65536;
  if (bytes < 4 * kPiece) return;
  for (size_t at = 0; at < bytes; at += kPiece) {
    os::DiscardPages(static_cast<unsigned char*>(data) + at, std::min(kPiece, bytes - at));
    meter->SpendFresh(kPiece);
  }
}

// Frees what a vector or string of plain values holds.
template <typename Buffer>
void FreePaced(WorkMeter* meter, Buffer* buffer) {
  DiscardPaced(meter, buffer->data(), buffer->capacity() * sizeof(*buffer->data()));
  Buffer().swap(*buffer);
}

// out->append(text) in pieces; also growing out is no long step.
inline void AppendPaced(WorkMeter* meter, std::string_view text, std::string* out) {
  constexpr size_t kPiece = 65536;
  const size_t size = out->size() + text.size();
  if (size > out->capacity() && out->size() >= kPiece) {
    std::string grown;
    grown.reserve(std::max(size, 2 * out->capacity()));
    AppendPaced(meter, *out, &grown);
    FreePaced(meter, out);
    out->swap(grown);
  } else if (size > out->capacity()) {
    out->reserve(std::max(size, std::min(2 * out->capacity(), size + kPiece)));
  }
  for (; text.size() > kPiece; text.remove_prefix(kPiece)) {
    out->append(text.substr(0, kPiece));
    meter->SpendFresh(kPiece);
  }
  out->append(text);
  meter->Spend(text.size() / 64);
}

inline std::string CopyPaced(WorkMeter* meter, std::string_view text) {
  std::string copy;
  copy.reserve(text.size());
  AppendPaced(meter, text, &copy);
  return copy;
}

// An input iterator over the text that counts the parser's work.
class PacedChars {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  PacedChars(WorkMeter* work, const char* at) : work_(work), at_(at) {}
  const char& operator*() const { return *at_; }
  PacedChars& operator++() {
    work_->Spend(1);
    ++at_;
    return *this;
  }
  PacedChars operator++(int) {
    const PacedChars before = *this;
    ++*this;
    return before;
  }
  bool operator==(const PacedChars& other) const { return at_ == other.at_; }
  bool operator!=(const PacedChars& other) const { return at_ != other.at_; }

 private:
  WorkMeter* work_;
  const char* at_;
};

}  // namespace lull
