// Several arrays in one block of memory that is allocated once: Add names them, Allocate places
// them. Pages that are never touched cost nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/os/os.h"
#include "lull/status.h"

namespace lull {

// Not thread-safe; used while something is being built.
class ArenaPlan {
 public:
  // target points at `count` zeroed elements, 64-byte aligned, once Allocate has succeeded.
  // Requires: target outlives Allocate.
  template <typename T>
  void Add(T** target, size_t count) {
    const size_t offset = bytes_;
    bytes_ += (count * sizeof(T) + 63) / 64 * 64;
    bind_.push_back(
        [target, offset](uint8_t* base) { *target = reinterpret_cast<T*>(base + offset); });
  }
  size_t bytes() const { return bytes_; }

  Result<os::Memory> Allocate() {
    LULL_ASSIGN_OR_RETURN(os::Memory memory, os::Memory::Allocate(bytes_));
    for (const auto& bind : bind_) bind(memory.data());
    return memory;
  }

 private:
  size_t bytes_ = 0;
  std::vector<std::function<void(uint8_t*)>> bind_;
};

}  // namespace lull
