#include <cstdio>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"

namespace lull {
namespace {

class PackCommand : public Command {
 public:
  const char* name() const override { return "pack"; }
  const char* help() const override {
    return "Write the weights as the kernels read them: later starts map that file";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name; the file appears beside it, as PATH.pack")
        ->required();
    auto* verify = app.add_flag("--verify", verify_,
                                "compare every byte of the pack that is there with the model");
    app.add_flag("--force", force_, "also where a pack that fits is there")->excludes(verify);
    flags_.AddTo(app);
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
    LULL_ASSIGN_OR_RETURN(const RuntimeOptions options, flags_.ToOptions());
    LULL_ASSIGN_OR_RETURN(const auto runtime, Runtime::Create(options));
    ProgressBar bar;
    const PackProgress progress = [&](uint64_t done, uint64_t total) {
      bar.Update(verify_ ? "verifying" : "packing", done, total, "MiB");
    };
    const Result<std::string> pack = verify_ ? VerifyModelPack(path, *runtime, progress)
                                             : WriteModelPack(path, *runtime, force_, progress);
    bar.Finish();
    if (!pack.ok()) return pack.status();
    if (json)
      PrintJson({{verify_ ? "verified" : "packed", *pack}});
    else
      printf("%s\n", pack->c_str());
    return Status();
  }

 private:
  std::string model_;
  bool verify_ = false;
  bool force_ = false;
  RuntimeFlags flags_;
};

}  // namespace

std::unique_ptr<Command> MakePackCommand() { return std::make_unique<PackCommand>(); }

}  // namespace lull
