// Byte-pair encoding by a list of ranked merges ("gpt2"): words by a pre-tokenizer, then merges of
// bytes, each written as one printable character; or ("gemma4") of UTF-8 characters.
#include <array>
#include <utility>

#include "tokenizer/family.h"
#include "tokenizer/merge.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/unicode.h"

namespace lull {
namespace {

constexpr char kMergesKey[] = "tokenizer.ggml.merges";

bool IsPrintableByte(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

// The alphabet of byte-level vocabularies: printable Latin-1 stands for itself, the other bytes
// for U+0100 onwards in order.
struct ByteAlphabet {
  std::array<std::string, 256> text;
  std::array<int16_t, 0x200> byte_of;  // by code point, -1 where it stands for no byte

  ByteAlphabet() {
    byte_of.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t code = IsPrintableByte(byte) ? byte : next++;
      byte_of[code] = static_cast<int16_t>(byte);
      AppendUtf8(code, &text[byte]);
    }
  }
  static const ByteAlphabet& Get() {
    static const ByteAlphabet alphabet;
    return alphabet;
  }
};

class BytePair : public Family {
 public:
  BytePair(Vocabulary vocab, Pretokenizer pretokenizer)
      : vocab_(std::move(vocab)), pretokenizer_(std::move(pretokenizer)) {}

  // "left right" each, the lower index merging first. Texts that are no tokens may occur.
  // llama.cpp keeps an entry that is not two texts as one that never applies; no known writer makes
  // one.
  Status AddMerges(const std::vector<std::string_view>& merges, WorkMeter* meter) {
    table_.Reserve(merges.size(), meter);
    std::string merged;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      meter->Spend(16);
      if (merges[rank].size() > kMaxTokenBytes) {
        return Status(ErrorCode::kInvalidModel,
                      "merge " + std::to_string(rank) + " is " +
                          std::to_string(merges[rank].size()) + " bytes long, at most " +
                          std::to_string(kMaxTokenBytes) + " are read",
                      kMergesKey);
      }
      const size_t space = merges[rank].find(' ', 1);
      if (space == std::string_view::npos || space + 1 == merges[rank].size())
        return BadMerge(rank, merges[rank]);
      const std::string_view left = merges[rank].substr(0, space);
      const std::string_view right = merges[rank].substr(space + 1);
      merged.assign(left);
      merged.append(right);
      pairs_.Add(left.back(), right.front());
      const int32_t left_id = vocab_.texts.FindOrAppend(left, meter);
      const int32_t right_id = vocab_.texts.FindOrAppend(right, meter);
      table_.Insert(left_id, right_id,
                    {static_cast<uint32_t>(rank), vocab_.texts.FindOrAppend(merged, meter)});
      if (vocab_.texts.total_bytes() > kMaxTextBytes) {
        return Status(ErrorCode::kInvalidModel, "merges of more than 1 GiB of text", kMergesKey);
      }
    }
    for (int byte = 0; byte < 256; ++byte) {
      byte_symbols_[byte] = vocab_.texts.Find(ByteAlphabet::Get().text[byte]);
    }
    return Status::Ok();
  }

  void Encode(std::string_view text, bool /*after_special*/, WorkMeter* meter,
              std::vector<int32_t>* tokens) const override {
    std::string visible;
    if (pretokenizer_.traits().raw_utf8) {
      visible.reserve(text.size() * kVisibleSpace.size());
      AppendVisibleSpaces(text, meter, &visible);
      text = visible;
    }
    std::vector<uint32_t> codes;
    codes.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
      if ((codes.size() & 0xFF) == 0) meter->Spend(0x40);
      codes.push_back(NextCodePoint(text, &pos));
    }
    std::vector<uint32_t> ends;
    pretokenizer_.Split(codes, meter, &ends);
    Scratch scratch;
    uint32_t begin = 0;
    for (uint32_t end : ends) {
      const std::span<const uint32_t> word = std::span(codes).subspan(begin, end - begin);
      if (pretokenizer_.traits().raw_utf8) {
        EncodeCharacters(word, meter, &scratch, tokens);
      } else {
        EncodeBytes(word, meter, &scratch, tokens);
      }
      begin = end;
    }
    scratch.Free(meter);
    FreePaced(meter, &codes);
    FreePaced(meter, &ends);
    FreePaced(meter, &visible);
  }

  std::string NormalBytes(int32_t token) const override {
    const std::string_view text = vocab_.texts.Get(token);
    if (pretokenizer_.traits().raw_utf8) return WithPlainSpaces(text);
    const ByteAlphabet& alphabet = ByteAlphabet::Get();
    std::string result;
    for (size_t pos = 0; pos < text.size();) {
      const size_t start = pos;
      const uint32_t code = NextCodePoint(text, &pos);
      if (code < alphabet.byte_of.size() && alphabet.byte_of[code] >= 0) {
        result += static_cast<char>(alphabet.byte_of[code]);
      } else {
        result.append(text.substr(start, pos - start));
      }
    }
    return result;
  }

  Vocabulary& vocabulary() override { return vocab_; }

 private:
  static constexpr size_t kMaxTextBytes = size_t{1} << 30;

  static Error BadMerge(size_t rank, std::string_view merge) {
    return {ErrorCode::kInvalidModel,
            "merge " + std::to_string(rank) + ", " + GgufQuote(merge) +
                ", is not two texts with a space between",
            kMergesKey, "the vocabulary is damaged; fetch or convert the file again"};
  }

  struct Scratch {
    Merger merger;
    std::vector<MergeSymbol> symbols;
    std::string text;

    void Free(WorkMeter* meter) {
      merger.Free(meter);
      FreePaced(meter, &symbols);
      FreePaced(meter, &text);
    }
  };

  void EncodeBytes(std::span<const uint32_t> word, WorkMeter* meter, Scratch* scratch,
                   std::vector<int32_t>* tokens) const {
    const ByteAlphabet& alphabet = ByteAlphabet::Get();
    scratch->symbols.clear();
    scratch->symbols.reserve(word.size() * 4);  // growing would copy megabytes between checkpoints
    scratch->text.clear();
    uint32_t begin = 0;
    for (size_t at = 0; at < word.size(); ++at) {
      if ((at & 0xFF) == 0xFF) meter->Spend(0x100);
      char utf8[4];
      const size_t length = EncodeUtf8(word[at], utf8);
      for (size_t i = 0; i < length; ++i) {
        const uint8_t byte = static_cast<uint8_t>(utf8[i]);
        scratch->symbols.push_back({begin++, 1, byte_symbols_[byte]});
        if (pretokenizer_.traits().ignore_merges) scratch->text += alphabet.text[byte];
      }
    }
    if (pretokenizer_.traits().ignore_merges && EmitWholeWord(scratch->text, tokens)) return;
    Merge(meter, scratch);
    for (const MergeSymbol& symbol : scratch->symbols) {
      if (symbol.id != kNoToken) EmitSymbol(symbol.id, meter, tokens);
    }
  }

  void EncodeCharacters(std::span<const uint32_t> word, WorkMeter* meter, Scratch* scratch,
                        std::vector<int32_t>* tokens) const {
    scratch->text.clear();
    scratch->text.reserve(word.size() * 4);
    for (size_t at = 0; at < word.size(); ++at) {
      if ((at & 0xFF) == 0xFF) meter->Spend(0x100);
      AppendUtf8(word[at], &scratch->text);
    }
    const PretokenizerTraits& traits = pretokenizer_.traits();
    if (traits.ignore_merges || (traits.newline_words && word.front() == '\n')) {
      if (EmitWholeWord(scratch->text, tokens)) return;
    }
    const std::string_view text = scratch->text;
    scratch->symbols.clear();
    scratch->symbols.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
      const size_t length = std::min(LengthByLeadByte(text[pos]), text.size() - pos);
      const std::string_view character = text.substr(pos, length);
      scratch->symbols.push_back({static_cast<uint32_t>(pos), static_cast<uint32_t>(length),
                                  vocab_.texts.Find(character)});
      pos += length;
      if ((scratch->symbols.size() & 0xFF) == 0) meter->Spend(0x100);
      if (pos < text.size() && pairs_.Has(text[pos - 1], text[pos])) continue;
      EncodeCharacterRun(text, meter, scratch, tokens);
      scratch->symbols.clear();
    }
  }

  void EncodeCharacterRun(std::string_view text, WorkMeter* meter, Scratch* scratch,
                          std::vector<int32_t>* tokens) const {
    Merge(meter, scratch);
    for (const MergeSymbol& symbol : scratch->symbols) {
      meter->Spend(symbol.id >= 0 ? 2 : 8);
      if (symbol.id >= 0 && symbol.id < vocab_.num_tokens()) {
        tokens->push_back(symbol.id);
        continue;
      }
      for (char byte : text.substr(symbol.begin, symbol.size)) {
        const int32_t id = vocab_.ByteToken(static_cast<uint8_t>(byte));
        if (id != kNoToken && id < vocab_.num_tokens()) tokens->push_back(id);
      }
    }
  }

  void Merge(WorkMeter* meter, Scratch* scratch) const {
    const auto find = [this](const MergeSymbol& left, const MergeSymbol& right,
                             MergeCandidate* candidate) {
      if (left.id < 0 || right.id < 0) return false;
      return table_.Find(left.id, right.id, candidate);
    };
    scratch->merger.Run(find, meter, &scratch->symbols);
  }

  bool EmitWholeWord(std::string_view text, std::vector<int32_t>* tokens) const {
    const int32_t id = vocab_.Find(text);
    if (id == kNoToken || id >= vocab_.num_tokens()) return false;
    tokens->push_back(id);
    return true;
  }

  // A merged text that is no token is spelled by those of its bytes that are tokens of their own.
  void EmitSymbol(int32_t id, WorkMeter* meter, std::vector<int32_t>* tokens) const {
    meter->Spend(2);
    if (id < vocab_.num_tokens()) {
      tokens->push_back(id);
      return;
    }
    const std::string_view text = vocab_.texts.Get(id);
    meter->Spend(8 * text.size());
    for (size_t i = 0; i < text.size(); ++i) EmitWholeWord(text.substr(i, 1), tokens);
  }

  Vocabulary vocab_;  // texts: the tokens, then texts of merges that are no tokens
  Pretokenizer pretokenizer_;
  PairTable table_;
  BytePairs pairs_;
  std::array<int32_t, 256> byte_symbols_{};
};

}  // namespace

Result<std::unique_ptr<Family>> CreateBytePair(const GgufFile& file, WorkMeter* meter) {
  LULL_ASSIGN_OR_RETURN(const std::string_view model, file.GetString("tokenizer.ggml.model"));
  std::string_view pre = model == "gemma4" ? model : "";
  if (pre.empty() && file.Has("tokenizer.ggml.pre")) {
    LULL_ASSIGN_OR_RETURN(pre, file.GetString("tokenizer.ggml.pre"));
  }
  LULL_ASSIGN_OR_RETURN(Pretokenizer pretokenizer, Pretokenizer::Create(pre));
  VocabularyDefaults defaults;
  defaults.add_bos = pretokenizer.traits().add_bos;
  defaults.always_bos = pretokenizer.traits().always_bos;
  std::vector<std::string_view> merges;
  if (file.Has(kMergesKey)) {
    LULL_ASSIGN_OR_RETURN(merges, file.GetStringArray(kMergesKey, meter->context()));
  } else if (!pretokenizer.traits().merges_optional) {
    return Error{ErrorCode::kInvalidModel, "a byte-pair vocabulary without merges", kMergesKey,
                 "fetch or convert the file again"};
  }
  size_t merge_bytes = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    if ((i & 0xFF) == 0) meter->Spend(0x40);
    merge_bytes += merges[i].size();
  }
  // A merge adds its two parts and their join at most.
  LULL_ASSIGN_OR_RETURN(Vocabulary vocab,
                        ReadVocabulary(file, defaults, meter, 3 * merges.size(), 2 * merge_bytes));
  auto family = std::make_unique<BytePair>(std::move(vocab), std::move(pretokenizer));
  LULL_RETURN_IF_ERROR(family->AddMerges(merges, meter));
  FreePaced(meter, &merges);
  return std::unique_ptr<Family>(std::move(family));
}

}  // namespace lull
