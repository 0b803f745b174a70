#include "convert/convert.h"

#include <cstdio>
#include <utility>

#include "base/os/interrupt.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "convert/hf_folder.h"
#include "convert/peft_folder.h"
#include "formats/gguf.h"

namespace lull {
namespace {

class ConvertCommand : public Command {
 public:
  const char* name() const override { return "convert"; }
  const char* help() const override {
    return "Write a folder of config.json, tokenizer.json and safetensors as a GGUF file";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("folder", folder_, "the model's folder, or the name of one that was pulled")
        ->required();
    app.add_option("-o,--out", out_, "the file to write")->required();
    app.add_option("--base", base_, "of a folder of PEFT's: the model that it adapts");
    app.add_option("--type", options_.type, "F32, F16 or BF16 (default: as the folder has it)")
        ->check(CLI::IsMember({"F32", "F16", "BF16"}));
  }
  Status Run() override {
    const os::InterruptFlag interrupt;
    ProgressBar bar;
    options_.progress = [&](uint64_t done, uint64_t total) {
      bar.Update("converting", done, total, "MiB");
      return !interrupt.raised();
    };
    if (!IsHfFolder(folder_)) {
      const std::string folder = ResolveFolder(folder_);
      if (!folder.empty()) options_.name = std::exchange(folder_, folder);
    }
    const Result<ConvertSummary> summary = Convert();
    bar.Finish();
    if (!summary.ok()) return summary.status();
    if (json)
      PrintJson({{"converted", out_},
                 {"architecture", summary->architecture},
                 {"tensors", summary->tensors}});
    else
      printf("%s\n", out_.c_str());
    return Status();
  }

 private:
  Result<ConvertSummary> Convert() const {
    LULL_RETURN_IF_ERROR(CheckNotAnInput(out_, {folder_}));
    if (!IsPeftFolder(folder_)) return ConvertHfFolder(folder_, out_, options_);
    if (base_.empty())
      return Status(ErrorCode::kUsage, "an adapter is converted for a model", "--base",
                    "lull convert FOLDER --base MODEL -o adapter.gguf");
    if (!options_.type.empty())
      return Status(ErrorCode::kUsage, "an adapter's factors are written as F32", "--type",
                    "leave it out");
    LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(base_));
    LULL_RETURN_IF_ERROR(CheckNotAnInput(out_, {path}));
    LULL_ASSIGN_OR_RETURN(const auto base, GgufFile::Open(path));
    return ConvertPeftFolder(folder_, *base, out_, options_);
  }

  std::string folder_, out_, base_;
  ConvertOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeConvertCommand() { return std::make_unique<ConvertCommand>(); }

}  // namespace lull
