#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/os/os.h"
#include "cli/adapter_flags.h"
#include "cli/answer_printer.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

double Rate(int64_t tokens, double ms) {
  return ms > 0 ? static_cast<double>(tokens) / (ms / 1000.0) : 0.0;
}

// By one run of the verb, the model's loading included.
struct Spent {
  double wall_s = 0.0, cpu_s = 0.0;
};

// A short run shows what the bound adds to the mean (docs/design/budget.md): a burst, once.
std::string AllowedText(const CpuBudget& budget, const Spent& spent) {
  if (!budget.capped()) return "";
  char text[96];
  const double allowed_s = budget.mean_share * spent.wall_s * os::AvailableCpus();
  const bool burst = spent.cpu_s > allowed_s && spent.wall_s < 1.0;
  snprintf(text, sizeof(text), ", allowed %g %%%s", 100.0 * budget.mean_share,
           burst ? " on average after a start of some ms" : "");
  return text;
}

class RunCommand : public Command {
 public:
  const char* name() const override { return "run"; }
  const char* help() const override { return "Answer one prompt"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("prompt", prompt_,
                   "the prompt (default: standard input); with --raw continued as it stands");
    app.add_option("--prompt-file", prompt_file_, "read the prompt from a file");
    app.add_option("--system", system_, "system message");
    app.add_flag("--raw", raw_, "no chat template");
    app.add_option("--kv-type", kv_type_, "f16, bf16, f32 or q8_0 (int8)");
    app.add_option("--activation-type", activation_type_, kActivationTypeHelp);
    app.add_option("-c,--ctx", context_tokens_, "context length in tokens");
    adapters_.AddTo(app);
    runtime_.AddTo(app);
    generation_.AddTo(app);
  }

  Status Run() override {
    const int64_t start_ns = os::MonotonicNs(), start_cpu_ns = os::ProcessCpuNs();
    LULL_RETURN_IF_ERROR(ReadPrompt());
    LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, runtime_));
    LULL_ASSIGN_OR_RETURN(session.adapters, adapters_.Load(*session.model, *session.runtime));
    LULL_ASSIGN_OR_RETURN(const ChatPrompt prompt, MakePrompt(*session.model));
    LULL_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                          session.model->TokenizePrompt(prompt.text));
    EngineOptions options;
    options.kv_type = kv_type_;
    options.activation_type = activation_type_;
    options.max_context_tokens = context_tokens_;
    options.max_sequences = 1;
    LULL_ASSIGN_OR_RETURN(const auto engine,
                          Engine::Create(*session.model, *session.runtime, options));
    LULL_ASSIGN_OR_RETURN(const Generation generation, Answer(session, *engine, tokens, prompt));
    const Spent spent = {1e-9 * static_cast<double>(os::MonotonicNs() - start_ns),
                         1e-9 * static_cast<double>(os::ProcessCpuNs() - start_cpu_ns)};
    if (json)
      PrintResult(generation, session, spent);
    else
      PrintFooter(generation, session, spent);
    return Status();
  }

 private:
  Status ReadPrompt() {
    if (!prompt_.empty() && !prompt_file_.empty())
      return Status(ErrorCode::kUsage, "both a prompt and --prompt-file", "command line",
                    "give one");
    if (!prompt_file_.empty()) {
      LULL_ASSIGN_OR_RETURN(prompt_, ReadWholeFile(prompt_file_));
    } else if (prompt_.empty() && !os::IsTerminal(0)) {
      prompt_.assign(std::istreambuf_iterator<char>(std::cin), {});
    }
    if (prompt_.empty())
      return Status(ErrorCode::kUsage, "the prompt is empty", "command line",
                    "lull run MODEL \"your question\"");
    return Status();
  }

  // Streams to the terminal. As JSON, and with --raw, the text is what the model writes.
  Result<Generation> Answer(const Session& session, Engine& engine,
                            const std::vector<int32_t>& tokens, const ChatPrompt& prompt) const {
    GenerationFlags flags = generation_;
    flags.adapters = session.adapters;
    if (json) return Generate(engine, tokens, flags, nullptr);
    if (raw_)
      return Generate(engine, tokens, flags, [](const std::string& piece) {
        fwrite(piece.data(), 1, piece.size(), stdout);
        fflush(stdout);
      });
    AnswerPrinter printer(*session.model, prompt, /*print=*/true);
    flags.shown_tokens = printer.shown_tokens();
    Result<Generation> generation = Generate(
        engine, tokens, flags, [&printer](const std::string& piece) { printer.Push(piece); });
    printer.Finish();
    return generation;
  }

  Result<ChatPrompt> MakePrompt(const Model& model) const {
    if (raw_) return ChatPrompt{prompt_};
    Json messages = Json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    messages.push_back({{"role", "user"}, {"content", prompt_}});
    return MakeChatPrompt(model, messages, {}, nullptr);
  }

  Json Stats(const Generation& generation, const Session& session, const Spent& spent) const {
    const RequestStats& stats = generation.stats;
    return {{"prompt_tokens", stats.prompt_tokens},
            {"new_tokens", stats.new_tokens},
            {"prefill_tok_s", Rate(stats.prompt_tokens, stats.prefill_ms)},
            {"decode_tok_s", Rate(std::max<int64_t>(stats.new_tokens - 1, 0), stats.decode_ms)},
            {"load_s", session.model->info().load_s},
            {"wall_s", spent.wall_s},
            {"cpu_s", spent.cpu_s},
            {"peak_rss_bytes", os::PeakRssBytes()}};
  }

  void PrintResult(const Generation& generation, const Session& session, const Spent& spent) const {
    Json logprobs = Json::array();
    for (const auto& row : generation.logprobs) {
      Json top = Json::array();
      for (const TokenLogprob& entry : row)
        top.push_back({{"id", entry.id}, {"logprob", entry.logprob}});
      logprobs.push_back(top);
    }
    PrintJson({{"text", generation.text},
               {"tokens", generation.tokens},
               {"finish", FinishReasonName(generation.reason)},
               {"logprobs", logprobs},
               {"stats", Stats(generation, session, spent)}});
  }

  void PrintFooter(const Generation& generation, const Session& session, const Spent& spent) const {
    const Json stats = Stats(generation, session, spent);
    printf("\n");
    fflush(stdout);
    fprintf(
        stderr,
        "\n[%lld prompt + %lld new tokens | prefill %.0f tok/s, decode %.0f tok/s | load %.2f s | "
        "CPU %.2f s in %.2f s = %.0f %% of %d CPUs%s | %.0f MiB]\n",
        static_cast<long long>(generation.stats.prompt_tokens),
        static_cast<long long>(generation.stats.new_tokens), double{stats["prefill_tok_s"]},
        double{stats["decode_tok_s"]}, double{stats["load_s"]}, spent.cpu_s, spent.wall_s,
        100.0 * spent.cpu_s / spent.wall_s / os::AvailableCpus(), os::AvailableCpus(),
        AllowedText(session.runtime->budget().cpu, spent).c_str(),
        static_cast<double>(os::PeakRssBytes()) / (1 << 20));
  }

  std::string model_, prompt_, prompt_file_, system_;
  std::string kv_type_ = "f16";
  std::string activation_type_ = "q8_0";
  int64_t context_tokens_ = 0;
  bool raw_ = false;
  AdapterFlags adapters_;
  RuntimeFlags runtime_;
  GenerationFlags generation_;
};

}  // namespace

std::unique_ptr<Command> MakeRunCommand() { return std::make_unique<RunCommand>(); }

}  // namespace lull
