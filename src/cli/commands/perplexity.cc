#include <cmath>
#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "lull/decoder.h"

namespace lull {
namespace {

constexpr size_t kLogitsRowsAtOnce = 32;  // bounds memory for large vocabularies

struct Sum {
  double nll = 0.0;
  int64_t tokens = 0;
};

class PerplexityCommand : public Command {
 public:
  const char* name() const override { return "perplexity"; }
  const char* help() const override { return "Perplexity of a text, by llama.cpp's method"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("file", file_, "text file")->required();
    app.add_option("--ctx", ctx_tokens_, "chunk length (default 512)")
        ->check(CLI::Range(8, 1 << 20));
    app.add_option("--chunks", max_chunks_, "stop after so many chunks; 0: all");
    app.add_option("--kv-type", kv_type_, "f16, bf16, f32 or q8_0 (int8)");
    app.add_option("--activation-type", activation_type_, kActivationTypeHelp);
    runtime_.AddTo(app);
  }

  // One trailing newline is dropped, control tokens are not recognised, every chunk starts with BOS
  // where the file asks for one, and the second half of each chunk is scored.
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(std::string text, ReadWholeFile(file_));
    if (!text.empty() && text.back() == '\n') text.pop_back();
    LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, runtime_));
    TokenizeOptions tokenize;
    tokenize.add_bos = true;
    tokenize.parse_special = false;
    LULL_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, session.model->Tokenize(text, tokenize));
    const size_t ctx = static_cast<size_t>(ctx_tokens_);
    size_t chunks = tokens.size() / ctx;
    if (max_chunks_ > 0) chunks = std::min(chunks, static_cast<size_t>(max_chunks_));
    if (tokens.size() < 2 * ctx)
      return Status(ErrorCode::kUsage,
                    "the text has " + std::to_string(tokens.size()) + " tokens, " +
                        std::to_string(2 * ctx) + " are needed for --ctx " + std::to_string(ctx),
                    file_, "give a longer text or a smaller --ctx");
    DecoderOptions options;
    options.kv_type = kv_type_;
    options.activation_type = activation_type_;
    options.max_context_tokens = ctx_tokens_;
    LULL_ASSIGN_OR_RETURN(const auto decoder,
                          Decoder::Create(*session.model, *session.runtime, options));
    Sum sum;
    ProgressBar bar;
    for (size_t chunk = 0; chunk < chunks; ++chunk) {
      const std::span<int32_t> piece(tokens.data() + chunk * ctx, ctx);
      if (session.model->adds_bos() && session.model->bos_token() >= 0)
        piece[0] = session.model->bos_token();
      LULL_RETURN_IF_ERROR(ScoreChunk(*session.model, *decoder, piece, &sum));
      bar.Update("perplexity", chunk + 1, chunks, "chunks");
    }
    bar.Finish();
    const double perplexity = std::exp(sum.nll / static_cast<double>(sum.tokens));
    if (json)
      PrintJson({{"perplexity", perplexity}, {"tokens", sum.tokens}, {"chunks", chunks}});
    else
      printf("perplexity %.4f over %lld tokens in %zu chunks of %lld\n", perplexity,
             static_cast<long long>(sum.tokens), chunks, static_cast<long long>(ctx_tokens_));
    return Status();
  }

 private:
  static Status ScoreChunk(const Model& model, Decoder& decoder, std::span<const int32_t> tokens,
                           Sum* sum) {
    const size_t vocab = static_cast<size_t>(model.info().vocab_size);
    const size_t first = tokens.size() / 2;
    LULL_ASSIGN_OR_RETURN(const int32_t sequence, decoder.OpenSequence());
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

  std::string model_, file_;
  std::string kv_type_ = "f16";
  std::string activation_type_ = "q8_0";
  int64_t ctx_tokens_ = 512;
  int64_t max_chunks_ = 0;
  RuntimeFlags runtime_;
};

}  // namespace

std::unique_ptr<Command> MakePerplexityCommand() { return std::make_unique<PerplexityCommand>(); }

}  // namespace lull
