#include "grammar/token_vocabulary.h"

#include <algorithm>
#include <utility>

namespace lull::grammar {

TokenVocabulary::TokenVocabulary(const Tokenizer& tokenizer, const ExecContext& ctx)
    : strips_first_space_(tokenizer.strips_first_space()) {
  WorkMeter meter(ctx);
  const int32_t size = static_cast<int32_t>(tokenizer.vocab_size());
  offsets_.reserve(static_cast<size_t>(size) + 1);
  offsets_.push_back(0);
  for (int32_t token = 0; token < size; ++token) {
    meter.Spend(8);
    if (tokenizer.IsEndOfGeneration(token)) {
      ends_.push_back(token);
    } else {
      AppendPaced(&meter, tokenizer.TokenBytes(token, false), &bytes_);
    }
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  std::vector<TokenTrie::Entry> entries;
  entries.reserve(static_cast<size_t>(size));
  for (int32_t token = 0; token < size; ++token) {
    meter.Spend(1);
    if (!BytesOf(token).empty()) entries.push_back({BytesOf(token), token});
  }
  trie_ = TokenTrie(std::move(entries), &meter);
}

bool TokenVocabulary::IsEnd(int32_t token) const {
  return std::binary_search(ends_.begin(), ends_.end(), token);
}

}  // namespace lull::grammar
