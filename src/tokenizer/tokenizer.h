// Text to tokens and back, as the model file asks. Immutable, thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/exec_context.h"
#include "formats/gguf.h"
#include "lull/model.h"
#include "lull/status.h"

namespace lull {

class Tokenizer {
 public:
  // Reads tokenizer.ggml.*; kUnsupported names the model or pre-tokenizer it cannot do.
  // Checkpoints ctx as Encode does. Keeps no view into file.
  static Result<std::unique_ptr<Tokenizer>> Create(const GgufFile& file,
                                                   const ExecContext& ctx = ExecContext());
  virtual ~Tokenizer() = default;

  virtual int64_t vocab_size() const = 0;
  // Linear time in the text. Checkpoints ctx at least every 0.1 ms of work.
  virtual Result<std::vector<int32_t>> Encode(const ExecContext& ctx, std::string_view text,
                                              const TokenizeOptions& options) const = 0;
  // The bytes a token stands for; control tokens give their text only where special is set.
  virtual std::string TokenBytes(int32_t token, bool special) const = 0;
  virtual std::string Decode(const ExecContext& ctx, const std::vector<int32_t>& tokens,
                             bool special) const = 0;
  virtual std::unique_ptr<TextStream> NewTextStream(bool special) const = 0;
  virtual bool IsEndOfGeneration(int32_t token) const = 0;
  // The first blank of a stream's text is dropped: encoding puts one there.
  virtual bool strips_first_space() const { return false; }
  virtual bool adds_bos() const = 0;
  virtual int32_t bos_token() const = 0;
  virtual int32_t eos_token() const = 0;
  // The token's own text as the vocabulary stores it, e.g. for bos_token in chat templates.
  virtual std::string TokenText(int32_t token) const = 0;
};

}  // namespace lull
