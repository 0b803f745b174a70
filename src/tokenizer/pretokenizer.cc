#include "tokenizer/pretokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

namespace lull {
namespace {

enum RowFlags : uint32_t {
  kPlain = 0,
  kIgnoreMerges = 1,
  kAddBos = 2,
  kRawUtf8 = 4,
  kNewlineWords = 8,
  kAlwaysBos = 16,
  kMergesOptional = 32,
};

struct Row {
  std::string_view name;
  uint32_t flags;
  std::vector<std::string_view> passes;
};

// Parts that several rows share. All are as the models' own tokenizer files have them, except
// where the reference implementation departs from those: it knows no case of letters beyond
// ASCII, so \p{Lu}, \p{Ll}, \p{Lt}, \p{Lm} and \p{Lo} are all \p{L}.
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define MARKED_WORD "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+"
#define UPPER "[\\p{L}&&[^a-z]]"
#define LOWER "[\\p{L}&&[^A-Z]]"
#define MARKED_UPPER "[\\p{L}\\p{M}&&[^a-z]]"
#define MARKED_LOWER "[\\p{L}\\p{M}&&[^A-Z]]"
#define OTHER " ?[^\\s\\p{L}\\p{N}]+"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LINES_AND_SPACES "\\s*[\\r\\n]+|" SPACES
#define ASCII_PUNCTUATION "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define HAN                                                                                   \
  "\u4E00-\u9FFF\u3400-\u4DBF\U00020000-\U0002A6DF\U0002A700-\U0002B73F\U0002B740-\U0002B81F" \
  "\U0002B820-\U0002CEAF\U0002CEB0-\U0002EBEF\uF900-\uFAFF\U0002F800-\U0002FA1F"

constexpr std::string_view kDigit = "\\p{N}";
constexpr std::string_view kDigits = "\\p{N}+";
constexpr std::string_view kUpToThreeDigits = "\\p{N}{1,3}";
constexpr std::string_view kThreeAsciiDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kLineBreak = "[\\r\\n]";
constexpr std::string_view kLines = "[^\\n]+|[\\n]+";
constexpr std::string_view kCjk = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view kCjkAndKana = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kGpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" OTHER "|" SPACES;
constexpr std::string_view kLlama3 =
    CONTRACTION "|" WORD "|\\p{N}{1,3}|" OTHER "[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kQwen2 =
    CONTRACTION "|" WORD "|\\p{N}|" OTHER "[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kQwen35 =
    CONTRACTION "|" MARKED_WORD "|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kMiniCpm5 =
    CONTRACTION "|" WORD "|\\p{N}+|" OTHER "[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kUfakzeka = WORD "|\\p{N}|" OTHER "[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kSeedCoder =
    CONTRACTION "|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES_AND_SPACES;
constexpr std::string_view kBailing =
    CONTRACTION "|" WORD "|\\p{N}|" OTHER "[\\r\\n]*|\\s*[\\r\\n]|" SPACES;
constexpr std::string_view kExaoneMoe =
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" OTHER
                "[\\r\\n/]?|\\s*[\\r\\n]|" SPACES;
constexpr std::string_view kJais2 = CONTRACTION
    "|" WORD "|\\p{N}{1,3}|" OTHER
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|"
    "\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s";
constexpr std::string_view kDeepSeek3 = ASCII_PUNCTUATION
    "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kSpark = ASCII_PUNCTUATION
    "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|" SPACES;
constexpr std::string_view kTekken =
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER
    "+|"
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*|\\p{N}|" OTHER "[\\r\\n/]*|" LINES_AND_SPACES;
constexpr std::string_view kGpt4o = "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION
                                    "?|"
                                    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" CONTRACTION
                                    "?|\\p{N}{1,3}|" OTHER "[\\r\\n/]*|" LINES_AND_SPACES;
constexpr std::string_view kGraniteMulti =
    "[^\\r\\n\\p{L}\\p{N}]?" MARKED_UPPER "*" MARKED_LOWER "+" CONTRACTION
    "?|[^\\r\\n\\p{L}\\p{N}]?" MARKED_UPPER "+" MARKED_LOWER "*" CONTRACTION "?|\\p{N}{1,3}|" OTHER
    "[\\r\\n/]*|" LINES_AND_SPACES;
constexpr std::string_view kTinyAya =
    MARKED_WORD CONTRACTION "?|\\p{N}{1,3}|" OTHER "[\\r\\n/]*|" LINES_AND_SPACES;
constexpr std::string_view kYoutu =
    MARKED_WORD CONTRACTION "?|\\p{N}|" OTHER "[\\r\\n/]*|" LINES_AND_SPACES;
constexpr std::string_view kYoutuScripts =
    "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-"
    "ゟ゠-"
    "ヿ]"
    "+";
constexpr std::string_view kKimi =
    "[" HAN "]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}&&[^" HAN "]]+" CONTRACTION "?|\\p{N}{1,3}|" OTHER
    "[\\r\\n]*|" LINES_AND_SPACES;
constexpr std::string_view kBloom = " ?[^(\\s|.,!?…。，、।۔،)]+";
constexpr std::string_view kFalconPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|`]+";
constexpr std::string_view kDefaultPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|]+";
constexpr std::string_view kAfmoeScripts =
    "[一-鿿㐀-䶿豈-\uFAFF぀-ゟ゠-ヿ･-ﾟ⼀-\u2FDF\u0E40-\u0E7F\u0E80-\u0EFF\u1780-"
    "\u17FF"
    "\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF가-\uD7AF\u1100-\u11FF]+";
// Letters of scripts with case, and what the model's file adds to them.
constexpr std::string_view kDeepSeekLetters =
    "\\s?["
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-"
    "ჅᎠ-"
    "Ᏽ"
    "ᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-"
    "ῌῐ-"
    "ΐῖ-"
    "Ί"
    "ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-"
    "ꚛꜢ-"
    "ꝯꝱ-"
    "ꞇ"
    "Ꞌ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-"
    "𑣟𞤀-"
    "𞥃"
    "]+";
constexpr std::string_view kDeepSeekPunctuation = "\\s?[!-/:-~！-／：-～‘-‟　-。]+";
// Passes that are no patterns: groups of three digits, counted from the end of each run. Joined:
// the first group takes the text before it along.
constexpr std::string_view kThirds = "@thirds";
constexpr std::string_view kThirdsJoined = "@thirds-joined";

// Patterns as the models' own tokenizer files have them, where a row has another text for it: what
// the reference implementation makes of the case of letters, or the same said in another way.
#define CASED_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE "[^\\r\\n\\p{L}\\p{N}]?"
struct Published {
  std::string_view pattern, row;
};
constexpr Published kPublished[] = {
    {BEFORE CASED_UPPER "*" CASED_LOWER "+" CONTRACTION "?|" BEFORE CASED_UPPER "+" CASED_LOWER
                        "*" CONTRACTION "?|\\p{N}{1,3}|" OTHER "[\\r\\n/]*|" LINES_AND_SPACES,
     kGpt4o},
    {BEFORE CASED_UPPER "*" CASED_LOWER "+|" BEFORE CASED_UPPER "+" CASED_LOWER "*|\\p{N}|" OTHER
                        "[\\r\\n/]*|" LINES_AND_SPACES,
     kTekken},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
     "\\s*[\\r\\n]|" SPACES,
     kBailing},
    {CONTRACTION "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|" SPACES, kSeedCoder},
};

std::string_view RowPattern(std::string_view pattern) {
  for (const Published& published : kPublished)
    if (published.pattern == pattern) return published.row;
  return pattern;
}

std::vector<Row> Rows() {
  return {
#define LULL_PRETOKENIZER(name, flags, ...) {name, flags, {__VA_ARGS__}},
#include "tokenizer/pretokenizer_list.inc"
#undef LULL_PRETOKENIZER
  };
}

PretokenizerTraits TraitsOf(uint32_t flags) {
  PretokenizerTraits traits;
  traits.ignore_merges = (flags & kIgnoreMerges) != 0;
  traits.add_bos = (flags & kAddBos) != 0;
  traits.raw_utf8 = (flags & kRawUtf8) != 0;
  traits.newline_words = (flags & kNewlineWords) != 0;
  traits.always_bos = (flags & kAlwaysBos) != 0;
  traits.merges_optional = (flags & kMergesOptional) != 0;
  return traits;
}

}  // namespace

Result<Pretokenizer> Pretokenizer::Create(std::string_view name) {
  for (const Row& row : Rows()) {
    if (row.name != name) continue;
    Pretokenizer result;
    result.traits_ = TraitsOf(row.flags);
    for (std::string_view text : row.passes) {
      Pass pass;
      if (text == kThirds || text == kThirdsJoined) {
        pass.kind = text == kThirds ? Pass::Kind::kThirds : Pass::Kind::kThirdsJoined;
        if (text == kThirds) {
          pass.digits.AddRange('0', '9');
        } else {
          pass.digits.AddClasses(kNumber);
        }
      } else {
        LULL_ASSIGN_OR_RETURN(pass.pattern, WordPattern::Compile(text));
      }
      result.passes_.push_back(std::move(pass));
    }
    return result;
  }
  std::string known;
  for (std::string_view other : Names()) known.append(" ").append(other);
  return Error{ErrorCode::kUnsupported, "unknown pre-tokenizer '" + std::string(name) + "'",
               "tokenizer.ggml.pre",
               "docs/guides/adding_a_pretokenizer.md shows how to add it; known are" + known};
}

std::vector<std::string_view> Pretokenizer::Names() {
  std::vector<std::string_view> names;
  for (const Row& row : Rows()) names.push_back(row.name);
  return names;
}

std::string_view Pretokenizer::NameOf(std::span<const std::string> passes, bool ignore_merges) {
  for (const Row& row : Rows()) {
    const bool plain = (row.flags & ~uint32_t{kIgnoreMerges | kAddBos}) == 0;
    if (!plain || row.name.empty() || ignore_merges != ((row.flags & kIgnoreMerges) != 0)) continue;
    const auto same = [](const std::string& pass, std::string_view of_row) {
      return RowPattern(pass) == of_row;
    };
    if (std::equal(passes.begin(), passes.end(), row.passes.begin(), row.passes.end(), same))
      return row.name;
  }
  return {};
}

void Pretokenizer::Split(std::span<const uint32_t> codes, WorkMeter* meter,
                         std::vector<uint32_t>* ends) const {
  std::vector<uint32_t> pieces = {static_cast<uint32_t>(codes.size())};
  for (const Pass& pass : passes_) {
    std::vector<uint32_t> finer;
    finer.reserve(codes.size());  // growing would copy megabytes between checkpoints
    uint32_t begin = 0;
    for (uint32_t end : pieces) {
      if (pass.kind == Pass::Kind::kPattern) {
        pass.pattern.Split(codes, begin, end, meter, &finer);
      } else {
        SplitThirds(pass, codes, begin, end, meter, &finer);
      }
      begin = end;
    }
    pieces.swap(finer);
    FreePaced(meter, &finer);
  }
  if (ends->empty()) {
    *ends = std::move(pieces);
  } else {
    ends->insert(ends->end(), pieces.begin(), pieces.end());
    FreePaced(meter, &pieces);
  }
}

void Pretokenizer::SplitThirds(const Pass& pass, std::span<const uint32_t> codes, uint32_t begin,
                               uint32_t end, WorkMeter* meter, std::vector<uint32_t>* ends) {
  uint32_t piece = begin;
  for (uint32_t pos = begin; pos < end;) {
    meter->Spend(1);
    if (!pass.digits.Has(codes[pos])) {
      ++pos;
      continue;
    }
    uint32_t run = pos;
    while (run < end && pass.digits.Has(codes[run])) ++run;
    if (pass.kind == Pass::Kind::kThirds && piece < pos) ends->push_back(piece = pos);
    for (uint32_t group = pos + ((run - pos) % 3 == 0 ? 3 : (run - pos) % 3); group <= run;
         group += 3) {
      meter->Spend(1);
      ends->push_back(piece = group);
    }
    pos = run;
  }
  if (piece < end) ends->push_back(end);
}

}  // namespace lull
