#include "engine/importance_collector.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/thread_pool.h"
#include "engine/memory_plan.h"
#include "engine/model_rep.h"
#include "formats/gguf.h"
#include "model/weight_plan.h"
#include "ops/matmul_observer.h"

namespace lull {
namespace {

constexpr size_t kTileColumns = 256;
constexpr int kBatchRows = 512;

class Collector : public ImportanceCollector, public MatMulObserver {
 public:
  Collector(Runtime& runtime) : runtime_(runtime.rep()) {}

  Status Open(const Model& model, Runtime& runtime, int64_t context_tokens) {
    KvRequest request;
    request.kv_type = "f16";
    request.max_context_tokens = context_tokens;
    request.default_context_tokens = model.info().context_tokens;
    request.max_batch_rows = kBatchRows;
    LULL_ASSIGN_OR_RETURN(RunnerPlan plan, PlanRunner(model, runtime, request));
    plan.options.observer = this;
    LULL_RETURN_IF_ERROR(FindTensors(*model.rep().loaded, model.info().path));
    LULL_ASSIGN_OR_RETURN(runner_, MakeSharedRunner(model, runtime, std::move(plan)));
    return Status();
  }

  Status Add(std::span<const int32_t> tokens) override {
    LULL_ASSIGN_OR_RETURN(const int sequence, runner_->OpenSequence());
    Status status;
    std::vector<BatchRow> rows;
    for (size_t begin = 0; begin < tokens.size() && status.ok(); begin += rows.size()) {
      rows.clear();
      for (size_t i = begin; i < std::min<size_t>(tokens.size(), begin + kBatchRows); ++i)
        rows.push_back({sequence, static_cast<int32_t>(i), tokens[i]});
      status = runner_->Forward(runtime_.Context(), rows, {}, nullptr);
    }
    runner_->CloseSequence(sequence);
    return status;
  }

  ImportanceMatrix Matrix() const override {
    ImportanceMatrix matrix;
    for (const Sums& sums : sums_) {
      Importance& entry = matrix.tensors[sums.name];
      entry.sums.assign(sums.squares.begin(), sums.squares.end());
      entry.counts.assign(sums.rows.begin(), sums.rows.end());
    }
    return matrix;
  }

  // Rows are added one after the other, whatever the batches: the same sums each time.
  void Observe(const ExecContext& ctx, const PackedMatrix& w, const ActivationBuffer& x,
               size_t row_begin, size_t row_end) override {
    const auto found = places_.find(w.data);
    if (found == places_.end() || x.k != w.k) return;
    Sums& sums = sums_[found->second.sums];
    sums.rows[found->second.slice] += static_cast<double>(row_end - row_begin);
    double* const squares = sums.squares.data() + found->second.slice * w.k;
    const size_t tiles = (w.k + kTileColumns - 1) / kTileColumns;
    ParallelFor(ctx, tiles, [&](size_t tile, int) {
      const size_t end = std::min(w.k, (tile + 1) * kTileColumns);
      for (size_t row = row_begin; row < row_end; ++row) {
        const float* values = x.f32 + row * x.k;
        for (size_t i = tile * kTileColumns; i < end; ++i)
          squares[i] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      }
    });
  }

 private:
  struct Sums {
    std::string name;
    std::vector<double> squares;  // [slices, columns]
    std::vector<double> rows;     // [slices]
  };
  struct Place {
    size_t sums, slice;
  };

  // By the address of a matrix's weights, which loading laid out by the same plan.
  Status FindTensors(const LoadedModel& model, const std::string& path) {
    LULL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path));
    LULL_ASSIGN_OR_RETURN(const WeightPlan plan,
                          PlanWeights(*file, model.architecture(), model.hparams()));
    for (const WeightPlacement& placement : plan.placements) {
      if (placement.format == nullptr || placement.layer < 0 || placement.file_begin != 0) continue;
      for (size_t slice = 0; slice < placement.slices; ++slice)
        places_[model.weight_memory().data() + placement.offset + slice * placement.slice_bytes()] =
            {sums_.size(), slice};
      sums_.push_back({placement.tensor->name, std::vector<double>(placement.slices * placement.k),
                       std::vector<double>(placement.slices)});
    }
    return Status();
  }

  Runtime::Rep& runtime_;
  std::unordered_map<const uint8_t*, Place> places_;
  std::vector<Sums> sums_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace

Result<std::unique_ptr<ImportanceCollector>> ImportanceCollector::Create(const Model& model,
                                                                         Runtime& runtime,
                                                                         int64_t context_tokens) {
  auto collector = std::make_unique<Collector>(runtime);
  LULL_RETURN_IF_ERROR(collector->Open(model, runtime, context_tokens));
  return std::unique_ptr<ImportanceCollector>(std::move(collector));
}

}  // namespace lull
