#include "quantize/quantize_model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>

#include "base/os/atomic_file.h"
#include "base/os/interrupt.h"
#include "base/os/os.h"
#include "base/os/sync_folder.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/perplexity.h"
#include "cli/session.h"
#include "engine/runtime_rep.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

double Mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

const char* TypeOf(const TensorChoice& choice) {
  return choice.format != nullptr ? choice.format->name : GgufTypeName(choice.tensor->type_id);
}

// "2%", or the ratio of the perplexities that it comes to, "1.02".
Result<double> ParseLimit(const std::string& text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  const double ratio = rest == "%" ? 1.0 + value / 100.0 : value;
  // A bare number is a ratio, and nobody who writes 2 means twice the perplexity.
  const bool unclear = rest.empty() && value >= 1.5;
  if (error != std::errc() || (rest != "%" && !rest.empty()) || unclear ||
      !(ratio >= 1.0 && ratio < 1e6))
    return Status(ErrorCode::kUsage, "\"" + text + "\" is no limit", "--max-perplexity-loss",
                  "2% or, as a ratio, 1.02");
  return ratio;
}

// Of the rules, whose errors name their fields, or of the file.
Error PlanError(Error error, const GgufFile& file) {
  if (error.code != ErrorCode::kUsage) return file.Locate(error);
  error.where = FlagOf(error.where);
  return error;
}

// What one measure of both files came to.
struct Loss {
  Perplexity source, result;
  double limit = 1.0;  // of the ratio

  double ratio() const { return result.value / source.value; }
  bool within() const { return ratio() <= limit; }  // not of NaN
  static double Percent(double ratio) { return 100.0 * (ratio - 1.0); }
  std::string Text() const {
    char text[160];
    snprintf(text, sizeof text, "perplexity %.4f, of the source %.4f: %+.2f %%, at most %.4g %%",
             result.value, source.value, Percent(ratio()), Percent(limit));
    return text;
  }
  Json ToJson() const {
    return {{"source", source.value},
            {"result", result.value},
            {"loss_percent", Percent(ratio())},
            {"limit_percent", Percent(limit)},
            {"tokens", source.tokens}};
  }
};

// A file that is removed unless it was put in its place.
class Candidate {
 public:
  explicit Candidate(std::string path) : path_(std::move(path)) {}
  ~Candidate() {
    std::error_code ec;
    if (!path_.empty()) fs::remove(path_, ec);
  }
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  const std::string& path() const { return path_; }
  Status MoveTo(const std::string& place) {
    std::error_code ec;
    fs::rename(path_, place, ec);
    if (ec) return Status(ErrorCode::kIo, "cannot rename file: " + ec.message(), place);
    os::SyncFolderOf(place);
    path_.clear();
    return Status();
  }

 private:
  std::string path_;
};

class QuantizeCommand : public Command {
 public:
  const char* name() const override { return "quantize"; }
  const char* help() const override {
    return "Write a model with weights of another type; refuses one that lost too much";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_, "path, name or folder of safetensors")->required();
    app.add_option("out", out_, "the file to write");
    app.add_option("--type", options_.types.type, "one of " + TypeMixNames())->required();
    app.add_flag("--pure", options_.types.pure, "every matrix that type: no mix");
    app.add_option("--output-type", options_.types.output_type, "of the output head");
    app.add_option("--embedding-type", options_.types.embedding_type, "of embeddings");
    app.add_option("--tensor-type", tensor_types_,
                   "PATTERN=TYPE of tensors whose name it fits, ffn_down=Q6_K; repeatable")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option("--imatrix", imatrix_, "what lull imatrix or llama-imatrix wrote");
    auto* dry = app.add_flag("--dry-run", dry_run_, "say what would be written, and how large");
    app.add_flag("--force", force_, "also where OUT is there");
    auto* limit =
        app.add_option("--max-perplexity-loss", limit_, "refuse what loses more on --text: 2%")
            ->excludes(dry);
    auto* text = app.add_option("--text", text_, "text file to measure the loss on");
    limit->needs(text);
    text->needs(limit);
    measure_.text.AddTo(app);
    runtime_flags_.AddTo(app);
  }

  Status Run() override {
    const os::InterruptFlag interrupt;
    measure_.cancelled = interrupt.flag();
    double limit = 0.0;
    if (!limit_.empty()) {
      LULL_ASSIGN_OR_RETURN(limit, ParseLimit(limit_));
    }
    LULL_RETURN_IF_ERROR(ParseTensorTypes());
    LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
    LULL_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(path));
    ImportanceMatrix importances;
    if (!imatrix_.empty()) {
      LULL_ASSIGN_OR_RETURN(importances, ImportanceMatrix::Read(imatrix_));
      options_.importances = &importances;
      options_.importances_path = imatrix_;
    }
    const Result<QuantizePlan> plan = PlanQuantize(*file, options_);
    if (!plan.ok()) return PlanError(plan.error(), *file);
    if (dry_run_) {
      PrintPlan(*plan, *file);
      return Status();
    }
    LULL_RETURN_IF_ERROR(CheckOut(path));
    LULL_ASSIGN_OR_RETURN(const auto runtime, OpenRuntime(runtime_flags_));
    Warn(*plan);
    if (limit_.empty()) {
      LULL_RETURN_IF_ERROR(Write(*file, *plan, *runtime, interrupt, out_));
      PrintSummary(*plan, *file, nullptr);
      return Status();
    }
    return WriteIfWithin(*file, *plan, *runtime, interrupt, limit);
  }

 private:
  Status ParseTensorTypes() {
    for (const std::string& text : tensor_types_) {
      const size_t at = text.rfind('=');
      if (at == std::string::npos || at == 0)
        return Status(ErrorCode::kUsage, "not PATTERN=TYPE: " + text, "--tensor-type",
                      "for example ffn_down=Q6_K");
      options_.types.for_names.push_back({text.substr(0, at), text.substr(at + 1)});
    }
    return Status();
  }

  Status CheckOut(const std::string& source) const {
    if (out_.empty()) return Status(ErrorCode::kUsage, "no file to write was given", "out");
    std::error_code ec;
    LULL_RETURN_IF_ERROR(CheckNotAnInput(out_, {source, text_, imatrix_}));
    if (fs::is_directory(out_, ec))
      return Status(ErrorCode::kUsage, "a folder is there", out_, "give the name of a file");
    if (!force_ && fs::exists(out_, ec))
      return Status(ErrorCode::kUsage, "the file is there already", out_, "--force replaces it");
    os::AtomicFile::RemoveAbandoned(out_);
    return Status();
  }

  void Warn(const QuantizePlan& plan) const {
    size_t again = 0;
    for (const TensorChoice& choice : plan.choices.tensors)
      again += choice.format != nullptr &&
               FindQuantFormat(choice.tensor->type_id)->activations != ActivationForm::kF32;
    if (again > 0)
      fprintf(stderr, "lull: %zu matrices are quantised already: what they lost stays lost\n",
              again);
    if (options_.importances == nullptr) return;
    const std::vector<std::string>& datasets = options_.importances->datasets;
    if (!text_.empty() &&
        std::ranges::find(datasets, fs::path(text_).filename().string()) != datasets.end())
      fprintf(stderr, "lull: the importance matrix was made of %s itself: the loss will flatter\n",
              text_.c_str());
    if (plan.without_importance.empty()) return;
    fprintf(stderr, "lull: the importance matrix says nothing of %zu matrices, %s among them\n",
            plan.without_importance.size(), plan.without_importance.front().c_str());
  }

  Status Write(const GgufFile& file, const QuantizePlan& plan, Runtime& runtime,
               const os::InterruptFlag& interrupt, const std::string& path) {
    ProgressBar bar;
    options_.progress = [&bar](uint64_t done, uint64_t total) {
      bar.Update("quantizing", done, total, "MiB");
      return true;
    };
    const std::lock_guard<FairMutex> lock(runtime.rep().compute);
    const ExecContext ctx = runtime.rep().Context(interrupt.flag());
    const Status status = WriteQuantized(ctx, file, plan, options_, path);
    return status.ok() ? status : file.Locate(status.error());
  }

  Result<Perplexity> Measure(const std::string& path, Runtime& runtime, const char* label) {
    measure_.label = label;
    LULL_ASSIGN_OR_RETURN(const auto model, Model::Load(path, runtime));
    return MeasurePerplexity(*model, runtime, text_, measure_);
  }

  // The source first: a text that is too short is found before the work.
  Status WriteIfWithin(const GgufFile& file, const QuantizePlan& plan, Runtime& runtime,
                       const os::InterruptFlag& interrupt, double limit) {
    Loss loss;
    loss.limit = limit;
    LULL_ASSIGN_OR_RETURN(loss.source, Measure(file.path(), runtime, "perplexity of the source"));
    Candidate candidate(out_ + "." + std::to_string(os::ProcessId()) + "-measured.partial");
    LULL_RETURN_IF_ERROR(Write(file, plan, runtime, interrupt, candidate.path()));
    LULL_ASSIGN_OR_RETURN(loss.result,
                          Measure(candidate.path(), runtime, "perplexity of the result"));
    if (loss.within()) {
      LULL_RETURN_IF_ERROR(candidate.MoveTo(out_));
      PrintSummary(plan, file, &loss);
      return Status();
    }
    exit_code = 1;
    PrintError({ErrorCode::kBudgetImpossible, "refused: " + loss.Text(), out_ + " was not written",
                options_.importances == nullptr
                    ? "a wider type, or an importance matrix: lull imatrix, --imatrix"
                    : "a wider type",
                0.0},
               /*json=*/false);
    if (json) PrintJson({{"refused", out_}, {"perplexity", loss.ToJson()}});
    return Status();
  }

  static std::map<std::string, size_t> CountTypes(const QuantizePlan& plan) {
    std::map<std::string, size_t> types;
    for (const TensorChoice& choice : plan.choices.tensors) ++types[TypeOf(choice)];
    return types;
  }

  static uint64_t SourceBytes(const QuantizePlan& plan) {
    uint64_t bytes = 0;
    for (const TensorChoice& choice : plan.choices.tensors) bytes += choice.tensor->data.size();
    return bytes;
  }

  void PrintPlan(const QuantizePlan& plan, const GgufFile& file) const {
    if (json) {
      Json tensors = Json::array();
      for (const TensorChoice& choice : plan.choices.tensors)
        tensors.push_back({{"name", choice.tensor->name},
                           {"from", GgufTypeName(choice.tensor->type_id)},
                           {"to", TypeOf(choice)},
                           {"bytes", choice.result_bytes},
                           {"note", choice.note}});
      PrintJson({{"source_bytes", SourceBytes(plan)},
                 {"result_bytes", plan.result_bytes},
                 {"tensors", tensors}});
      return;
    }
    for (const TensorChoice& choice : plan.choices.tensors)
      printf("%-36s %-20s %6s -> %-6s %9.2f MiB%s%s\n", choice.tensor->name.c_str(),
             GgufDims(choice.tensor->dims).c_str(), GgufTypeName(choice.tensor->type_id),
             TypeOf(choice), Mib(choice.result_bytes), choice.note.empty() ? "" : "  ",
             choice.note.c_str());
    PrintText(plan, file, nullptr);
  }

  void PrintSummary(const QuantizePlan& plan, const GgufFile& file, const Loss* loss) const {
    if (!json) return PrintText(plan, file, loss);
    Json result = {{"quantized", out_},
                   {"source_bytes", SourceBytes(plan)},
                   {"result_bytes", plan.result_bytes},
                   {"types", CountTypes(plan)}};
    if (loss != nullptr) result["perplexity"] = loss->ToJson();
    PrintJson(result);
  }

  void PrintText(const QuantizePlan& plan, const GgufFile& file, const Loss* loss) const {
    printf("%s: %.1f MiB of weights, %.1f in %s\n", out_.empty() ? "total" : out_.c_str(),
           Mib(plan.result_bytes), Mib(SourceBytes(plan)), file.path().c_str());
    std::string types;
    for (const auto& [type, count] : CountTypes(plan))
      types += (types.empty() ? "" : ", ") + std::to_string(count) + " " + type;
    printf("%s\n", types.c_str());
    std::map<std::string, size_t> notes;
    for (const TensorChoice& choice : plan.choices.tensors)
      if (!choice.note.empty()) ++notes[choice.note + ": " + TypeOf(choice)];
    for (const auto& [note, count] : notes) printf("%zu x %s\n", count, note.c_str());
    if (loss != nullptr) printf("%s\n", loss->Text().c_str());
  }

  std::string model_, out_, imatrix_, limit_, text_;
  std::vector<std::string> tensor_types_;
  QuantizeOptions options_;
  PerplexityOptions measure_;
  bool dry_run_ = false, force_ = false;
  RuntimeFlags runtime_flags_;
};

}  // namespace

std::unique_ptr<Command> MakeQuantizeCommand() { return std::make_unique<QuantizeCommand>(); }

}  // namespace lull
