#include <cstdio>
#include <iostream>

#include "base/os/os.h"
#include "cli/adapter_flags.h"
#include "cli/answer_printer.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class ChatCommand : public Command {
 public:
  const char* name() const override { return "chat"; }
  const char* help() const override { return "Talk with a model; /bye or Ctrl-D ends"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("--system", system_, "system message");
    adapters_.AddTo(app);
    runtime_.AddTo(app);
    generation_.AddTo(app);
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(Session session, Session::Open(model_, runtime_));
    LULL_ASSIGN_OR_RETURN(session.adapters, adapters_.Load(*session.model, *session.runtime));
    EngineOptions options;
    options.max_sequences = 1;
    LULL_ASSIGN_OR_RETURN(const auto engine,
                          Engine::Create(*session.model, *session.runtime, options));
    Json messages = Json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    std::string line;
    while (Ask(&line)) {
      if (line.empty()) continue;
      if (line == "/bye") break;
      messages.push_back({{"role", "user"}, {"content", line}});
      LULL_ASSIGN_OR_RETURN(Json answer, Answer(session, *engine, messages));
      messages.push_back(std::move(answer));
      if (json) PrintJson(messages.back());
    }
    return Status();
  }

 private:
  static bool Ask(std::string* line) {
    if (os::IsTerminal(0)) fprintf(stderr, ">>> ");
    return static_cast<bool>(std::getline(std::cin, *line));
  }

  // The model's message.
  Result<Json> Answer(const Session& session, Engine& engine, const Json& messages) const {
    LULL_ASSIGN_OR_RETURN(const ChatPrompt prompt,
                          MakeChatPrompt(*session.model, messages, {}, nullptr));
    LULL_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                          session.model->TokenizePrompt(prompt.text));
    AnswerPrinter printer(*session.model, prompt, /*print=*/!json);
    GenerationFlags flags = generation_;
    flags.adapters = session.adapters;
    flags.shown_tokens = printer.shown_tokens();
    LULL_RETURN_IF_ERROR(Generate(engine, tokens, flags, [&](const std::string& piece) {
                           printer.Push(piece);
                         }).status());
    printer.Finish();
    if (!json) printf("\n");
    Json message = {{"role", "assistant"}, {"content", printer.content()}};
    if (!printer.reasoning().empty()) message["reasoning_content"] = printer.reasoning();
    return message;
  }

  std::string model_, system_;
  AdapterFlags adapters_;
  RuntimeFlags runtime_;
  GenerationFlags generation_;
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace lull
