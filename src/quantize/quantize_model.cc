#include "quantize/quantize_model.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "base/thread_pool.h"
#include "formats/file_kind.h"
#include "formats/gguf_writer.h"
#include "quantize/quantize.h"

namespace lull {
namespace {

constexpr uint32_t kQuantizationVersion = 2;
constexpr size_t kTileWeights = 16384;  // of rows that one thread takes together
constexpr size_t kStepWeights = 1024;   // between checkpoints: about 0.1 ms
constexpr size_t kMaxTileRows = 16;     // a group of the packed layout, which weights pass through

// The first error of any thread, by the row it is in, so that it is the same every time.
class FirstError {
 public:
  void Set(uint64_t row, const Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok() && row >= row_) return;
    row_ = row;
    status_ = status;
  }
  Status Get() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t row_ = 0;
  Status status_;
};

// Of one thread, for whatever tensor is on its way.
struct Scratch {
  std::vector<uint8_t> group;
  std::vector<float> floats;
};

// One tensor on its way. scratch: of every thread of the context.
class Passage {
 public:
  Passage(const ExecContext& ctx, const TensorChoice& choice, const Importance* importance,
          std::span<Scratch> scratch, FirstError* error)
      : ctx_(ctx),
        tensor_(*choice.tensor),
        from_(FindQuantFormat(tensor_.type_id)),
        to_(*choice.format),
        importance_(importance),
        scratch_(scratch),
        error_(error) {
    slice_rows_ = tensor_.dims.size() > 1 ? tensor_.dims[1] : 1;
  }

  // Rows as the new file has them. Rows are asked for in order, so means of one slice are enough.
  void Write(uint64_t first, uint64_t count, uint8_t* out) {
    for (uint64_t end = first + count; first < end;) {
      const uint64_t slice = first / slice_rows_;
      const uint64_t part = std::min(end, (slice + 1) * slice_rows_) - first;
      UseSlice(slice);
      WriteInSlice(first, part, out);
      out += part * RowBytes(to_);
      first += part;
    }
  }

 private:
  uint64_t columns() const { return tensor_.dims[0]; }
  size_t RowBytes(const QuantFormat& format) const {
    return columns() / format.block_k * format.file_block_bytes;
  }

  void UseSlice(uint64_t slice) {
    if (importance_ == nullptr || slice == slice_) return;
    means_ = importance_->Means(columns(), slice);
    slice_ = slice;
  }

  void WriteInSlice(uint64_t first, uint64_t count, uint8_t* out) {
    const uint64_t tile_rows = std::clamp<uint64_t>(kTileWeights / columns(), 1, kMaxTileRows);
    const auto tiles = static_cast<size_t>((count + tile_rows - 1) / tile_rows);
    ParallelFor(ctx_, tiles, [&](size_t tile, int thread) {
      const uint64_t begin = tile * tile_rows;
      const uint64_t rows = std::min(tile_rows, count - begin);
      Scratch& scratch = scratch_[static_cast<size_t>(thread)];
      Widen(first + begin, rows, &scratch);
      for (uint64_t r = 0; r < rows; ++r)
        Narrow(first + begin + r, scratch.floats.data() + r * columns(),
               out + (begin + r) * RowBytes(to_));
    });
  }

  void Widen(uint64_t first, uint64_t rows, Scratch* scratch) const {
    scratch->group.resize(from_->GroupBytes(columns()));
    scratch->floats.resize(rows * columns());
    from_->repack_group(tensor_.data.data() + first * RowBytes(*from_), rows, columns(),
                        scratch->group.data());
    for (uint64_t r = 0; r < rows; ++r)
      from_->dequantize_row(scratch->group.data(), r, columns(),
                            scratch->floats.data() + r * columns());
  }

  // In steps of whole blocks, each quantised for itself.
  void Narrow(uint64_t row, const float* floats, uint8_t* out) const {
    const size_t step = kStepWeights / to_.block_k * to_.block_k;
    for (size_t at = 0; at < columns(); at += step) {
      const size_t n = std::min<size_t>(step, columns() - at);
      const std::span<const float> means =
          means_.empty() ? std::span<const float>() : std::span(means_).subspan(at, n);
      const Status status = QuantizeRows(
          to_, {floats + at, n}, n, means,
          {out + at / to_.block_k * to_.file_block_bytes, n / to_.block_k * to_.file_block_bytes});
      if (!status.ok())
        error_->Set(row, Status(ErrorCode::kInvalidModel, status.error().message,
                                tensor_.name + ": row " + std::to_string(row)));
      ctx_.Checkpoint();
    }
  }

  const ExecContext& ctx_;
  const GgufTensor& tensor_;
  const QuantFormat* from_;
  const QuantFormat& to_;
  const Importance* importance_;
  std::span<Scratch> scratch_;
  FirstError* error_;
  uint64_t slice_rows_ = 1;
  uint64_t slice_ = UINT64_MAX;
  std::vector<float> means_;  // of that slice
};

const Importance* ImportanceOf(const QuantizeOptions& options, const std::string& name) {
  if (options.importances == nullptr) return nullptr;
  const auto found = options.importances->tensors.find(name);
  return found == options.importances->tensors.end() ? nullptr : &found->second;
}

void CopyKeys(const GgufFile& file, const QuantizePlan& plan, const QuantizeOptions& options,
              GgufWriter* writer) {
  for (const std::string& key : file.Keys())
    if (!key.starts_with("split.")) writer->CopyKey(file, key);
  if (const Result<uint64_t> alignment = file.GetUint("general.alignment"); alignment.ok())
    writer->set_alignment(static_cast<uint32_t>(*alignment));
  writer->AddUint32("general.file_type", plan.choices.file_type);
  writer->AddUint32("general.quantization_version", kQuantizationVersion);
  if (options.importances == nullptr) return;
  const ImportanceMatrix& matrix = *options.importances;
  writer->AddString("quantize.imatrix.file", options.importances_path);
  if (!matrix.datasets.empty())
    writer->AddString("quantize.imatrix.dataset", matrix.datasets.front());
  writer->AddUint32("quantize.imatrix.entries_count", static_cast<uint32_t>(matrix.tensors.size()));
  if (matrix.chunks > 0) writer->AddUint32("quantize.imatrix.chunks_count", matrix.chunks);
}

GgufWriter::RowSource Unchanged(const GgufFile& file, const GgufTensor& tensor) {
  uint64_t rows = 1;
  for (size_t i = 1; i < tensor.dims.size(); ++i) rows *= tensor.dims[i];
  const uint64_t row_bytes = tensor.data.size() / rows;
  return [&file, &tensor, rows, row_bytes](uint64_t first, uint64_t count, uint8_t* out) {
    memcpy(out, tensor.data.data() + first * row_bytes, count * row_bytes);
    if (first + count == rows) file.DropPages(tensor);
  };
}

}  // namespace

Result<QuantizePlan> PlanQuantize(const GgufFile& file, const QuantizeOptions& options) {
  LULL_RETURN_IF_ERROR(CheckIsModel(file));
  QuantizePlan plan;
  LULL_ASSIGN_OR_RETURN(plan.choices, ChooseTypes(file, options.types));
  for (const TensorChoice& choice : plan.choices.tensors) {
    plan.result_bytes += choice.result_bytes;
    if (choice.format == nullptr) continue;
    ++plan.quantised;
    if (options.importances == nullptr) continue;
    const std::string& name = choice.tensor->name;
    const Importance* importance = ImportanceOf(options, name);
    if (importance == nullptr && name.starts_with("blk.")) plan.without_importance.push_back(name);
    if (importance != nullptr && !importance->Fits(*choice.tensor))
      return Status(ErrorCode::kInvalidInput,
                    "the importance matrix is another model's: it has " +
                        std::to_string(importance->sums.size()) + " sums for rows of " +
                        std::to_string(choice.tensor->dims[0]),
                    name, "make one of this model: lull imatrix");
  }
  return plan;
}

Status WriteQuantized(const ExecContext& ctx, const GgufFile& file, const QuantizePlan& plan,
                      const QuantizeOptions& options, const std::string& path) {
  GgufWriter writer;
  CopyKeys(file, plan, options, &writer);
  FirstError error;
  std::vector<Scratch> scratch(ctx.pool == nullptr ? 1 : static_cast<size_t>(ctx.pool->threads()));
  for (const TensorChoice& choice : plan.choices.tensors) {
    const GgufTensor& tensor = *choice.tensor;
    if (choice.format == nullptr) {
      writer.AddTensor(tensor.name, tensor.type_id, tensor.dims, Unchanged(file, tensor));
      continue;
    }
    const auto passage =
        std::make_shared<Passage>(ctx, choice, ImportanceOf(options, tensor.name), scratch, &error);
    uint64_t rows = 1;
    for (size_t i = 1; i < tensor.dims.size(); ++i) rows *= tensor.dims[i];
    writer.AddTensor(tensor.name, choice.format->gguf_type_id, tensor.dims,
                     [passage, rows, &file, &tensor](uint64_t first, uint64_t count, uint8_t* out) {
                       passage->Write(first, count, out);
                       if (first + count == rows) file.DropPages(tensor);
                     });
  }
  writer.set_durable(options.durable);
  writer.set_progress([&](uint64_t done, uint64_t total) {
    return error.Get().ok() && !ctx.Cancelled() &&
           (!options.progress || options.progress(done, total));
  });
  const Status written = writer.Write(path);
  const Status status = error.Get();
  return status.ok() ? written : status;
}

}  // namespace lull
