// WordPiece ("bert"): words by white space and punctuation, each cut into the longest tokens from
// the left. A word starts with U+2581 in the vocabulary; one that cannot be cut is one unknown
// token.
#include <algorithm>
#include <iterator>
#include <utility>

#include "tokenizer/byte_trie.h"
#include "tokenizer/family.h"
#include "tokenizer/unicode.h"

namespace lull {
namespace {

// Code points first, first + stride, ... last become code + delta.
struct CaseRun {
  uint32_t first, last, stride;
  int32_t delta;
};
// All of them have this first character in their canonical decomposition.
struct BaseRange {
  uint32_t first, last, base;
};
#include "tokenizer/unicode_folds.inc"

template <typename Row>
const Row* RowOf(const Row* begin, const Row* end, uint32_t code) {
  const Row* row =
      std::upper_bound(begin, end, code, [](uint32_t c, const Row& r) { return c < r.first; });
  if (row == begin || code > row[-1].last) return nullptr;
  return row - 1;
}

uint32_t LowerCase(uint32_t code) {
  const CaseRun* run = RowOf(std::begin(kLowerRuns), std::end(kLowerRuns), code);
  if (run == nullptr || (code - run->first) % run->stride != 0) return code;
  return static_cast<uint32_t>(static_cast<int32_t>(code) + run->delta);
}

uint32_t BaseCharacter(uint32_t code) {
  const BaseRange* range = RowOf(std::begin(kBaseRanges), std::end(kBaseRanges), code);
  return range == nullptr ? code : range->base;
}

// A word of its own. The fourth supplementary range starts where the reference starts it.
bool IsHan(uint32_t code) {
  constexpr std::pair<uint32_t, uint32_t> kRanges[] = {
      {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
      {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kRanges), std::end(kRanges), [&](const auto& range) {
    return range.first <= code && code <= range.second;
  });
}

struct Normalizer {
  bool lowercase = true;
  bool strip_accents = true;
};

class WordPiece : public Family {
 public:
  WordPiece(Vocabulary vocab, Normalizer normalizer, WorkMeter* meter)
      : vocab_(std::move(vocab)), normalizer_(normalizer) {
    trie_.Build(
        vocab_, [](int32_t) { return true; }, meter);
  }

  void Encode(std::string_view text, bool /*after_special*/, WorkMeter* meter,
              std::vector<int32_t>* tokens) const override {
    std::string word;
    word.reserve(kVisibleSpace.size() + 3 * text.size());  // no case or base is longer than that
    word = kVisibleSpace;
    for (size_t pos = 0; pos < text.size();) {
      meter->Spend(4);
      uint32_t code = NextCodePoint(text, &pos);
      if (normalizer_.strip_accents) code = BaseCharacter(code);
      const uint8_t char_class = ClassOf(code);
      if ((char_class & kWhitespace) != 0) {
        EndWord(&word, meter, tokens);
        continue;
      }
      if (code == 0 || code == kReplacementChar || (char_class & kControl) != 0) continue;
      if (normalizer_.strip_accents && (char_class & kMark) != 0) continue;
      const bool alone = (char_class & kPunctuation) != 0 ||
                         (code < 0x7F && (char_class & kSymbol) != 0) || IsHan(code);
      if (alone) EndWord(&word, meter, tokens);
      AppendUtf8(normalizer_.lowercase ? LowerCase(code) : code, &word);
      if (alone) EndWord(&word, meter, tokens);
    }
    EndWord(&word, meter, tokens);
    FreePaced(meter, &word);
  }

  std::string NormalBytes(int32_t token) const override {
    return WithPlainSpaces(vocab_.texts.Get(token));
  }

  Vocabulary& vocabulary() override { return vocab_; }

 private:
  // Leaves *word as a new word starts.
  void EndWord(std::string* word, WorkMeter* meter, std::vector<int32_t>* tokens) const {
    if (word->size() == kVisibleSpace.size()) return;
    const size_t before = tokens->size();
    for (size_t pos = 0; pos < word->size();) {
      size_t length = 0;
      const int32_t id = LongestAt(std::string_view(*word).substr(pos), meter, &length);
      if (id == kNoToken) {
        tokens->resize(before);
        if (vocab_.unknown != kNoToken) tokens->push_back(vocab_.unknown);
        break;
      }
      tokens->push_back(id);
      pos += length;
    }
    word->resize(kVisibleSpace.size());
  }

  int32_t LongestAt(std::string_view text, WorkMeter* meter, size_t* length) const {
    int32_t longest = kNoToken;
    int32_t node = ByteTrie::kRoot;
    for (size_t i = 0; i < text.size(); ++i) {
      meter->Spend(1);
      node = trie_.Child(node, text[i]);
      if (node == ByteTrie::kNowhere) break;
      if (trie_.TokenAt(node) == kNoToken) continue;
      longest = trie_.TokenAt(node);
      *length = i + 1;
    }
    return longest;
  }

  Vocabulary vocab_;
  const Normalizer normalizer_;
  ByteTrie trie_;
};

}  // namespace

Status CheckWalkedTokens(const Vocabulary& vocab, WorkMeter* meter) {
  for (int32_t id = 0; id < vocab.num_tokens(); ++id) {
    meter->Spend(1);
    const size_t bytes = vocab.texts.Get(id).size();
    if (bytes <= kMaxWalkedTokenBytes) continue;
    return Status(ErrorCode::kInvalidModel,
                  "token " + std::to_string(id) + " is " + std::to_string(bytes) +
                      " bytes long, at most " + std::to_string(kMaxWalkedTokenBytes) +
                      " are read in a vocabulary of this kind",
                  "tokenizer.ggml.tokens");
  }
  return Status::Ok();
}

Result<std::unique_ptr<Family>> CreateWordPiece(const GgufFile& file, WorkMeter* meter) {
  VocabularyDefaults defaults;
  defaults.bos = 101;
  defaults.unknown = 100;
  defaults.separator = 102;
  defaults.always_bos = true;
  defaults.ends_with_separator = true;
  Normalizer normalizer;
  constexpr char kLowercaseKey[] = "tokenizer.ggml.normalizer.lowercase";
  constexpr char kStripAccentsKey[] = "tokenizer.ggml.normalizer.strip_accents";
  if (file.Has(kLowercaseKey)) {
    LULL_ASSIGN_OR_RETURN(normalizer.lowercase, file.GetBool(kLowercaseKey));
  }
  normalizer.strip_accents = normalizer.lowercase;
  if (file.Has(kStripAccentsKey)) {
    LULL_ASSIGN_OR_RETURN(normalizer.strip_accents, file.GetBool(kStripAccentsKey));
  }
  LULL_ASSIGN_OR_RETURN(Vocabulary vocab, ReadVocabulary(file, defaults, meter));
  LULL_RETURN_IF_ERROR(CheckWalkedTokens(vocab, meter));
  return std::unique_ptr<Family>(std::make_unique<WordPiece>(std::move(vocab), normalizer, meter));
}

}  // namespace lull
