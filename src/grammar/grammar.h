// GrammarSpec to automaton.
#pragma once

#include <cstdint>
#include <memory>

#include "base/exec_context.h"
#include "grammar/automaton.h"
#include "grammar/mask_cache.h"
#include "lull/grammar.h"
#include "lull/status.h"

namespace lull::grammar {

// Immutable but for the masks it remembers, thread-safe.
class Grammar {
 public:
  // kInvalidInput or kUnsupported naming the part and the place. Checkpoints ctx.
  static Result<std::shared_ptr<Grammar>> Compile(const GrammarSpec& spec,
                                                  const ExecContext& ctx = ExecContext(),
                                                  const AutomatonLimits& limits = {});

  const Automaton& automaton() const { return automaton_; }
  // Of the states that only this grammar has. One vocabulary only.
  MaskCache& masks() { return masks_; }
  int64_t memory_bytes() const { return automaton_.bytes() + masks_.bytes(); }

 private:
  static constexpr int64_t kMaxMaskBytes = 8 << 20;
  explicit Grammar(Automaton automaton) : automaton_(std::move(automaton)) {}

  const Automaton automaton_;
  MaskCache masks_{kMaxMaskBytes};
};

}  // namespace lull::grammar
