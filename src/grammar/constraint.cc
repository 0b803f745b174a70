#include "grammar/constraint.h"

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <utility>

namespace lull::grammar {
namespace {

void Set(std::span<uint32_t> mask, int32_t token) {
  mask[token / 32] |= uint32_t{1} << (token % 32);
}
bool Has(std::span<const uint32_t> mask, int32_t token) {
  return (mask[token / 32] >> (token % 32) & 1) != 0;
}

bool Alive(const Position& position) {
  return !position.places.empty() || position.complete || position.left;
}

}  // namespace

Constraint::Constraint(std::shared_ptr<Grammar> grammar,
                       std::shared_ptr<const TokenVocabulary> vocabulary, const ExecContext& ctx)
    : grammar_(std::move(grammar)),
      vocabulary_(std::move(vocabulary)),
      ctx_(ctx),
      matcher_(grammar_->automaton(), ctx_),
      path_(static_cast<size_t>(vocabulary_->trie().max_depth()) + 1),
      state_path_(path_.size()) {
  matcher_.Start(&position_);
}

bool Constraint::finished() const {
  return ended_ || (position_.complete && position_.places.empty());
}

Status Constraint::CheckWork() const {
  if (matcher_.ok()) return Status::Ok();
  return {ErrorCode::kUnsupported, "the grammar is too ambiguous to follow", "response_format",
          "simplify the schema or the regular expression"};
}

Status Constraint::FillMask(std::span<uint32_t> mask) {
  const size_t words = (static_cast<size_t>(vocabulary_->vocab_size()) + 31) / 32;
  if (mask.size() < words) {
    return {ErrorCode::kUsage, "a mask of " + std::to_string(mask.size()) + " words", "mask",
            "it has at least " + std::to_string(words)};
  }
  std::fill(mask.begin(), mask.end(), 0u);
  matcher_.ResetWork();
  matcher_.Compact(&position_);
  const size_t mark = matcher_.Mark();
  const Status status = Fill(mask);
  matcher_.Release(mark);
  return status;
}

Status Constraint::Fill(std::span<uint32_t> mask) {
  if (!ended_ && at_first_ && vocabulary_->strips_first_space()) {
    FillFirst(mask);
  } else if (!ended_) {
    for (const Place& place : position_.places) {
      LULL_RETURN_IF_ERROR(AddPlace(place, mask));
    }
  }
  LULL_RETURN_IF_ERROR(CheckWork());
  if (ended_ || position_.complete) {
    for (int32_t token : vocabulary_->ends()) Set(mask, token);
  }
  return Status::Ok();
}

// A blank at the very start is dropped: what counts is what follows it.
void Constraint::FillFirst(std::span<uint32_t> mask) {
  const TokenTrie& trie = vocabulary_->trie();
  for (int32_t node = 0; node < trie.num_nodes(); node = trie.end(node)) {
    if (trie.byte(node) == ' ') {
      Walk(trie, node + 1, trie.end(node), 1, position_, mask);
    } else {
      Walk(trie, node, trie.end(node), 0, position_, mask);
    }
  }
}

Status Constraint::AddPlace(const Place& place, std::span<uint32_t> mask) {
  if (matcher_.Nesting(place.stack) + vocabulary_->max_openers() > Matcher::kMaxNesting) {
    // A mask that does not know what is under it would open too many.
    Position here;
    here.places.push_back(place);
    Walk(vocabulary_->trie(), 0, vocabulary_->trie().num_nodes(), 0, here, mask);
    return CheckWork();
  }
  const std::shared_ptr<const LocalMask> local = MaskOf(place.state);
  LULL_RETURN_IF_ERROR(CheckWork());
  local->AddTo(mask);
  if (local->rest.empty()) return Status::Ok();
  Position behind;
  matcher_.Pop(place.stack, &behind);
  Walk(local->rest, 0, local->rest.num_nodes(), 0, behind, mask);
  return CheckWork();
}

// Allows every token of trie nodes [begin, end) that `from` can go on with. depth: of the nodes
// above begin.
void Constraint::Walk(const TokenTrie& trie, int32_t begin, int32_t end, int32_t depth,
                      const Position& from, std::span<uint32_t> mask) {
  for (int32_t node = begin; node < end;) {
    const int32_t level = trie.depth(node) - depth;
    matcher_.Step(level == 1 ? from : path_[level - 1], trie.byte(node), &path_[level]);
    meter_.Spend(1);
    if (!matcher_.ok()) return;
    if (Alive(path_[level])) {
      for (int32_t token : trie.Tokens(node)) Set(mask, token);
    }
    node = path_[level].places.empty() ? trie.end(node) : node + 1;
  }
}

std::shared_ptr<const LocalMask> Constraint::MaskOf(int32_t state) {
  if (*matcher_.local(state) != nullptr) return *matcher_.local(state);
  const std::vector<Ref> nodes = matcher_.CutCounters(state, vocabulary_->trie().max_depth());
  const int32_t common = grammar_->automaton().common_nodes();
  const bool shared =
      std::all_of(nodes.begin(), nodes.end(), [&](Ref node) { return node.node() < common; });
  MaskCache& cache = shared ? vocabulary_->masks() : grammar_->masks();
  std::shared_ptr<const LocalMask> mask = cache.Find(nodes);
  if (mask == nullptr) {
    const bool in_string =
        nodes.size() == 1 && nodes[0].node() == grammar_->automaton().string_body();
    mask = in_string ? ComputeStringMask(nodes[0]) : ComputeMask(matcher_.StateOf(nodes));
    if (!matcher_.ok()) return mask;
    cache.Insert(nodes, mask);
  }
  *matcher_.local(state) = mask;
  return mask;
}

std::shared_ptr<const LocalMask> Constraint::ComputeMask(int32_t state) {
  constexpr int32_t kInPath = -1;  // not one state: see path_
  const TokenTrie& trie = vocabulary_->trie();
  std::vector<uint32_t> bits((static_cast<size_t>(vocabulary_->vocab_size()) + 31) / 32);
  std::vector<int32_t> left;  // nodes behind which the rule may have ended
  state_path_[0] = state;
  for (int32_t node = 0; node < trie.num_nodes() && matcher_.ok();) {
    const int32_t depth = trie.depth(node);
    const uint8_t byte = trie.byte(node);
    const int32_t from = state_path_[depth - 1];
    const int32_t next = from == kInPath ? Matcher::kSeveral : matcher_.Next(from, byte);
    meter_.Spend(1);
    state_path_[depth] = next;
    if (next == Matcher::kNone) {
      node = trie.end(node);
      continue;
    }
    bool goes_on = true;
    if (next == Matcher::kSeveral) {
      Position& above = path_[depth - 1];
      if (from != kInPath) {
        above.Clear();
        above.places.push_back({Matcher::kAnyStack, from});
      }
      Position& here = path_[depth];
      matcher_.Step(above, byte, &here);
      state_path_[depth] = kInPath;
      if (here.left && trie.end(node) > node + 1) left.push_back(node);
      goes_on = !here.places.empty();
      if (!Alive(here)) {
        node = trie.end(node);
        continue;
      }
    }
    for (int32_t token : trie.Tokens(node)) Set(bits, token);
    node = goes_on ? node + 1 : trie.end(node);
  }
  std::vector<TokenTrie::Entry> rest;
  for (int32_t node : left) {
    const size_t depth = static_cast<size_t>(trie.depth(node));
    for (int32_t token : trie.TokensBelow(node)) {
      meter_.Spend(1);
      const std::string_view bytes = vocabulary_->BytesOf(token);
      if (bytes.size() > depth && !Has(bits, token)) rest.push_back({bytes.substr(depth), token});
    }
  }
  return MakeMask(std::move(bits), std::move(rest));
}

// As ComputeMask, from what is known of every token: no walk.
std::shared_ptr<const LocalMask> Constraint::ComputeStringMask(Ref string) {
  const StringTokens& tokens = vocabulary_->string_tokens();
  const uint64_t least = string.a();
  const uint64_t most = string.b() == 0 ? UINT64_MAX : string.b() - 1;
  const auto first_longer =
      std::partition_point(tokens.stays.begin(), tokens.stays.end(),
                           [&](const auto& stay) { return stay.codes <= most; });
  const size_t fitting = static_cast<size_t>(first_longer - tokens.stays.begin());
  std::vector<uint32_t> bits;
  meter_.Spend(std::min(fitting, tokens.stays.size() - fitting) / 8);
  if (fitting > tokens.stays.size() / 2) {
    bits = tokens.all_stays;
    for (auto it = first_longer; it != tokens.stays.end(); ++it) {
      bits[it->token / 32] &= ~(uint32_t{1} << (it->token % 32));
    }
  } else {
    bits.resize(tokens.all_stays.size());
    for (auto it = tokens.stays.begin(); it != first_longer; ++it) Set(bits, it->token);
  }
  std::vector<TokenTrie::Entry> rest;
  for (const StringTokens::Close& close : tokens.closes) {
    if (close.codes < least || close.codes > most) continue;
    const std::string_view bytes = vocabulary_->BytesOf(close.token);
    if (bytes.size() == close.bytes) {
      Set(bits, close.token);
    } else {
      rest.push_back({bytes.substr(close.bytes), close.token});
    }
  }
  return MakeMask(std::move(bits), std::move(rest));
}

std::shared_ptr<const LocalMask> Constraint::MakeMask(std::vector<uint32_t> bits,
                                                      std::vector<TokenTrie::Entry> rest) {
  auto mask = std::make_shared<LocalMask>();
  mask->rest = TokenTrie(std::move(rest), &meter_);
  size_t allowed = 0;
  for (uint32_t word : bits) allowed += static_cast<size_t>(std::popcount(word));
  if (allowed > bits.size() / 2) {
    mask->bits = std::move(bits);
    return mask;
  }
  mask->tokens.reserve(allowed);
  for (size_t word = 0; word < bits.size(); ++word) {
    for (uint32_t left = bits[word]; left != 0; left &= left - 1) {
      mask->tokens.push_back(static_cast<int32_t>(word * 32) + std::countr_zero(left));
    }
  }
  return mask;
}

Status Constraint::Accept(int32_t token) {
  const auto refuse = [&](const char* why) -> Status {
    return {ErrorCode::kUsage, "token " + std::to_string(token) + " " + why, "token",
            "choose among those of the mask"};
  };
  if (token < 0 || token >= vocabulary_->vocab_size()) return refuse("is none of the vocabulary's");
  if (ended_) return refuse("comes after the end");
  if (vocabulary_->IsEnd(token)) {
    if (!position_.complete) return refuse("ends a text that is not complete");
    ended_ = true;
    return Status::Ok();
  }
  std::string_view bytes = vocabulary_->BytesOf(token);
  if (at_first_ && vocabulary_->strips_first_space() && bytes.starts_with(' ')) {
    bytes.remove_prefix(1);
  }
  if (bytes.empty()) return refuse("has no text");
  matcher_.ResetWork();
  matcher_.Compact(&position_);
  const size_t mark = matcher_.Mark();
  Position from = position_, to;
  for (char byte : bytes) {
    matcher_.Step(from, static_cast<uint8_t>(byte), &to);
    if (!matcher_.ok() || !Alive(to)) {
      matcher_.Release(mark);
      LULL_RETURN_IF_ERROR(CheckWork());
      return refuse("does not fit the grammar");
    }
    std::swap(from, to);
  }
  position_ = std::move(from);
  at_first_ = false;
  return Status::Ok();
}

void WarmUp(const std::shared_ptr<const TokenVocabulary>& vocabulary, const ExecContext& ctx) {
  const auto grammar = Grammar::Compile({}, ctx);
  if (!grammar.ok()) return;
  // Every kind of place that JSON has, a byte at a time where the vocabulary has it.
  constexpr std::string_view kSample =
      "{ \"a\\n\\u00e9\": -12.5e+1, \"b\":[true,false,null,0,{}],\n \"\xC3\xA9\xE2\x82\xAC\": []}";
  std::vector<int32_t> token_of(256, -1);
  for (int32_t token = 0; token < vocabulary->vocab_size(); ++token) {
    const std::string_view bytes = vocabulary->BytesOf(token);
    if (bytes.size() == 1) token_of[static_cast<uint8_t>(bytes[0])] = token;
  }
  Constraint constraint(*grammar, vocabulary, ctx);
  std::vector<uint32_t> mask((static_cast<size_t>(vocabulary->vocab_size()) + 31) / 32);
  for (char byte : kSample) {
    const int32_t token = token_of[static_cast<uint8_t>(byte)];
    if (!constraint.FillMask(mask).ok() || token < 0 || !constraint.Accept(token).ok()) return;
  }
}

}  // namespace lull::grammar
