#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class TokenizeCommand : public Command {
 public:
  const char* name() const override { return "tokenize"; }
  const char* help() const override { return "Token ids of the bytes on stdin"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_flag("--bos", bos_, "put the beginning-of-sequence token first");
    app.add_flag("--no-special", no_special_, "take control tokens in the text as plain text");
  }
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const auto model, OpenVocabulary(model_));
    LULL_ASSIGN_OR_RETURN(const std::string text, ReadStdin());
    TokenizeOptions options;
    options.force_bos = bos_;
    options.parse_special = !no_special_;
    LULL_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, model->Tokenize(text, options));
    if (json) {
      PrintJson({{"tokens", tokens}});
      return Status();
    }
    for (const int32_t token : tokens) printf("%d\n", token);
    return Status();
  }

 private:
  std::string model_;
  bool bos_ = false;
  bool no_special_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeTokenizeCommand() { return std::make_unique<TokenizeCommand>(); }

}  // namespace lull
