// Small valid vocabularies for tiny models.
#pragma once

#include <cstdint>

#include "formats/gguf_writer.h"
#include "tests/support/tiny_model.h"

namespace lull {

// Byte-level BPE: 3 control tokens, 256 byte tokens, pair merges, then unused tokens.
// Ids: 0 <|endoftext|>, 1 <|im_start|> (BOS), 2 <|im_end|> (EOS).
void AddByteLevelVocab(const TinyModelSpec& spec, GgufWriter* writer);
// SentencePiece-style: control tokens, 256 byte tokens <0x00>.., letters and pairs with scores.
// Ids: 0 <unk>, 1 <s> (BOS), 2 </s> (EOS).
void AddSentencePieceVocab(const TinyModelSpec& spec, GgufWriter* writer);

inline constexpr uint64_t kMinByteLevelVocab = 3 + 256;
inline constexpr uint64_t kMinSentencePieceVocab = 3 + 256 + 28;

}  // namespace lull
