#include "cli/adapter_flags.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "lull/decoder.h"

namespace lull {
namespace {

constexpr size_t kRowsAtOnce = 16;  // bounds memory for large vocabularies

Result<std::vector<int32_t>> ReadTokens(const std::string& path) {
  LULL_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return Status(ErrorCode::kInvalidInput, "not valid JSON",
                  path + " at byte " + std::to_string(error.byte - 1),
                  "a JSON array of token ids, or {\"tokens\":[...]} as lull tokenize prints");
  } catch (const Json::exception&) {
    return Status(ErrorCode::kInvalidInput, "a number that no double can hold", path);
  }
  if (json.is_object() && json.contains("tokens")) json = Json(json["tokens"]);
  std::vector<int32_t> tokens;
  const Error bad = Status(ErrorCode::kInvalidInput, "not a list of token ids", path,
                           "a JSON array, or {\"tokens\":[...]} as lull tokenize prints")
                        .error();
  if (!json.is_array()) return bad;
  for (const auto& id : json) {
    if (!id.is_number_integer()) return bad;
    const int64_t value = id.get<int64_t>();
    if (value < 0 || value > INT32_MAX) return bad;
    tokens.push_back(static_cast<int32_t>(value));
  }
  if (tokens.empty()) return Status(ErrorCode::kUsage, "no tokens", path, "give at least one");
  return tokens;
}

class ScoreCommand : public Command {
 public:
  const char* name() const override { return "score"; }
  const char* help() const override { return "Teacher-forced log-probabilities of given tokens"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("--tokens", tokens_file_, "file with a JSON array of token ids")->required();
    app.add_option("--logprobs", top_, "how many of the likeliest tokens (default 10)")
        ->check(CLI::Range(1, 1000));
    app.add_option("--kv-type", kv_type_, "f16, bf16, f32 or q8_0 (int8)");
    app.add_option("--activation-type", activation_type_, kActivationTypeHelp);
    adapters_.AddTo(app);
    runtime_.AddTo(app);
  }

  // positions[i]: the likeliest tokens after tokens[0..i]; target_logprobs[i]: of tokens[i + 1].
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, ReadTokens(tokens_file_));
    LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, runtime_));
    LULL_ASSIGN_OR_RETURN(const auto adapters, adapters_.Load(*session.model, *session.runtime));
    LULL_RETURN_IF_ERROR(CheckTokens(tokens, session.model->info().vocab_size));
    DecoderOptions options;
    options.kv_type = kv_type_;
    options.activation_type = activation_type_;
    options.max_context_tokens = static_cast<int64_t>(tokens.size());
    LULL_ASSIGN_OR_RETURN(const auto decoder,
                          Decoder::Create(*session.model, *session.runtime, options));
    LULL_ASSIGN_OR_RETURN(const int32_t sequence, decoder->OpenSequence(adapters));
    const size_t vocab = static_cast<size_t>(session.model->info().vocab_size);
    std::vector<float> logits(vocab * kRowsAtOnce);
    Json positions = Json::array(), targets = Json::array();
    for (size_t begin = 0; begin < tokens.size(); begin += kRowsAtOnce) {
      std::vector<BatchRow> rows;
      std::vector<int32_t> wanted;
      for (size_t i = begin; i < std::min(tokens.size(), begin + kRowsAtOnce); ++i) {
        wanted.push_back(static_cast<int32_t>(rows.size()));
        rows.push_back({sequence, static_cast<int32_t>(i), tokens[i]});
      }
      LULL_RETURN_IF_ERROR(decoder->Forward(rows, wanted, logits.data()));
      for (size_t i = 0; i < rows.size(); ++i) {
        const std::span<const float> row(logits.data() + i * vocab, vocab);
        Json top = Json::array();
        for (const TokenLogprob& entry : decoder->TopLogprobs(row, top_))
          top.push_back({{"id", entry.id}, {"logprob", entry.logprob}});
        positions.push_back(top);
        if (begin + i + 1 < tokens.size())
          targets.push_back(decoder->LogprobOf(row, tokens[begin + i + 1]));
      }
    }
    PrintJson({{"positions", positions}, {"target_logprobs", targets}});
    return Status();
  }

 private:
  Status CheckTokens(const std::vector<int32_t>& tokens, int64_t vocab) const {
    for (size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] >= vocab)
        return Status(
            ErrorCode::kInvalidInput,
            "token id " + std::to_string(tokens[i]) + " is not in the vocabulary",
            tokens_file_ + ": token " + std::to_string(i),
            "ids run from 0 to " + std::to_string(vocab - 1) + "; lull tokenize gives them");
    return Status();
  }

  std::string model_, tokens_file_;
  std::string kv_type_ = "f16";
  std::string activation_type_ = "q8_0";
  int top_ = 10;
  AdapterFlags adapters_;
  RuntimeFlags runtime_;
};

}  // namespace

std::unique_ptr<Command> MakeScoreCommand() { return std::make_unique<ScoreCommand>(); }

}  // namespace lull
