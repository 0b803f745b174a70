// The synchronous forward pass: what score, perplexity and bench need, and what an embedder with a
// scheduler of his own wants. One Decoder belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lull/model.h"
#include "lull/request.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

// One token of a ragged batch. position is absolute, 0 for a sequence's first token.
struct BatchRow {
  int32_t sequence = 0;
  int32_t position = 0;
  int32_t token = 0;
};

struct KvUsage {
  int64_t pages_used = 0;  // by sequences; shared ones count once
  int64_t pages_cached =
      0;  // kept for prompts that begin alike; given up where the pool runs short
  int64_t pages_total = 0;
  int64_t bytes_used = 0;
  int64_t bytes_cached = 0;
  int64_t bytes_total = 0;
};

struct DecoderOptions {
  std::string kv_type = "f16";  // f16, bf16, f32, q8_0 (or int8)
  // What K-quants are multiplied with: q8_0, int8 with a scale for 32 values, or q8_k, with one for
  // 256: less precise (llama.cpp's own choice), faster in prefill with AMX. Fixes the bits, too.
  std::string activation_type = "q8_0";
  int64_t max_context_tokens = 0;  // per sequence; 0: the model's own limit
  int64_t kv_pool_tokens = 0;      // of all sequences together; 0: max_context_tokens
  int max_sequences = 1;
  int max_batch_rows = 512;
};

class Decoder {
 public:
  // Model and runtime outlive the decoder.
  static Result<std::unique_ptr<Decoder>> Create(const Model& model, Runtime& runtime,
                                                 const DecoderOptions& options);
  ~Decoder();

  // adapters: for all its rows, until it closes.
  Result<int32_t> OpenSequence(std::span<const AdapterUse> adapters = {});
  void CloseSequence(int32_t sequence);
  Status TruncateSequence(int32_t sequence, int64_t length_tokens);
  int64_t SequenceLength(int32_t sequence) const;
  int64_t max_context_tokens() const;
  KvUsage kv_usage() const;

  // Rows of one sequence must be consecutive positions starting at its length. For each
  // logits_rows[i] (index into rows) writes vocab_size floats at logits + i * vocab_size.
  // Any number of rows; longer batches than max_batch_rows are cut, with the same bits. Where a
  // later piece fails, the pieces before it stay: SequenceLength() says how far each sequence has
  // come.
  Status Forward(std::span<const BatchRow> rows, std::span<const int32_t> logits_rows,
                 float* logits);

  // As the free functions below, under the runtime's budget.
  std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int k) const;
  double LogprobOf(std::span<const float> logits, int32_t token) const;

 private:
  struct Rep;
  explicit Decoder(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// Natural log-softmax of one row of unmodified logits, summed in a fixed order: the k highest (ties
// to the lowest id), and one token's. NaN counts as -inf.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int k);
double LogprobOf(std::span<const float> logits, int32_t token);

}  // namespace lull
