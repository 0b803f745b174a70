// Counts work between checkpoints so that no step has to know how long it takes.
#pragma once

#include <cstddef>

#include "base/exec_context.h"

namespace lull {

// One unit is about 10 to 20 ns of work, so 2048 units stay below 0.1 ms.
class WorkMeter {
 public:
  explicit WorkMeter(const ExecContext& ctx) : ctx_(ctx) {}

  void Spend(size_t units) {
    spent_ += units;
    if (spent_ >= kUnitsPerCheckpoint) {
      spent_ = 0;
      ctx_.Checkpoint();
    }
  }
  bool Cancelled() const { return ctx_.Cancelled(); }

 private:
  static constexpr size_t kUnitsPerCheckpoint = 2048;
  const ExecContext& ctx_;
  size_t spent_ = 0;
};

}  // namespace lull
