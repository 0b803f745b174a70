#include <algorithm>
#include <cstdio>

#include "base/os/os.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "lull/decoder.h"
#include "lull/version.h"
#include "roof/roof.h"

namespace lull {
namespace {

struct Samples {
  std::vector<double> values;
  double Median() const {
    if (values.empty()) return 0.0;
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
  }
  Json ToJson() const {
    if (values.empty()) return nullptr;
    return {{"median", Median()},
            {"min", *std::min_element(values.begin(), values.end())},
            {"max", *std::max_element(values.begin(), values.end())},
            {"samples", values}};
  }
};

struct Measured {
  int threads = 0;
  Samples prefill_tok_s, decode_tok_s;
  Samples prefill_cpu_s_per_1k, decode_cpu_s_per_1k;
  double bandwidth = 0.0, int8_peak = 0.0;
};

// Tokens that look like text to the kernels and are the same in every run.
std::vector<int32_t> PseudoTokens(int64_t count, int64_t vocab, uint32_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<int32_t>((seed >> 8) % static_cast<uint32_t>(vocab)));
  }
  return tokens;
}

class BenchCommand : public Command {
 public:
  const char* name() const override { return "bench"; }
  const char* help() const override {
    return "Measure prefill and decode speed beside the machine's roof";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name");
    app.add_option("-p", prompt_tokens_, "prompt tokens; 0 leaves prefill out (default 512)")
        ->check(CLI::Range(0, 1 << 20));
    app.add_option("-n", new_tokens_, "new tokens; 0 leaves decode out (default 128)")
        ->check(CLI::Range(0, 1 << 20));
    app.add_option("-d", depth_, "tokens already in the context (default 0)")
        ->check(CLI::Range(0, 1 << 20));
    app.add_option("-t,--threads", threads_, "comma-separated thread counts")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(1, 1024));
    app.add_option("-r", rounds_, "rounds (default 5)")->check(CLI::Range(1, 1000));
    app.add_option("--isa", isa_, "scalar, avx2, avx2vnni, avx512 or amx (default: the best here)");
    app.add_option("--kv-type", kv_type_, "f16, bf16, f32 or q8_0 (int8)");
    app.add_option("--activation-type", activation_type_, kActivationTypeHelp);
  }

  Status Run() override {
    if (model_.empty())
      return Status(ErrorCode::kUsage, "no model", "command line",
                    "lull bench MODEL, or lull bench budget");
    if (threads_.empty()) threads_.push_back(os::AvailableCpus());
    Json results = Json::array();
    ModelInfo info;
    std::string isa;
    for (const int threads : threads_) {
      RuntimeFlags flags;
      flags.threads = threads;
      flags.isa = isa_;
      LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, flags));
      info = session.model->info();
      isa = session.runtime->isa();
      LULL_ASSIGN_OR_RETURN(const Measured measured, Measure(session));
      results.push_back(ToJson(measured, info));
      if (!json) PrintRow(measured, info);
    }
    if (!json) return Status();
    PrintJson(
        {{"model", info.name},
         {"file_type", info.file_type},
         {"prompt_tokens", prompt_tokens_},
         {"new_tokens", new_tokens_},
         {"depth_tokens", depth_},
         {"results", results},
         {"arithmetic_version", kArithmeticVersion},
         {"machine", {{"cpu", os::CpuModelName()}, {"cpus", os::AvailableCpus()}, {"isa", isa}}}});
    return Status();
  }

 private:
  Result<Measured> Measure(Session& session) const {
    Measured measured;
    const int threads = session.runtime->threads();  // fewer than asked for under a quota
    measured.threads = threads;
    DecoderOptions options;
    options.kv_type = kv_type_;
    options.activation_type = activation_type_;
    options.max_context_tokens = depth_ + std::max(prompt_tokens_, new_tokens_) + 1;
    LULL_ASSIGN_OR_RETURN(const auto decoder,
                          Decoder::Create(*session.model, *session.runtime, options));
    ProgressBar bar;
    for (int round = -1; round < rounds_; ++round) {  // round -1 warms up
      LULL_RETURN_IF_ERROR(Round(session, *decoder, round < 0 ? nullptr : &measured));
      bar.Update("bench, " + std::to_string(threads) + " threads", static_cast<uint64_t>(round + 1),
                 static_cast<uint64_t>(rounds_), "rounds");
    }
    bar.Finish();
    const std::string isa = session.runtime->isa();
    const size_t bytes = static_cast<size_t>(session.model->info().weight_bytes);
    LULL_ASSIGN_OR_RETURN(measured.bandwidth, MeasureReadBandwidth(isa, bytes, threads, 7));
    LULL_ASSIGN_OR_RETURN(measured.int8_peak, MeasureInt8Peak(isa, threads));
    return measured;
  }

  Status Round(Session& session, Decoder& decoder, Measured* measured) const {
    if (prompt_tokens_ > 0) {
      LULL_RETURN_IF_ERROR(Timed(session, decoder, prompt_tokens_, false,
                                 measured ? &measured->prefill_tok_s : nullptr,
                                 measured ? &measured->prefill_cpu_s_per_1k : nullptr));
    }
    if (new_tokens_ > 0) {
      LULL_RETURN_IF_ERROR(Timed(session, decoder, new_tokens_, true,
                                 measured ? &measured->decode_tok_s : nullptr,
                                 measured ? &measured->decode_cpu_s_per_1k : nullptr));
    }
    return Status();
  }

  // Fills the context to depth untimed, then times `count` tokens at once or one by one.
  Status Timed(Session& session, Decoder& decoder, int64_t count, bool one_by_one, Samples* tok_s,
               Samples* cpu_s_per_1k) const {
    const int64_t vocab = session.model->info().vocab_size;
    const std::vector<int32_t> tokens = PseudoTokens(depth_ + count, vocab, 7);
    LULL_ASSIGN_OR_RETURN(const int32_t sequence, decoder.OpenSequence());
    std::vector<float> logits(static_cast<size_t>(vocab));
    std::vector<BatchRow> rows;
    for (int64_t i = 0; i < depth_ + count; ++i)
      rows.push_back({sequence, static_cast<int32_t>(i), tokens[static_cast<size_t>(i)]});
    const std::span<const BatchRow> all(rows);
    if (depth_ > 0)
      LULL_RETURN_IF_ERROR(
          decoder.Forward(all.first(static_cast<size_t>(depth_)), {}, logits.data()));
    const std::span<const BatchRow> timed = all.subspan(static_cast<size_t>(depth_));
    const int64_t cpu_ns = os::ProcessCpuNs(), wall_ns = os::MonotonicNs();
    if (one_by_one) {
      const int32_t only[1] = {0};
      for (size_t i = 0; i < timed.size(); ++i)
        LULL_RETURN_IF_ERROR(decoder.Forward(timed.subspan(i, 1), only, logits.data()));
    } else {
      const int32_t last[1] = {static_cast<int32_t>(timed.size() - 1)};
      LULL_RETURN_IF_ERROR(decoder.Forward(timed, last, logits.data()));
    }
    const double wall_s = static_cast<double>(os::MonotonicNs() - wall_ns) * 1e-9;
    const double cpu_s = static_cast<double>(os::ProcessCpuNs() - cpu_ns) * 1e-9;
    decoder.CloseSequence(sequence);
    if (tok_s != nullptr) tok_s->values.push_back(static_cast<double>(count) / wall_s);
    if (cpu_s_per_1k != nullptr)
      cpu_s_per_1k->values.push_back(1000.0 * cpu_s / static_cast<double>(count));
    return Status();
  }

  static double BandwidthShare(const Measured& m, const ModelInfo& info) {
    return m.decode_tok_s.Median() * static_cast<double>(info.active_bytes_per_token) / m.bandwidth;
  }
  // The head is computed for the prompt's last token alone.
  double PeakShare(const Measured& m, const ModelInfo& info) const {
    const double head_macs =
        static_cast<double>(info.vocab_size) * static_cast<double>(info.embedding_length);
    const double macs = static_cast<double>(info.macs_per_token) - head_macs +
                        head_macs / static_cast<double>(std::max<int64_t>(prompt_tokens_, 1));
    return m.prefill_tok_s.Median() * macs / m.int8_peak;
  }

  Json ToJson(const Measured& m, const ModelInfo& info) const {
    return {
        {"threads", m.threads},
        {"prefill_tok_s", m.prefill_tok_s.ToJson()},
        {"decode_tok_s", m.decode_tok_s.ToJson()},
        {"cpu_s_per_1k_prefill", m.prefill_cpu_s_per_1k.Median()},
        {"cpu_s_per_1k_decode", m.decode_cpu_s_per_1k.Median()},
        {"bytes_per_token", info.active_bytes_per_token},
        {"gb_s", m.decode_tok_s.Median() * static_cast<double>(info.active_bytes_per_token) * 1e-9},
        {"bandwidth_gb_s", m.bandwidth * 1e-9},
        {"bandwidth_share", BandwidthShare(m, info)},
        {"int8_peak_gmac_s", m.int8_peak * 1e-9},
        {"int_peak_share", PeakShare(m, info)}};
  }

  void PrintRow(const Measured& m, const ModelInfo& info) const {
    printf(
        "%d threads: prefill %8.1f tok/s (%2.0f %% of the int8 peak)   decode %7.1f tok/s "
        "(%2.0f %% of the read bandwidth, %.1f GB/s)   CPU s per 1k tokens: %.2f / %.2f\n",
        m.threads, m.prefill_tok_s.Median(), 100 * PeakShare(m, info), m.decode_tok_s.Median(),
        100 * BandwidthShare(m, info), m.bandwidth * 1e-9, m.prefill_cpu_s_per_1k.Median(),
        m.decode_cpu_s_per_1k.Median());
  }

  std::string model_, isa_;
  std::string kv_type_ = "f16";
  std::string activation_type_ = "q8_0";
  int64_t prompt_tokens_ = 512, new_tokens_ = 128, depth_ = 0;
  std::vector<int> threads_;
  int rounds_ = 5;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace lull
