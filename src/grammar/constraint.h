// A grammar over a vocabulary: which tokens may come next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/exec_context.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "grammar/token_vocabulary.h"
#include "lull/request.h"
#include "lull/status.h"

namespace lull::grammar {

class Constraint : public TokenConstraint {
 public:
  // The pointees of ctx outlive the constraint.
  Constraint(std::shared_ptr<Grammar> grammar, std::shared_ptr<const TokenVocabulary> vocabulary,
             const ExecContext& ctx);

  // kUsage where the mask is too short, kUnsupported where the grammar is too ambiguous to go on.
  Status FillMask(std::span<uint32_t> mask) override;
  // kUsage for a token that the mask does not have; nothing changes then.
  Status Accept(int32_t token) override;
  bool finished() const override;

 private:
  Status Fill(std::span<uint32_t> mask);
  void FillFirst(std::span<uint32_t> mask);
  Status AddPlace(const Place& place, std::span<uint32_t> mask);
  Status CheckWork() const;
  std::shared_ptr<const LocalMask> MaskOf(int32_t state);
  std::shared_ptr<const LocalMask> ComputeMask(int32_t state);
  std::shared_ptr<const LocalMask> ComputeStringMask(Ref string);
  std::shared_ptr<const LocalMask> MakeMask(std::vector<uint32_t> bits,
                                            std::vector<TokenTrie::Entry> rest);
  void Walk(const TokenTrie& trie, int32_t begin, int32_t end, int32_t depth, const Position& from,
            std::span<uint32_t> mask);

  const std::shared_ptr<Grammar> grammar_;
  const std::shared_ptr<const TokenVocabulary> vocabulary_;
  const ExecContext ctx_;
  WorkMeter meter_{ctx_};
  Matcher matcher_;
  Position position_;
  bool at_first_ = true;  // no token yet
  bool ended_ = false;
  std::vector<Position> path_;       // scratch, by depth
  std::vector<int32_t> state_path_;  // scratch, by depth
};

// Computes the masks of the states that every JSON text passes.
void WarmUp(const std::shared_ptr<const TokenVocabulary>& vocabulary, const ExecContext& ctx);

}  // namespace lull::grammar
