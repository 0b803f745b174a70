#include "model/loaded_model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "base/f16.h"
#include "base/thread_pool.h"
#include "model/hparams_reader.h"
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

// The vocabulary is what the embedding has rows for; key and tokenizer must agree with it.
Status ResolveVocab(const GgufFile& file, const Architecture& architecture, Hparams* h) {
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->dims.size() < 2)
    return Status(ErrorCode::kInvalidModel, "the matrix token_embd.weight is missing",
                  "token_embd.weight");
  const int64_t rows = static_cast<int64_t>(embedding->dims[1]);
  if (rows > (int64_t{1} << 24))
    return Status(
        ErrorCode::kInvalidModel,
        "token_embd.weight has " + std::to_string(rows) + " rows; allowed: up to 16777216",
        "token_embd.weight");
  const std::string key = std::string(architecture.name) + ".vocab_size";
  if (h->vocab != 0 && h->vocab != rows)
    return Status(ErrorCode::kInvalidModel,
                  key + " is " + std::to_string(h->vocab) + ", but token_embd.weight has " +
                      std::to_string(rows) + " rows",
                  key);
  h->vocab = rows;
  constexpr const char* kTokens = "tokenizer.ggml.tokens";
  if (!file.Has(kTokens)) return Status::Ok();
  LULL_ASSIGN_OR_RETURN(const uint64_t tokens, file.ArraySize(kTokens));
  if (tokens != static_cast<uint64_t>(rows))
    return Status(ErrorCode::kInvalidModel,
                  std::string(kTokens) + " has " + std::to_string(tokens) +
                      " entries, but token_embd.weight has " + std::to_string(rows) + " rows",
                  kTokens);
  return Status::Ok();
}

// What every token reads of a matrix: all of it, or of experts those that are used. The embedding
// is read in rows, unless it is the output matrix too.
size_t ActiveSlices(const WeightPlacement& p, const Hparams& h, bool tied) {
  const auto* model_matrix = std::get_if<PackedMatrix ModelWeights::*>(&p.spec->target);
  const bool embedding = model_matrix != nullptr && *model_matrix == &ModelWeights::token_embd;
  if (p.format == nullptr || (embedding && !tied)) return 0;
  const bool table = model_matrix != nullptr && *model_matrix == &ModelWeights::per_layer_embd;
  if (table) return 0;
  const auto* slices = std::get_if<std::vector<PackedMatrix> LayerWeights::*>(&p.spec->target);
  const bool experts = slices != nullptr && (*slices == &LayerWeights::gate_experts ||
                                             *slices == &LayerWeights::up_experts ||
                                             *slices == &LayerWeights::down_experts);
  return experts ? std::min(p.slices, static_cast<size_t>(h.experts_used)) : p.slices;
}

bool HasOutputMatrix(const std::vector<WeightPlacement>& placements) {
  return std::any_of(placements.begin(), placements.end(), [](const WeightPlacement& p) {
    const auto* matrix = std::get_if<PackedMatrix ModelWeights::*>(&p.spec->target);
    return matrix != nullptr && *matrix == &ModelWeights::output;
  });
}

Status CheckLongRope(const Hparams& h, const std::vector<WeightPlacement>& placements) {
  if (h.rope_scaling != RopeScaling::kLongRope) return Status::Ok();
  constexpr const char* kFactors = "rope_factors_long.weight";
  for (const WeightPlacement& p : placements)
    if (p.tensor->name == kFactors) return Status::Ok();
  return Status(
      ErrorCode::kInvalidModel,
      std::string("the file asks for longrope, but the tensor ") + kFactors + " is missing",
      kFactors);
}

ModelInfo Describe(const GgufFile& file, const Architecture& architecture, const Hparams& h,
                   const std::vector<WeightPlacement>& placements) {
  ModelInfo info;
  info.path = file.path();
  info.name = info.path.substr(info.path.find_last_of('/') + 1);
  if (auto name = file.GetString("general.name"); name.ok()) info.name = std::string(name.value());
  info.architecture = architecture.name;
  info.vocab_size = h.vocab;
  info.context_tokens = h.context;
  info.num_layers = h.num_layers;
  info.embedding_length = h.embedding;
  info.file_bytes = static_cast<int64_t>(file.file_bytes());
  std::map<std::string, size_t> bytes_of_type;
  const bool tied = !HasOutputMatrix(placements);
  for (const WeightPlacement& p : placements) {
    const size_t active = ActiveSlices(p, h, tied);
    info.active_bytes_per_token += static_cast<int64_t>(p.groups() * p.group_bytes * active);
    info.macs_per_token += static_cast<int64_t>(p.rows * p.k * active);
    info.parameters += static_cast<int64_t>(p.k * p.rows * p.slices);
    info.weight_bytes += static_cast<int64_t>(p.bytes());
    if (p.format != nullptr)
      bytes_of_type[p.format->name] +=
          p.k / p.format->block_k * p.format->file_block_bytes * p.rows * p.slices;
  }
  size_t most = 0;
  for (const auto& [type, bytes] : bytes_of_type) {
    if (bytes > most) info.file_type = type;
    most = std::max(most, bytes);
  }
  for (const LayerPlan& layer : h.layers)
    if (!IsRecurrent(layer.mixer) && layer.window == 0 && layer.kv_source < 0)
      info.kv_bytes_per_token += 2 * layer.kv_heads * layer.head_dim * 2;
  return info;
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
  LULL_ASSIGN_OR_RETURN(const std::string_view name, file.GetString("general.architecture"));
  std::unique_ptr<LoadedModel> model(new LoadedModel());
  model->architecture_ = FindArchitecture(name);
  if (model->architecture_ == nullptr)
    return Status(ErrorCode::kUnsupported,
                  "the architecture \"" + std::string(name.substr(0, 64)) + "\" is not supported",
                  "general.architecture", "supported: " + ArchitectureNames());
  const Architecture& architecture = *model->architecture_;
  LULL_ASSIGN_OR_RETURN(model->hparams_, ReadHparams(file, architecture));
  ctx.Checkpoint();
  LULL_RETURN_IF_ERROR(ResolveVocab(file, architecture, &model->hparams_));
  LULL_ASSIGN_OR_RETURN(const WeightPlan plan, PlanWeights(file, architecture, model->hparams_));
  LULL_RETURN_IF_ERROR(CheckLongRope(model->hparams_, plan.placements));
  ctx.Checkpoint();
  model->layout_ = plan.Digest();
  model->weight_bytes_ = plan.total_bytes;
  std::string pack_note;
  if (use != PackUse::kIgnore) {
    LULL_ASSIGN_OR_RETURN(pack_note, model->MapPack(ctx, file, use));
  }
  model->info_ = Describe(file, architecture, model->hparams_, plan.placements);
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
