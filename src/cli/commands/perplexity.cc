#include "cli/perplexity.h"

#include <cstdio>

#include "cli/adapter_flags.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class PerplexityCommand : public Command {
 public:
  const char* name() const override { return "perplexity"; }
  const char* help() const override { return "Perplexity of a text, by llama.cpp's method"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("file", file_, "text file")->required();
    options_.text.AddTo(app);
    app.add_option("--kv-type", options_.kv_type, "f16, bf16, f32 or q8_0 (int8)");
    app.add_option("--activation-type", options_.activation_type, kActivationTypeHelp);
    adapters_.AddTo(app);
    runtime_.AddTo(app);
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, runtime_));
    LULL_ASSIGN_OR_RETURN(session.adapters, adapters_.Load(*session.model, *session.runtime));
    PerplexityOptions options = options_;
    options.adapters = session.adapters;
    LULL_ASSIGN_OR_RETURN(const Perplexity perplexity,
                          MeasurePerplexity(*session.model, *session.runtime, file_, options));
    if (json)
      PrintJson({{"perplexity", perplexity.value},
                 {"tokens", perplexity.tokens},
                 {"chunks", perplexity.chunks}});
    else
      printf("perplexity %.4f over %lld tokens in %zu chunks of %lld\n", perplexity.value,
             static_cast<long long>(perplexity.tokens), perplexity.chunks,
             static_cast<long long>(options_.text.ctx_tokens));
    return Status();
  }

 private:
  std::string model_, file_;
  PerplexityOptions options_;
  AdapterFlags adapters_;
  RuntimeFlags runtime_;
};

}  // namespace

std::unique_ptr<Command> MakePerplexityCommand() { return std::make_unique<PerplexityCommand>(); }

}  // namespace lull
