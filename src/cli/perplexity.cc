#include "cli/perplexity.h"

#include <algorithm>
#include <cmath>

#include "cli/output.h"
#include "lull/decoder.h"

namespace lull {
namespace {

constexpr size_t kLogitsRowsAtOnce = 32;  // bounds memory for large vocabularies

struct Sum {
  double nll = 0.0;
  int64_t tokens = 0;
};

Status ScoreChunk(const Model& model, Decoder& decoder, std::span<const AdapterUse> adapters,
                  std::span<const int32_t> tokens, Sum* sum) {
  const size_t vocab = static_cast<size_t>(model.info().vocab_size);
  const size_t first = tokens.size() / 2;
  LULL_ASSIGN_OR_RETURN(const int32_t sequence, decoder.OpenSequence(adapters));
  std::vector<float> logits(vocab * kLogitsRowsAtOnce);
  for (size_t begin = 0; begin + 1 < tokens.size();) {
    const bool scored = begin >= first;
    const size_t end = scored ? std::min(begin + kLogitsRowsAtOnce, tokens.size() - 1) : first;
    std::vector<BatchRow> rows;
    std::vector<int32_t> wanted;
    for (size_t i = begin; i < end; ++i) {
      if (scored) wanted.push_back(static_cast<int32_t>(rows.size()));
      rows.push_back({sequence, static_cast<int32_t>(i), tokens[i]});
    }
    LULL_RETURN_IF_ERROR(decoder.Forward(rows, wanted, logits.data()));
    for (size_t i = 0; i < wanted.size(); ++i) {
      const std::span<const float> row(logits.data() + i * vocab, vocab);
      sum->nll -= decoder.LogprobOf(row, tokens[begin + i + 1]);
      ++sum->tokens;
    }
    begin = end;
  }
  decoder.CloseSequence(sequence);
  return Status();
}

}  // namespace

void TextFlags::AddTo(CLI::App& app) {
  app.add_option("--ctx", ctx_tokens, "chunk length (default 512)")->check(CLI::Range(8, 1 << 20));
  app.add_option("--chunks", max_chunks, "stop after so many chunks; 0: all");
}

Result<TextChunks> TextChunks::Read(const Model& model, const std::string& file,
                                    const TextFlags& flags, size_t least) {
  LULL_ASSIGN_OR_RETURN(std::string text, ReadWholeFile(file));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  TokenizeOptions tokenize;
  tokenize.add_bos = true;
  tokenize.parse_special = false;
  TextChunks chunks;
  LULL_ASSIGN_OR_RETURN(chunks.tokens_, model.Tokenize(text, tokenize));
  chunks.ctx_ = static_cast<size_t>(flags.ctx_tokens);
  chunks.count_ = chunks.tokens_.size() / chunks.ctx_;
  if (chunks.count_ < least)
    return Status(ErrorCode::kUsage,
                  "the text has " + std::to_string(chunks.tokens_.size()) + " tokens, " +
                      std::to_string(least * chunks.ctx_) + " are needed for --ctx " +
                      std::to_string(chunks.ctx_),
                  file, "give a longer text or a smaller --ctx");
  if (flags.max_chunks > 0)
    chunks.count_ = std::min(chunks.count_, static_cast<size_t>(flags.max_chunks));
  if (model.adds_bos() && model.bos_token() >= 0)
    for (size_t i = 0; i < chunks.count_; ++i) chunks.tokens_[i * chunks.ctx_] = model.bos_token();
  return chunks;
}

Result<Perplexity> MeasurePerplexity(const Model& model, Runtime& runtime, const std::string& file,
                                     const PerplexityOptions& options) {
  LULL_ASSIGN_OR_RETURN(const TextChunks chunks, TextChunks::Read(model, file, options.text, 2));
  DecoderOptions decoder_options;
  decoder_options.kv_type = options.kv_type;
  decoder_options.activation_type = options.activation_type;
  decoder_options.max_context_tokens = options.text.ctx_tokens;
  LULL_ASSIGN_OR_RETURN(const auto decoder, Decoder::Create(model, runtime, decoder_options));
  Sum sum;
  ProgressBar bar;
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (options.cancelled != nullptr && options.cancelled->load())
      return Status(ErrorCode::kCancelled, "measuring was cancelled", model.info().path);
    LULL_RETURN_IF_ERROR(ScoreChunk(model, *decoder, options.adapters, chunks[i], &sum));
    bar.Update(options.label, i + 1, chunks.size(), "chunks");
  }
  bar.Finish();
  return Perplexity{std::exp(sum.nll / static_cast<double>(sum.tokens)), sum.tokens, chunks.size()};
}

}  // namespace lull
