// Splits text into the words that byte-pair merges stay within, as tokenizer.ggml.pre names it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lull/status.h"
#include "tokenizer/word_pattern.h"
#include "base/work_meter.h"

namespace lull {

// What a pre-tokenizer's name means beyond its patterns.
struct PretokenizerTraits {
  bool ignore_merges = false;  // a word that is a token needs no merges
  bool add_bos = false;        // BOS where the file does not say
  bool raw_utf8 = false;       // merges work on UTF-8 with U+2581 for spaces, not on bytes
  bool newline_words = false;  // a run of newlines that is a token needs no merges
  bool always_bos = false;     // BOS whatever the file says
  bool merges_optional = false;
};

class Pretokenizer {
 public:
  // kUnsupported for a name that pretokenizer_list.inc does not have.
  static Result<Pretokenizer> Create(std::string_view name);
  // The names of pretokenizer_list.inc.
  static std::vector<std::string_view> Names();
  // The name of one that splits by these patterns in turn, as tokenizer.json has them, and works on
  // bytes; "" where none does.
  static std::string_view NameOf(std::span<const std::string> passes, bool ignore_merges);

  const PretokenizerTraits& traits() const { return traits_; }

  // Appends the end index of each word of codes to ends, in order; the last is codes.size().
  void Split(std::span<const uint32_t> codes, WorkMeter* meter, std::vector<uint32_t>* ends) const;

 private:
  // A pattern, or groups of three digits counted from the end of each run of `digits`.
  struct Pass {
    enum class Kind { kPattern, kThirds, kThirdsJoined };
    Kind kind = Kind::kPattern;
    WordPattern pattern;
    CharSet digits;
  };
  static void SplitThirds(const Pass& pass, std::span<const uint32_t> codes, uint32_t begin,
                          uint32_t end, WorkMeter* meter, std::vector<uint32_t>* ends);

  PretokenizerTraits traits_;
  std::vector<Pass> passes_;
};

}  // namespace lull
