// SentencePiece-style BPE ("llama"; Gemma's too): characters merge by the score of the token that
// the merged text is; what is no token in the end is spelled in byte tokens.
#include <array>
#include <bit>
#include <utility>

#include "tokenizer/family.h"
#include "tokenizer/merge.h"
#include "tokenizer/unicode.h"

namespace lull {
namespace {

// Maps scores to integers that sort the other way round: the highest score first.
uint32_t DescendingOrder(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  return (bits & 0x80000000u) != 0 ? bits : ~bits & 0x7FFFFFFFu;
}

class SentencePiece : public Family {
 public:
  SentencePiece(Vocabulary vocab, WorkMeter* meter) : vocab_(std::move(vocab)) {
    for (int32_t id = 0; id < vocab_.num_tokens(); ++id) {
      const std::string_view text = vocab_.texts.Get(id);
      meter->Spend(1 + text.size() / 8);
      pairs_.AddAll(text);
      longest_ = std::max(longest_, static_cast<uint32_t>(text.size()));
    }
    for (int byte = 0; byte < 256; ++byte) {
      int32_t id = vocab_.ByteToken(static_cast<uint8_t>(byte));
      const char raw = static_cast<char>(byte);
      if (id == kNoToken) id = vocab_.Find(std::string_view(&raw, 1));
      byte_tokens_[byte] = id != kNoToken ? id : vocab_.unknown;
    }
  }

  void Encode(std::string_view text, bool after_special, WorkMeter* meter,
              std::vector<int32_t>* tokens) const override {
    std::string visible;
    visible.reserve(text.size() * kVisibleSpace.size() + kVisibleSpace.size());
    if (vocab_.add_space_prefix && after_special) visible = kVisibleSpace;
    AppendVisibleSpaces(text, meter, &visible);
    Scratch scratch;
    scratch.symbols.reserve(visible.size());  // growing would copy megabytes between checkpoints
    size_t begin = 0;
    for (size_t pos = 0; pos < visible.size();) {
      const size_t next = std::min(pos + LengthByLeadByte(visible[pos]), visible.size());
      scratch.symbols.push_back(
          {static_cast<uint32_t>(pos - begin), static_cast<uint32_t>(next - pos), kNoToken});
      pos = next;
      if ((scratch.symbols.size() & 0xFF) == 0) meter->Spend(0x80);
      if (pos == visible.size() || !pairs_.Has(visible[pos - 1], visible[pos])) {
        EncodeWord(std::string_view(visible).substr(begin, pos - begin), meter, &scratch, tokens);
        begin = pos;
        scratch.symbols.clear();
      }
    }
    scratch.merger.Free(meter);
    FreePaced(meter, &scratch.symbols);
    FreePaced(meter, &visible);
  }

  std::string NormalBytes(int32_t token) const override {
    return WithPlainSpaces(vocab_.texts.Get(token));
  }

  Vocabulary& vocabulary() override { return vocab_; }

 private:
  struct Scratch {
    Merger merger;
    std::vector<MergeSymbol> symbols;
  };

  void EncodeWord(std::string_view word, WorkMeter* meter, Scratch* scratch,
                  std::vector<int32_t>* tokens) const {
    const auto find = [&](const MergeSymbol& left, const MergeSymbol& right,
                          MergeCandidate* candidate) {
      const uint32_t size = left.size + right.size;
      if (size > longest_) return false;
      candidate->id = vocab_.Find(word.substr(left.begin, size));
      if (candidate->id == kNoToken) return false;
      candidate->priority = DescendingOrder(vocab_.scores[candidate->id]);
      return true;
    };
    scratch->merger.Run(find, meter, &scratch->symbols);
    for (const MergeSymbol& symbol : scratch->symbols) {
      meter->Spend(symbol.id != kNoToken ? 2 : 8);
      const std::string_view text = word.substr(symbol.begin, symbol.size);
      const int32_t id = symbol.id != kNoToken ? symbol.id : vocab_.Find(text);
      if (id != kNoToken) {
        tokens->push_back(id);
        continue;
      }
      for (char byte : text) {
        const int32_t byte_token = byte_tokens_[static_cast<uint8_t>(byte)];
        if (byte_token != kNoToken) tokens->push_back(byte_token);
      }
    }
  }

  Vocabulary vocab_;
  BytePairs pairs_;
  uint32_t longest_ = 0;  // token, in bytes
  std::array<int32_t, 256> byte_tokens_{};
};

}  // namespace

void AppendVisibleSpaces(std::string_view text, WorkMeter* meter, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if ((i & 0xFF) == 0) meter->Spend(0x20);
    if (text[i] == ' ') {
      out->append(kVisibleSpace);
    } else {
      out->push_back(text[i]);
    }
  }
}

std::string WithPlainSpaces(std::string_view text) {
  std::string result;
  for (size_t pos = 0; pos < text.size();) {
    if (text.substr(pos).starts_with(kVisibleSpace)) {
      result += ' ';
      pos += kVisibleSpace.size();
    } else {
      result += text[pos++];
    }
  }
  return result;
}

Result<std::unique_ptr<Family>> CreateSentencePiece(const GgufFile& file, WorkMeter* meter) {
  VocabularyDefaults defaults;
  defaults.bos = 1;
  defaults.eos = 2;
  defaults.unknown = 0;
  defaults.add_bos = true;
  defaults.add_space_prefix = true;
  defaults.needs_scores = true;
  LULL_ASSIGN_OR_RETURN(Vocabulary vocab, ReadVocabulary(file, defaults, meter));
  return std::unique_ptr<Family>(std::make_unique<SentencePiece>(std::move(vocab), meter));
}

}  // namespace lull
