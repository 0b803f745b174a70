#include <cstdio>
#include <filesystem>

#include "base/os/interrupt.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/perplexity.h"
#include "cli/session.h"
#include "engine/importance_collector.h"

namespace lull {
namespace {

class ImatrixCommand : public Command {
 public:
  const char* name() const override { return "imatrix"; }
  const char* help() const override {
    return "Measure on a text which columns of a model's matrices matter, for quantize --imatrix";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path or name")->required();
    app.add_option("--text", file_, "text file, of what the model will be used for")->required();
    app.add_option("-o,--out", out_, "the file to write")->required();
    text_.AddTo(app);
    runtime_.AddTo(app);
  }

  Status Run() override {
    const os::InterruptFlag interrupt;
    LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
    LULL_RETURN_IF_ERROR(CheckNotAnInput(out_, {path, file_}));
    LULL_ASSIGN_OR_RETURN(const Session session, Session::Open(path, runtime_));
    LULL_ASSIGN_OR_RETURN(const TextChunks chunks,
                          TextChunks::Read(*session.model, file_, text_, 1));
    LULL_ASSIGN_OR_RETURN(
        const auto collector,
        ImportanceCollector::Create(*session.model, *session.runtime, text_.ctx_tokens));
    ProgressBar bar;
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (interrupt.raised()) return Status(ErrorCode::kCancelled, "given up", out_);
      LULL_RETURN_IF_ERROR(collector->Add(chunks[i]));
      bar.Update("imatrix", i + 1, chunks.size(), "chunks");
    }
    bar.Finish();
    ImportanceMatrix matrix = collector->Matrix();
    matrix.datasets = {std::filesystem::path(file_).filename().string()};
    matrix.chunks = static_cast<uint32_t>(chunks.size());
    matrix.chunk_tokens = static_cast<uint32_t>(text_.ctx_tokens);
    LULL_RETURN_IF_ERROR(matrix.Write(out_));
    if (json)
      PrintJson({{"imatrix", out_},
                 {"matrices", matrix.tensors.size()},
                 {"chunks", chunks.size()},
                 {"tokens", chunks.size() * static_cast<size_t>(text_.ctx_tokens)}});
    else
      printf("%s: %zu matrices, %zu chunks of %lld tokens\n", out_.c_str(), matrix.tensors.size(),
             chunks.size(), static_cast<long long>(text_.ctx_tokens));
    return Status();
  }

 private:
  std::string model_, file_, out_;
  TextFlags text_;
  RuntimeFlags runtime_;
};

}  // namespace

std::unique_ptr<Command> MakeImatrixCommand() { return std::make_unique<ImatrixCommand>(); }

}  // namespace lull
