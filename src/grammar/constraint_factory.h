// Constraints of one model: its vocabulary read once, its grammars compiled once.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "base/exec_context.h"
#include "grammar/grammar.h"
#include "grammar/token_vocabulary.h"
#include "lull/grammar.h"
#include "lull/request.h"
#include "lull/status.h"
#include "tokenizer/tokenizer.h"

namespace lull::grammar {

// Thread-safe.
class ConstraintFactory {
 public:
  // The tokenizer outlives the factory; nothing is read from it before the first constraint.
  explicit ConstraintFactory(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Errors as Grammar::Compile. The pointees of ctx outlive the constraint, the factory need not.
  Result<std::shared_ptr<TokenConstraint>> New(const GrammarSpec& spec, const ExecContext& ctx);

  // What the grammars kept may take, the last one aside; kMaxBytes unless it is set.
  void SetMaxBytes(int64_t bytes) { max_bytes_.store(bytes, std::memory_order_relaxed); }
  int64_t cached_grammars() const;

  static constexpr int64_t kMaxBytes = 24 << 20;

 private:
  static constexpr size_t kMaxGrammars = 64;

  struct Entry {
    GrammarSpec spec;
    std::shared_ptr<Grammar> grammar;
  };
  std::shared_ptr<const TokenVocabulary> Vocabulary(const ExecContext& ctx);
  std::shared_ptr<Grammar> Find(const GrammarSpec& spec);
  void Remember(const GrammarSpec& spec, const std::shared_ptr<Grammar>& grammar);
  void Trim();

  const Tokenizer& tokenizer_;
  std::atomic<int64_t> max_bytes_{kMaxBytes};
  std::once_flag vocabulary_once_;
  std::shared_ptr<const TokenVocabulary> vocabulary_;
  mutable std::mutex mutex_;
  std::list<Entry> grammars_;  // guarded by mutex_; used last comes first
};

}  // namespace lull::grammar
