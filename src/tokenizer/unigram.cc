// Unigram ("t5"): of all ways to cut the normalized text into tokens the one with the highest sum
// of scores (Viterbi). A character that is no token is unknown, at a penalty.
#include <algorithm>
#include <cfloat>
#include <cstddef>
#include <utility>

#include "tokenizer/byte_trie.h"
#include "tokenizer/character_map.h"
#include "tokenizer/family.h"
#include "tokenizer/unicode.h"

namespace lull {
namespace {

constexpr float kUnknownPenalty = 10.0f;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The length of the UTF-8 sequence that text starts with, 0 where it is malformed. Structure only,
// as the reference takes it: also what lies beyond U+10FFFF is a character.
size_t SequenceLength(std::string_view text) {
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return 1;
  if (lead < 0xC0 || lead >= 0xF8) return 0;
  const size_t length = LengthByLeadByte(text[0]);
  for (size_t i = 1; i < length; ++i) {
    if (i >= text.size() || (static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) return 0;
  }
  return length;
}

struct UnigramModel {
  Vocabulary vocab;
  CharacterMap map;
  ByteTrie tokens;        // what a text can be cut into
  ByteTrie user_defined;  // what normalization leaves alone
  BytePairs pairs;
  float unknown_score = 0;
  bool merge_spaces = false;

  double ScoreOf(int32_t id) const {
    return (vocab.attrs[id] & kAttrUserDefined) != 0 ? 0.0 : vocab.scores[id];
  }
};

// The best cut of a stretch of text; what is better elsewhere does not depend on it where no token
// has the two bytes on either side of its end. Sums run on from stretch to stretch: rounding, which
// decides between near ties, is then as if the text were one.
class BestCut {
 public:
  BestCut(const UnigramModel& model, size_t bytes, WorkMeter* meter, std::vector<int32_t>* tokens)
      : model_(model), meter_(meter), tokens_(tokens) {
    text_.reserve(bytes);  // growing would copy megabytes between checkpoints
  }

  void Push(char byte) {
    if (left_of_character_ == 0) {
      if (!text_.empty() && !model_.pairs.Has(text_.back(), byte)) Flush();
      left_of_character_ = LengthByLeadByte(byte);
    }
    --left_of_character_;
    text_.push_back(byte);
  }

  void Flush() {
    if (text_.empty()) return;
    best_.clear();
    best_.resize(text_.size() + 1, Step{model_.vocab.unknown, 0, -DBL_MAX});
    best_[0].score = score_;
    for (size_t pos = 0; pos < text_.size();) {
      const size_t length = std::min(LengthByLeadByte(text_[pos]), text_.size() - pos);
      Extend(pos, length);
      pos += length;
    }
    Collect();
    score_ = best_.back().score;
    text_.clear();
  }

  void Free() {
    FreePaced(meter_, &text_);
    FreePaced(meter_, &best_);
  }

 private:
  struct Step {
    int32_t token;
    uint32_t from;
    double score;
  };

  void Offer(size_t end, const Step& step) {
    if (step.score > best_[end].score) best_[end] = step;
  }

  void Extend(size_t pos, size_t character) {
    const double score = best_[pos].score;
    const uint32_t from = static_cast<uint32_t>(pos);
    bool has_character = false;
    int32_t node = ByteTrie::kRoot;
    for (size_t end = pos; end < text_.size();) {
      meter_->Spend(1);
      node = model_.tokens.Child(node, text_[end++]);
      if (node == ByteTrie::kNowhere) break;
      const int32_t id = model_.tokens.TokenAt(node);
      if (id == kNoToken) continue;
      has_character = has_character || end - pos == character;
      Offer(end, {id, from, score + model_.ScoreOf(id)});
    }
    if (!has_character) {
      Offer(pos + character, {model_.vocab.unknown, from, score + model_.unknown_score});
    }
  }

  // Backwards along the best steps; neighbouring unknown tokens become one.
  void Collect() {
    const int32_t unknown = model_.vocab.unknown;
    const size_t begin = tokens_->size();
    bool after_unknown = false;
    for (size_t end = text_.size(); end > 0; end = best_[end].from) {
      meter_->Spend(1);
      const int32_t token = best_[end].token;
      if (!after_unknown || token != unknown) tokens_->push_back(token);
      after_unknown = token == unknown;
    }
    std::reverse(tokens_->begin() + static_cast<ptrdiff_t>(begin), tokens_->end());
    if (last_ == unknown && (*tokens_)[begin] == unknown) {
      tokens_->erase(tokens_->begin() + static_cast<ptrdiff_t>(begin));
    }
    last_ = tokens_->back();
  }

  const UnigramModel& model_;
  WorkMeter* meter_;
  std::vector<int32_t>* tokens_;
  std::string text_;
  std::vector<Step> best_;
  double score_ = 0;
  size_t left_of_character_ = 0;
  int32_t last_ = kNoToken;
};

class Unigram : public Family {
 public:
  explicit Unigram(UnigramModel model) : model_(std::move(model)) {}

  void Encode(std::string_view text, bool /*after_special*/, WorkMeter* meter,
              std::vector<int32_t>* tokens) const override {
    BestCut cut(model_, 3 * text.size() + kVisibleSpace.size(), meter, tokens);
    bool in_word = false, starts = model_.vocab.add_space_prefix;
    const auto push_space = [&] {
      for (char c : kVisibleSpace) cut.Push(c);
    };
    while (!text.empty()) {
      std::string_view written;
      text.remove_prefix(Normalize(text, &written));
      meter->Spend(2 + written.size());
      for (char c : written) {
        if (c != ' ') {
          if (!in_word && (starts || model_.merge_spaces)) push_space();
          if (!in_word) starts = false;
          in_word = true;
          cut.Push(c);
        } else {
          in_word = false;
          if (!model_.merge_spaces) push_space();
        }
      }
    }
    cut.Flush();
    cut.Free();
  }

  std::string NormalBytes(int32_t token) const override {
    return WithPlainSpaces(model_.vocab.texts.Get(token));
  }

  Vocabulary& vocabulary() override { return model_.vocab; }

 private:
  // How the next character or longer sequence of text is written; returns how many bytes that is.
  size_t Normalize(std::string_view text, std::string_view* written) const {
    const size_t user_defined = LongestUserDefined(text);
    if (user_defined > 0) {
      *written = text.substr(0, user_defined);
      return user_defined;
    }
    const size_t mapped = model_.map.LongestPrefix(text, written);
    if (mapped > 0) return mapped;
    const size_t length = SequenceLength(text);
    *written = length > 0 ? text.substr(0, length) : kReplacement;
    return std::max<size_t>(length, 1);
  }

  // The reference takes the longest way into the tree, whether or not a token ends there: the first
  // bytes of a user-defined token are never normalized, even half a character.
  size_t LongestUserDefined(std::string_view text) const {
    int32_t node = ByteTrie::kRoot;
    for (size_t i = 0; i < text.size(); ++i) {
      node = model_.user_defined.Child(node, text[i]);
      if (node == ByteTrie::kNowhere) return i;
    }
    return text.size();
  }

  UnigramModel model_;
};

void FillTables(UnigramModel* model, WorkMeter* meter) {
  const Vocabulary& vocab = model->vocab;
  float lowest = FLT_MAX;
  for (int32_t id = 0; id < vocab.num_tokens(); ++id) {
    meter->Spend(1 + vocab.texts.Get(id).size() / 8);
    model->pairs.AddAll(vocab.texts.Get(id));
    if ((vocab.attrs[id] & kAttrNormal) != 0) lowest = std::min(lowest, vocab.scores[id]);
  }
  model->unknown_score = lowest - kUnknownPenalty;
  model->tokens.Build(
      vocab,
      [&](int32_t id) {
        return (vocab.attrs[id] & (kAttrNormal | kAttrUserDefined | kAttrUnused)) != 0;
      },
      meter);
  model->user_defined.Build(
      vocab, [&](int32_t id) { return (vocab.attrs[id] & kAttrUserDefined) != 0; }, meter);
}

}  // namespace

Result<std::unique_ptr<Family>> CreateUnigram(const GgufFile& file, WorkMeter* meter) {
  VocabularyDefaults defaults;
  defaults.eos = 1;
  defaults.unknown = 2;
  defaults.add_eos = true;
  defaults.needs_scores = true;
  UnigramModel model;
  constexpr char kMapKey[] = "tokenizer.ggml.precompiled_charsmap";
  constexpr char kMergeSpacesKey[] = "tokenizer.ggml.remove_extra_whitespaces";
  if (file.Has(kMapKey)) {
    LULL_ASSIGN_OR_RETURN(const std::string_view bytes, file.GetByteArray(kMapKey));
    LULL_ASSIGN_OR_RETURN(model.map, CharacterMap::Create(bytes));
    meter->Spend(bytes.size() / 4);
  }
  if (file.Has(kMergeSpacesKey)) {
    LULL_ASSIGN_OR_RETURN(model.merge_spaces, file.GetBool(kMergeSpacesKey));
  }
  LULL_ASSIGN_OR_RETURN(model.vocab, ReadVocabulary(file, defaults, meter));
  LULL_RETURN_IF_ERROR(CheckWalkedTokens(model.vocab, meter));
  if (model.vocab.unknown == kNoToken) {
    return Error{ErrorCode::kInvalidModel, "a Unigram vocabulary without an unknown token",
                 "tokenizer.ggml.unknown_token_id", "fetch or convert the file again"};
  }
  FillTables(&model, meter);
  return std::unique_ptr<Family>(std::make_unique<Unigram>(std::move(model)));
}

}  // namespace lull
