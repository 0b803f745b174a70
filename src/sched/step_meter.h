// What a step cost, for the receipts of those it served. Not thread-safe: the batcher's.
#pragma once

#include <cstdint>

#include "base/cpu_claims.h"
#include "base/exec_context.h"

namespace lull {

struct StepCost {
  double cpu_ms = 0.0;  // process CPU time since the step before, tokenizing and HTTP included
  double wall_s = 0.0;
  double throttled_ms = 0.0;  // wall time slept at checkpoints
};

class StepMeter {
 public:
  // claims outlives the meter; null: its own.
  StepMeter(const ExecContext& ctx, CpuClaims* claims);

  // after_idle: nothing was running before. Of what the process did meanwhile the next requests pay
  // kMostIdleCpuMs at most; the rest is nobody's. Where another engine is at work it is that one's.
  void Begin(bool after_idle);
  // Requires: Begin. What is not asked for is part of the next step's.
  StepCost End();
  // Ends what Begin began, after End or without it.
  void Leave() { claims_.EndWork(); }

  double idle_cpu_ms() const { return idle_cpu_ms_; }  // nobody's

 private:
  static constexpr double kMostIdleCpuMs = 100.0;

  const ExecContext ctx_;
  CpuClaims own_;
  CpuClaims& claims_;
  int64_t begin_ns_ = 0;
  int64_t begin_paused_ns_ = 0;
  double carried_cpu_ms_ = 0.0;
  double idle_cpu_ms_ = 0.0;
};

}  // namespace lull
