#include "grammar/constraint_factory.h"

#include <algorithm>

#include "grammar/constraint.h"

namespace lull::grammar {

std::shared_ptr<const TokenVocabulary> ConstraintFactory::Vocabulary(const ExecContext& ctx) {
  std::call_once(vocabulary_once_, [&] {
    vocabulary_ = std::make_shared<const TokenVocabulary>(tokenizer_, ctx);
    WarmUp(vocabulary_, ctx);
  });
  return vocabulary_;
}

std::shared_ptr<Grammar> ConstraintFactory::Find(const GrammarSpec& spec) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = std::find_if(grammars_.begin(), grammars_.end(),
                               [&](const Entry& entry) { return entry.spec == spec; });
  if (it == grammars_.end()) return nullptr;
  grammars_.splice(grammars_.begin(), grammars_, it);
  return it->grammar;
}

void ConstraintFactory::Remember(const GrammarSpec& spec, const std::shared_ptr<Grammar>& grammar) {
  std::lock_guard<std::mutex> lock(mutex_);
  grammars_.push_front({spec, grammar});
}

// Masks come with use, so it is looked at each time.
void ConstraintFactory::Trim() {
  std::lock_guard<std::mutex> lock(mutex_);
  const int64_t most = max_bytes_.load(std::memory_order_relaxed);
  int64_t bytes = 0;
  size_t kept = 0;
  for (auto it = grammars_.begin(); it != grammars_.end(); ++it) {
    bytes += it->grammar->memory_bytes() + static_cast<int64_t>(it->spec.text.size());
    if (kept > 0 && (bytes > most || kept == kMaxGrammars)) {
      grammars_.erase(it, grammars_.end());
      return;
    }
    ++kept;
  }
}

Result<std::shared_ptr<TokenConstraint>> ConstraintFactory::New(const GrammarSpec& spec,
                                                                const ExecContext& ctx) {
  std::shared_ptr<Grammar> grammar = Find(spec);
  if (grammar == nullptr) {
    LULL_ASSIGN_OR_RETURN(grammar, Grammar::Compile(spec, ctx));
    Remember(spec, grammar);
  }
  Trim();
  return std::shared_ptr<TokenConstraint>(
      std::make_shared<Constraint>(std::move(grammar), Vocabulary(ctx), ctx));
}

int64_t ConstraintFactory::cached_grammars() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(grammars_.size());
}

}  // namespace lull::grammar
