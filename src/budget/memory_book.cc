#include "budget/memory_book.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

namespace lull {
namespace {

constexpr const char* kNames[kMemoryParts] = {"mapped weights", "weights", "KV", "activations",
                                              "code and vocabulary"};

size_t Index(MemoryPart part) { return static_cast<size_t>(part); }

}  // namespace

std::string MegabytesText(int64_t bytes) {
  char text[48];
  snprintf(text, sizeof(text), "%.1f MB", static_cast<double>(bytes) * 1e-6);
  return text;
}

std::string RamText(int64_t bytes) {
  constexpr int64_t kMegabyte = 1'000'000;
  return std::to_string((bytes + kMegabyte - 1) / kMegabyte) + "MB";
}

MemoryPromise::MemoryPromise(MemoryPromise&& other) noexcept
    : book_(std::exchange(other.book_, nullptr)),
      part_(other.part_),
      bytes_(std::exchange(other.bytes_, 0)) {}

MemoryPromise& MemoryPromise::operator=(MemoryPromise&& other) noexcept {
  std::swap(book_, other.book_);
  std::swap(part_, other.part_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MemoryPromise::~MemoryPromise() {
  if (book_ != nullptr) book_->GiveBack(part_, bytes_);
}

void MemoryBook::GiveBack(MemoryPart part, int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  parts_[Index(part)] -= bytes;
}

int64_t MemoryBook::SumLocked() const {
  return std::accumulate(parts_.begin(), parts_.end(), int64_t{0});
}

std::string MemoryBook::SumTextLocked() const {
  std::string text;
  for (size_t i = 0; i < kMemoryParts; ++i) {
    if (parts_[i] == 0) continue;
    text += (text.empty() ? "" : " + ") + std::string(kNames[i]) + " " + MegabytesText(parts_[i]);
  }
  return text.empty() ? "nothing" : text;
}

Result<MemoryPromise> MemoryBook::Promise(MemoryPart part, int64_t bytes, int64_t more,
                                          const std::string& hint) {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t& mine = parts_[Index(part)];
  mine += bytes;
  const int64_t sum = SumLocked() + more;
  if (limit_ == 0 || sum <= limit_) return MemoryPromise(this, part, bytes);
  const std::string what = SumTextLocked() +
                           (more > 0 ? " + the least KV " + MegabytesText(more) : "") + " = " +
                           MegabytesText(sum) + ", but the RAM is " + MegabytesText(limit_);
  mine -= bytes;
  return Status(ErrorCode::kBudgetImpossible, what, "ram",
                hint.empty() ? RamText(sum) + " would do" : hint);
}

Status MemoryBook::SetLimit(int64_t limit_bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const int64_t sum = SumLocked();
  if (limit_bytes == 0 || sum <= limit_bytes) {
    limit_ = limit_bytes;
    return Status();
  }
  return Status(ErrorCode::kBudgetImpossible,
                SumTextLocked() + " = " + MegabytesText(sum) + " are promised already, more than " +
                    MegabytesText(limit_bytes),
                "ram", RamText(sum) + " is the least while this runs");
}

int64_t MemoryBook::left() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return limit_ == 0 ? kUnlimited : std::max<int64_t>(limit_ - SumLocked(), 0);
}

MemoryLedger MemoryBook::ledger() const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto bytes = [this](MemoryPart part) { return parts_[Index(part)]; };
  MemoryLedger ledger;
  ledger.weights = bytes(MemoryPart::kWeights);
  ledger.packed = bytes(MemoryPart::kPacked);
  ledger.kv = bytes(MemoryPart::kKv);
  ledger.activations = bytes(MemoryPart::kActivations);
  ledger.prefix_cache = cached_bytes_.load(std::memory_order_relaxed);
  ledger.sockets = connection_bytes_.load(std::memory_order_relaxed);
  ledger.other = bytes(MemoryPart::kOther);
  ledger.planned_bytes = SumLocked();
  ledger.limit_bytes = limit_;
  return ledger;
}

}  // namespace lull
