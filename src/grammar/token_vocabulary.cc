#include "grammar/token_vocabulary.h"

#include <algorithm>
#include <utility>

#include "grammar/automaton.h"

namespace lull::grammar {
namespace {

// Counted, not compared: there are few different counts.
void SortByCodes(WorkMeter* meter, std::vector<StringTokens::Stay>* stays) {
  std::vector<size_t> ends(1);
  for (const StringTokens::Stay& stay : *stays) {
    meter->Spend(1);
    if (stay.codes + 1 >= ends.size()) ends.resize(stay.codes + 2);
    ++ends[stay.codes + 1];
  }
  for (size_t i = 1; i < ends.size(); ++i) ends[i] += ends[i - 1];
  std::vector<StringTokens::Stay> sorted;
  AssignPaced(meter, stays->size(), StringTokens::Stay{}, &sorted);
  for (const StringTokens::Stay& stay : *stays) {
    meter->Spend(1);
    sorted[ends[stay.codes]++] = stay;
  }
  stays->swap(sorted);
  FreePaced(meter, &sorted);
}

}  // namespace

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
    const std::string_view bytes = BytesOf(token);
    if (bytes.empty()) continue;
    entries.push_back({bytes, token});
    const auto openers = std::count_if(bytes.begin(), bytes.end(),
                                       [](char byte) { return byte == '{' || byte == '['; });
    max_openers_ = std::max(max_openers_, static_cast<int32_t>(openers));
  }
  trie_ = TokenTrie(std::move(entries), &meter);
  FindStringTokens(&meter);
}

void TokenVocabulary::FindStringTokens(WorkMeter* meter) {
  AutomatonBuilder builder(meter, {});
  const int32_t root = builder.NewRule();
  builder.SetRule(root, builder.Call(builder.object_rule(), builder.Return()));
  const Result<Automaton> automaton = builder.Finish(root);
  if (!automaton.ok()) return;  // cannot be: then no string takes any token
  const uint64_t most = Ref::kCounterLimit - 1;
  const int32_t body = automaton->string_body();
  std::vector<Ref> path(static_cast<size_t>(trie_.max_depth()) + 1);
  path[0] = Ref(body, 0, most);
  string_tokens_.all_stays.resize((static_cast<size_t>(vocab_size()) + 31) / 32);
  for (int32_t node = 0; node < trie_.num_nodes();) {
    meter->Spend(1);
    const size_t depth = static_cast<size_t>(trie_.depth(node));
    const Ref from = path[depth - 1];
    if (!automaton->Consume(from, trie_.byte(node), &path[depth])) {
      node = trie_.end(node);
      continue;
    }
    if (automaton->node(path[depth].node()).kind != Node::Kind::kString) {  // the closing quote
      const uint32_t codes = static_cast<uint32_t>(most - from.b());
      for (int32_t token : trie_.TokensBelow(node)) {
        string_tokens_.closes.push_back({codes, static_cast<uint32_t>(depth), token});
      }
      node = trie_.end(node);
      continue;
    }
    const uint32_t begun = path[depth].node() == body ? 0 : 1;
    for (int32_t token : trie_.Tokens(node)) {
      const uint32_t codes = static_cast<uint32_t>(most - path[depth].b()) + begun;
      string_tokens_.stays.push_back({codes, token});
      string_tokens_.all_stays[token / 32] |= uint32_t{1} << (token % 32);
    }
    ++node;
  }
  SortByCodes(meter, &string_tokens_.stays);
}

bool TokenVocabulary::IsEnd(int32_t token) const {
  return std::binary_search(ends_.begin(), ends_.end(), token);
}

}  // namespace lull::grammar
