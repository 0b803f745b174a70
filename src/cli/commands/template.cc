#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class TemplateCommand : public Command {
 public:
  const char* name() const override { return "template"; }
  const char* help() const override {
    return "Render the messages on stdin (a JSON array) with the model's chat template";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_flag("--no-generation-prompt", no_generation_prompt_,
                 "leave the assistant's opening out");
    app.add_option("--variables", variables_, "a JSON object of further template variables");
  }
  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const auto model, OpenVocabulary(model_));
    LULL_ASSIGN_OR_RETURN(const std::string messages, ReadStdin());
    LULL_ASSIGN_OR_RETURN(const std::string prompt,
                          model->RenderChat(messages, variables_, !no_generation_prompt_));
    if (json)
      PrintJson({{"prompt", prompt}});
    else
      fwrite(prompt.data(), 1, prompt.size(), stdout);
    return Status();
  }

 private:
  std::string model_;
  std::string variables_;
  bool no_generation_prompt_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeTemplateCommand() { return std::make_unique<TemplateCommand>(); }

}  // namespace lull
