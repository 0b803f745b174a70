#include <cstdio>

#include "base/os/private_file.h"
#include "base/secret.h"
#include "cli/command.h"
#include "cli/output.h"
#include "service/api_keys.h"

namespace lull {
namespace {

constexpr size_t kKeyBytes = 32;

class KeyCommand : public Command {
 public:
  const char* name() const override { return "key"; }
  const char* help() const override { return "Keys for clients of a server"; }
  void AddOptions(CLI::App&) override {}
  Status Run() override {
    return Status(ErrorCode::kUsage, "say what to do with keys", "key", "lull key new NAME");
  }
};

class KeyNewCommand : public Command {
 public:
  const char* name() const override { return "new"; }
  const char* parent() const override { return "key"; }
  const char* help() const override { return "Make a key: it is shown once, its SHA-256 is kept"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("name", name_, "whose key it is: its requests share under this name")
        ->required();
    app.add_option("--file", file_, "key file to add it to (see lull serve --api-key-file)");
    app.add_flag("--admin", admin_, "it may change the budget and the models");
  }

  Status Run() override {
    if (!IsAccountName(name_))
      return Status(ErrorCode::kUsage,
                    "a key's name is 1 to 64 letters, digits, dots, dashes or underscores", "name",
                    "e.g. laptop");
    LULL_ASSIGN_OR_RETURN(const std::string token, RandomToken(kKeyBytes));
    const std::string key = "lull-" + token;
    const std::string line = ApiKeys::Line(name_, key, admin_);
    if (!file_.empty()) LULL_RETURN_IF_ERROR(os::AppendPrivateLine(file_, line));
    if (json) {
      PrintJson({{"name", name_}, {"key", key}, {"line", line}, {"admin", admin_}});
      return Status();
    }
    printf("%s\n", key.c_str());
    if (file_.empty())
      fprintf(stderr, "lull: for the key file: %s\n", line.c_str());
    else
      fprintf(stderr, "lull: added to %s; a running server reads it when it is started again\n",
              file_.c_str());
    return Status();
  }

 private:
  std::string name_, file_;
  bool admin_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeKeyCommand() { return std::make_unique<KeyCommand>(); }
std::unique_ptr<Command> MakeKeyNewCommand() { return std::make_unique<KeyNewCommand>(); }

}  // namespace lull
