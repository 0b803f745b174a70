#include "tokenizer/special_tokens.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace lull {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

bool SpecialTokens::Takes(const Vocabulary& vocab, int32_t id, bool all) const {
  return all || (vocab.attrs[id] & (kAttrControl | kAttrUnknown)) == 0;
}

SpecialTokens::SpecialTokens(const Vocabulary& vocab, bool all, WorkMeter* meter) {
  size_t bytes = 0, count = 0;
  for (int32_t id : vocab.special) {
    meter->Spend(1);
    if (!Takes(vocab, id, all)) continue;
    bytes += vocab.texts.Get(id).size();
    ++count;
  }
  edges_.Reserve(bytes, meter);
  nodes_.reserve(bytes + 1);
  tokens_.reserve(count);
  nodes_.emplace_back();
  for (int32_t id : vocab.special) {
    if (!Takes(vocab, id, all)) continue;
    const uint16_t attr = vocab.attrs[id];
    const std::string_view text = vocab.texts.Get(id);
    meter->Spend(8 * text.size());
    int32_t node = 0;
    for (char byte : text) {
      int32_t child = Child(node, byte);
      if (child < 0) {
        child = static_cast<int32_t>(nodes_.size());
        edges_.Insert(node, static_cast<uint8_t>(byte), {0, child});
        nodes_.emplace_back();
      }
      node = child;
    }
    starts_[static_cast<uint8_t>(text.front())] = true;
    if (nodes_[node].rank >= 0) continue;
    nodes_[node].rank = static_cast<int32_t>(tokens_.size());
    tokens_.push_back({id, static_cast<uint32_t>(text.size()), -1, (attr & kAttrStripLeft) != 0,
                       (attr & kAttrStripRight) != 0});
  }
  for (Token& token : tokens_) {
    int32_t node = 0;
    const std::string_view text = vocab.texts.Get(token.id);
    meter->Spend(4 * text.size());
    for (char byte : text.substr(0, text.size() - 1)) {
      node = Child(node, byte);
      if (nodes_[node].rank >= 0) token.shorter = nodes_[node].rank;
    }
  }
}

int32_t SpecialTokens::Child(int32_t node, char byte) const {
  MergeCandidate edge;
  return edges_.Find(node, static_cast<uint8_t>(byte), &edge) ? edge.id : -1;
}

int32_t SpecialTokens::LongestAt(std::string_view text, size_t begin, WorkMeter* meter) const {
  int32_t longest = -1;
  int32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    meter->Spend(1);
    node = Child(node, text[i]);
    if (node < 0) break;
    if (nodes_[node].rank >= 0) longest = nodes_[node].rank;
  }
  return longest;
}

std::vector<Fragment> SpecialTokens::Split(std::string_view text, WorkMeter* meter) const {
  Matches matches;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((i & 0xFF) == 0) meter->Spend(0x20);
    if (!starts_[static_cast<uint8_t>(text[i])]) continue;
    meter->Spend(8);
    const int32_t rank = LongestAt(text, i, meter);
    if (rank >= 0) matches.push_back({rank, i});
  }
  if (matches.empty()) {
    if (text.empty()) return {};
    return {{kNoToken, 0, text.size()}};
  }
  std::vector<bool> taken(text.size());
  Resolve(text, &matches, &taken, meter);
  std::vector<Fragment> fragments;
  fragments.reserve(2 * matches.size() + 1);
  size_t pos = 0;
  const auto add_text = [&](size_t end) {
    const auto run_of = [&](bool value) {
      size_t at = pos;
      for (; at < end && taken[at] == value; ++at) {
        if ((at & 0xFF) == 0) meter->Spend(0x20);
      }
      return at;
    };
    pos = run_of(true);  // white space that a token took along
    const size_t last = run_of(false);
    if (last > pos) fragments.push_back({kNoToken, pos, last - pos});
    pos = end;
  };
  for (const Match& match : matches) {
    meter->Spend(4);
    if (match.rank < 0) continue;
    add_text(match.begin);
    fragments.push_back({tokens_[match.rank].id, match.begin, tokens_[match.rank].size});
    pos = match.begin + tokens_[match.rank].size;
  }
  add_text(text.size());
  for (; !matches.empty(); matches.pop_front()) meter->Spend(1);
  return fragments;
}

void SpecialTokens::Resolve(std::string_view text, Matches* matches, std::vector<bool>* taken,
                            WorkMeter* meter) const {
  using Entry = std::pair<int32_t, size_t>;  // rank, index of the match
  std::vector<Entry> storage;
  storage.reserve(matches->size());
  std::priority_queue queue(std::greater<Entry>(), std::move(storage));
  for (size_t i = 0; i < matches->size(); ++i) {
    meter->Spend(2);
    queue.push({(*matches)[i].rank, i});
  }
  while (!queue.empty()) {
    meter->Spend(16);
    const auto [rank, index] = queue.top();
    queue.pop();
    Match& match = (*matches)[index];
    const Token& token = tokens_[rank];
    match.rank = -1;
    // What is taken is at least as long as this token, so its two ends tell.
    if ((*taken)[match.begin]) continue;
    if ((*taken)[match.begin + token.size - 1]) {
      if (token.shorter >= 0) queue.push({token.shorter, index});
      continue;
    }
    match.rank = rank;
    for (size_t i = 0; i < token.size; ++i) (*taken)[match.begin + i] = true;
    Strip(text, match, taken, meter);
  }
}

void SpecialTokens::Strip(std::string_view text, const Match& match, std::vector<bool>* taken,
                          WorkMeter* meter) const {
  const Token& token = tokens_[match.rank];
  if (token.strip_left) {
    for (size_t i = match.begin; i > 0 && !(*taken)[i - 1] && IsSpace(text[i - 1]); --i) {
      meter->Spend(1);
      (*taken)[i - 1] = true;
    }
  }
  if (token.strip_right) {
    for (size_t i = match.begin + token.size; i < text.size() && !(*taken)[i] && IsSpace(text[i]);
         ++i) {
      meter->Spend(1);
      (*taken)[i] = true;
    }
  }
}

}  // namespace lull
