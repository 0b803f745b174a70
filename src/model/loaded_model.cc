#include "model/loaded_model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "base/f16.h"
#include "base/thread_pool.h"
#include "model/model_plan.h"
#include "model/weight_plan.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

constexpr size_t kTileBytes = size_t{48} << 10;  // repacked between two checkpoints
constexpr size_t kDropBytes = size_t{2} << 20;   // source pages dropped at a time

float FloatAt(const uint8_t* data, uint32_t type, size_t i) {
  uint16_t half;
  if (type == kTypeF32) {
    float value;
    memcpy(&value, data + 4 * i, 4);
    return value;
  }
  memcpy(&half, data + 2 * i, 2);
  return type == kTypeF16 ? F16ToF32(half) : Bf16ToF32(half);
}

Status Cancelled() { return Status(ErrorCode::kCancelled, "loading was cancelled"); }

// Copies a vector as f32, a piece per tile.
Status LoadVector(const ExecContext& ctx, const WeightPlacement& p, uint8_t* memory) {
  float* out = reinterpret_cast<float*>(memory + p.offset);
  const size_t n = p.k * p.rows;
  const size_t begin = p.rows == 1 ? p.file_begin : 0;
  const size_t tile = kTileBytes / sizeof(float);
  ParallelFor(ctx, (n + tile - 1) / tile, [&](size_t t, int) {
    const size_t end = std::min(n, (t + 1) * tile);
    for (size_t i = t * tile; i < end; ++i)
      out[i] = FloatAt(p.tensor->data.data(), p.tensor->type_id, begin + i);
  });
  return ctx.Cancelled() ? Cancelled() : Status::Ok();
}

// First touches of [begin, end), one huge page between two checkpoints: clearing one takes longer
// than repacking into it.
void Touch(const ExecContext& ctx, uint8_t* begin, uint8_t* end) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const auto last = static_cast<size_t>(end - begin) - 1;  // odd, so no other tile's byte
  const size_t steps = last / kHugePage + 1;
  ParallelFor(ctx, steps + 1, [&](size_t i, int) {
    *static_cast<volatile uint8_t*>(begin + (i < steps ? i * kHugePage : last)) = 0;
  });
}

// Repacks all groups of all slices; tiles are runs of groups in file order.
Status LoadMatrix(const ExecContext& ctx, const GgufFile& file, const WeightPlacement& p,
                  uint8_t* memory, const std::function<void()>& give_way) {
  const size_t row_bytes = p.k / p.format->block_k * p.format->file_block_bytes;
  const size_t groups = p.groups();
  const size_t all_groups = groups * p.slices;
  const size_t file_rows = p.spec->all == nullptr ? p.rows : p.file_rows;
  if (p.tensor->data.size() != row_bytes * file_rows * p.slices)
    return Status(ErrorCode::kInternal, "tensor size mismatch", p.tensor->name);
  const size_t per_tile = std::max<size_t>(1, kTileBytes / (16 * row_bytes));
  const size_t per_chunk = std::max<size_t>(per_tile, kDropBytes / (16 * row_bytes));
  const auto source_at = [&](size_t group) {
    return (group / groups * file_rows + p.file_begin + group % groups * 16) * row_bytes;
  };
  const auto packed_at = [&](size_t group) {
    return memory + p.offset + group / groups * p.slice_bytes() + group % groups * p.group_bytes;
  };
  for (size_t begin = 0; begin < all_groups; begin += per_chunk) {
    const size_t end = std::min(all_groups, begin + per_chunk);
    Touch(ctx, packed_at(begin), packed_at(end - 1) + p.group_bytes);
    ParallelFor(ctx, (end - begin + per_tile - 1) / per_tile, [&](size_t tile, int) {
      if (ctx.Cancelled()) return;
      const size_t first = begin + tile * per_tile;
      const size_t last = std::min(end, first + per_tile);
      ctx.AddBytes((last - first) * 16 * row_bytes);
      for (size_t g = first; g < last; ++g) {
        const size_t in_slice = g % groups;
        p.format->repack_group(p.tensor->data.data() + source_at(g),
                               std::min<size_t>(16, p.rows - 16 * in_slice), p.k, packed_at(g));
      }
    });
    if (ctx.Cancelled()) return Cancelled();
    const size_t from = source_at(begin);
    const size_t to =
        source_at(end - 1) + std::min<size_t>(16, p.rows - (end - 1) % groups * 16) * row_bytes;
    GgufTensor part = *p.tensor;
    part.data = part.data.subspan(from, to - from);
    part.file_offset += from;
    file.DropPages(part);
    ctx.Checkpoint();
    if (give_way) give_way();
  }
  return Status::Ok();
}

PackedMatrix MatrixOf(const WeightPlacement& p, const uint8_t* memory, size_t slice) {
  PackedMatrix m;
  m.format = p.format;
  m.rows = p.rows;
  m.k = p.k;
  m.group_bytes = p.group_bytes;
  m.data = memory + p.offset + slice * p.slice_bytes();
  return m;
}

void Bind(const WeightPlacement& p, const uint8_t* memory, ModelWeights* weights) {
  const auto* floats = reinterpret_cast<const float*>(memory + p.offset);
  LayerWeights* layer = p.layer >= 0 ? &weights->layers[static_cast<size_t>(p.layer)] : nullptr;
  const auto& target = p.spec->target;
  if (const auto* f = std::get_if<PackedMatrix ModelWeights::*>(&target))
    weights->** f = MatrixOf(p, memory, 0);
  if (const auto* f = std::get_if<const float * ModelWeights::*>(&target)) weights->** f = floats;
  if (const auto* f = std::get_if<PackedMatrix LayerWeights::*>(&target))
    layer->** f = MatrixOf(p, memory, 0);
  if (const auto* f = std::get_if<const float * LayerWeights::*>(&target)) layer->** f = floats;
  if (const auto* f = std::get_if<std::vector<PackedMatrix> LayerWeights::*>(&target))
    for (size_t s = 0; s < p.slices; ++s) (layer->**f).push_back(MatrixOf(p, memory, s));
}

}  // namespace

LoadedModel::LoadedModel()
    : id_([] {
        static std::atomic<uint64_t> last{0};
        return ++last;
      }()) {}

Result<std::unique_ptr<LoadedModel>> LoadedModel::Load(const ExecContext& ctx, const GgufFile& file,
                                                       PackUse use, const Hooks& hooks) {
  const int64_t start_ns = os::MonotonicNs();
  LULL_ASSIGN_OR_RETURN(ModelPlan checked, PlanModel(ctx, file));
  std::unique_ptr<LoadedModel> model(new LoadedModel());
  model->architecture_ = checked.architecture;
  model->hparams_ = std::move(checked.hparams);
  model->info_ = std::move(checked.info);
  const WeightPlan& plan = checked.weights;
  model->layout_ = plan.Digest();
  model->weight_bytes_ = plan.total_bytes;
  std::string pack_note;
  if (use != PackUse::kIgnore) {
    LULL_ASSIGN_OR_RETURN(pack_note, model->MapPack(ctx, file, use));
  }
  model->info_.pack_note = std::move(pack_note);
  model->info_.mapped_pack = model->pack_ != nullptr;
  if (hooks.approve) LULL_RETURN_IF_ERROR(hooks.approve(model->info_));
  if (model->pack_ == nullptr) LULL_RETURN_IF_ERROR(model->Repack(ctx, file, plan, hooks.give_way));
  model->weights_.layers.resize(static_cast<size_t>(model->hparams_.num_layers));
  for (const WeightPlacement& p : plan.placements)
    Bind(p, model->weight_memory().data(), &model->weights_);
  if (model->weights_.output.format == nullptr) model->weights_.output = model->weights_.token_embd;
  model->info_.load_s = static_cast<double>(os::MonotonicNs() - start_ns) * 1e-9;
  return model;
}

// A pack that does not fit is no reason to refuse the model; that it is not used is worth a note.
Result<std::string> LoadedModel::MapPack(const ExecContext& ctx, const GgufFile& file,
                                         PackUse use) {
  Result<std::unique_ptr<PackFile>> pack =
      PackFile::Open(PackPathOf(file.path()), file.owner_uid());
  Status status = pack.status();
  if (pack.ok()) status = (*pack)->Check(PackIdentityOf(ctx, file));
  if (status.ok()) {
    pack_ = std::move(*pack);
    return std::string();
  }
  if (use == PackUse::kRequire) return status;
  return status.code() == ErrorCode::kNotFound ? std::string() : status.ToString();
}

PackIdentity LoadedModel::PackIdentityOf(const ExecContext& ctx, const GgufFile& file) const {
  return {file.Identity(ctx), layout_, weight_bytes_};
}

Status LoadedModel::Repack(const ExecContext& ctx, const GgufFile& file, const WeightPlan& plan,
                           const std::function<void()>& give_way) {
  LULL_ASSIGN_OR_RETURN(memory_, os::Memory::Allocate(plan.total_bytes));
  ctx.Checkpoint();
  for (const WeightPlacement& p : plan.placements)
    LULL_RETURN_IF_ERROR(p.format != nullptr ? LoadMatrix(ctx, file, p, memory_.data(), give_way)
                                             : LoadVector(ctx, p, memory_.data()));
  return Status::Ok();
}

std::span<const uint8_t> LoadedModel::weight_memory() const {
  if (pack_ != nullptr) return pack_->weights();
  return {memory_.data(), weight_bytes_};
}

}  // namespace lull
