#include "model/loaded_model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/f16.h"
#include "base/thread_pool.h"
#include "model/hparams_reader.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kTileBytes = size_t{48} << 10;  // repacked between two checkpoints
constexpr size_t kDropBytes = size_t{2} << 20;   // source pages dropped at a time
enum FloatType : uint32_t { kTypeF32 = 0, kTypeF16 = 1, kTypeBf16 = 30 };

size_t AlignUp(size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// One tensor of the file and where it goes.
struct Placement {
  const TensorSpec* spec = nullptr;
  const GgufTensor* tensor = nullptr;
  int64_t layer = -1;
  const QuantFormat* format = nullptr;  // matrices
  size_t offset = 0;                    // in the weight memory
  size_t k = 0, rows = 0, slices = 1;   // slices: experts
  size_t group_bytes = 0;               // matrices

  size_t groups() const { return (rows + 15) / 16; }
  size_t slice_bytes() const { return AlignUp(groups() * group_bytes); }
  size_t bytes() const {
    return format != nullptr ? slices * slice_bytes() : AlignUp(k * rows * sizeof(float));
  }
};

bool IsVector(const TensorSpec& spec) {
  return std::holds_alternative<const float * ModelWeights::*>(spec.target) ||
         std::holds_alternative<const float * LayerWeights::*>(spec.target);
}

bool Applies(When when, const LayerPlan& layer) {
  switch (when) {
    case When::kModel:
      return false;
    case When::kEveryLayer:
      return true;
    case When::kAttention:
      return !layer.conv;
    case When::kConv:
      return layer.conv;
    case When::kDense:
      return !layer.moe;
    case When::kMoe:
      return layer.moe;
  }
  return false;
}

std::string TensorName(const TensorSpec& spec, int64_t layer) {
  std::string name = spec.name;
  const size_t at = name.find("%d");
  if (at != std::string::npos) name.replace(at, 2, std::to_string(layer));
  return name;
}

std::string Shape(const std::vector<uint64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

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

// Matches the architecture's tensor table against the file.
class Planner {
 public:
  Planner(const GgufFile& file, const Architecture& architecture, const Hparams& h)
      : file_(file), architecture_(architecture), h_(h) {}

  Result<std::vector<Placement>> Plan() {
    for (const TensorSpec& spec : architecture_.tensors)
      if (spec.when == When::kModel) LULL_RETURN_IF_ERROR(Place(spec, -1, LayerPlan()));
    for (int64_t i = 0; i < h_.num_layers; ++i)
      for (const TensorSpec& spec : architecture_.tensors)
        if (Applies(spec.when, h_.layers[i])) LULL_RETURN_IF_ERROR(Place(spec, i, h_.layers[i]));
    for (const GgufTensor& tensor : file_.tensors())
      if (!used_.contains(&tensor))
        return Status(ErrorCode::kUnsupported,
                      "the tensor " + tensor.name + " is not one that " + architecture_.name +
                          " models of this configuration have here",
                      tensor.name);
    return std::move(placements_);
  }

  size_t total_bytes() const { return offset_; }

 private:
  Status Place(const TensorSpec& spec, int64_t layer, const LayerPlan& plan) {
    const std::string name = TensorName(spec, layer);
    const GgufTensor* tensor = file_.FindTensor(name);
    if (tensor == nullptr) {
      if (!spec.required) return Status::Ok();
      return Status(ErrorCode::kInvalidModel, "the tensor " + name + " is missing", name);
    }
    used_.insert(tensor);
    std::vector<uint64_t> want;
    for (Dim dim : spec.dims)
      if (dim != nullptr) want.push_back(static_cast<uint64_t>(dim(h_, plan)));
    std::vector<uint64_t> have = tensor->dims;
    while (have.size() > want.size() && have.back() == 1) have.pop_back();
    if (have != want)
      return Status(ErrorCode::kInvalidModel,
                    "the tensor " + name + " has shape " + Shape(tensor->dims) +
                        ", but the file's configuration asks for " + Shape(want),
                    name);
    Placement p;
    p.spec = &spec;
    p.tensor = tensor;
    p.layer = layer;
    p.k = want[0];
    p.rows = want.size() > 1 ? want[1] : 1;
    p.slices = want.size() > 2 ? want[2] : 1;
    LULL_RETURN_IF_ERROR(FindFormat(&p));
    p.offset = offset_;
    offset_ += p.bytes();
    placements_.push_back(p);
    return Status::Ok();
  }

  Status FindFormat(Placement* p) const {
    const GgufTensor& tensor = *p->tensor;
    const std::string type = GgufTypeName(tensor.type_id);
    if (IsVector(*p->spec)) {
      if (tensor.type_id == kTypeF32 || tensor.type_id == kTypeF16 || tensor.type_id == kTypeBf16)
        return Status::Ok();
      return Status(ErrorCode::kUnsupported,
                    "the tensor " + tensor.name + " has type " + type +
                        "; F32, F16 and BF16 are supported here",
                    tensor.name);
    }
    p->format = FindQuantFormat(tensor.type_id);
    if (p->format == nullptr)
      return Status(ErrorCode::kUnsupported,
                    "the tensor " + tensor.name + " has type " + type + " (" +
                        std::to_string(tensor.type_id) + "), which is not supported",
                    tensor.name);
    if (p->k % p->format->block_k != 0 || p->k % 32 != 0)
      return Status(ErrorCode::kUnsupported,
                    "the tensor " + tensor.name + " has rows of " + std::to_string(p->k) +
                        " values, which blocks of " + std::to_string(p->format->block_k) +
                        " do not divide",
                    tensor.name);
    p->group_bytes = p->format->GroupBytes(p->k);
    return Status::Ok();
  }

  const GgufFile& file_;
  const Architecture& architecture_;
  const Hparams& h_;
  std::set<const GgufTensor*> used_;
  std::vector<Placement> placements_;
  size_t offset_ = 0;
};

Status Cancelled() { return Status(ErrorCode::kCancelled, "loading was cancelled"); }

// Copies a vector as f32, a piece per tile.
Status LoadVector(const ExecContext& ctx, const Placement& p, uint8_t* memory) {
  float* out = reinterpret_cast<float*>(memory + p.offset);
  const size_t n = p.k * p.rows;
  const size_t tile = kTileBytes / sizeof(float);
  ParallelFor(ctx, (n + tile - 1) / tile, [&](size_t t, int) {
    const size_t end = std::min(n, (t + 1) * tile);
    for (size_t i = t * tile; i < end; ++i)
      out[i] = FloatAt(p.tensor->data.data(), p.tensor->type_id, i);
  });
  return ctx.Cancelled() ? Cancelled() : Status::Ok();
}

// First touches of [begin, end), one huge page between two checkpoints: clearing one takes longer
// than repacking into it.
void Touch(const ExecContext& ctx, uint8_t* begin, uint8_t* end) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const auto size = static_cast<size_t>(end - begin);
  ParallelFor(ctx, size / kHugePage + 2, [&](size_t i, int) {
    *static_cast<volatile uint8_t*>(begin + std::min(i * kHugePage, size - 1)) = 0;
  });
}

// Repacks all groups of all slices; tiles are runs of groups in file order.
Status LoadMatrix(const ExecContext& ctx, const GgufFile& file, const Placement& p,
                  uint8_t* memory) {
  const size_t row_bytes = p.k / p.format->block_k * p.format->file_block_bytes;
  const size_t groups = p.groups();
  const size_t all_groups = groups * p.slices;
  if (p.tensor->data.size() != row_bytes * p.rows * p.slices)
    return Status(ErrorCode::kInternal, "tensor size mismatch", p.tensor->name);
  const size_t per_tile = std::max<size_t>(1, kTileBytes / (16 * row_bytes));
  const size_t per_chunk = std::max<size_t>(per_tile, kDropBytes / (16 * row_bytes));
  const auto source_at = [&](size_t group) {
    return (group / groups * p.rows + group % groups * 16) * row_bytes;
  };
  const auto packed_at = [&](size_t group) {
    return memory + p.offset + group / groups * p.slice_bytes() + group % groups * p.group_bytes;
  };
  for (size_t begin = 0; begin < all_groups; begin += per_chunk) {
    const size_t end = std::min(all_groups, begin + per_chunk);
    Touch(ctx, packed_at(begin), packed_at(end - 1) + p.group_bytes);
    ParallelFor(ctx, (end - begin + per_tile - 1) / per_tile, [&](size_t tile, int) {
      if (ctx.Cancelled()) return;
      const size_t last = std::min(end, begin + (tile + 1) * per_tile);
      for (size_t g = begin + tile * per_tile; g < last; ++g) {
        const size_t in_slice = g % groups;
        p.format->repack_group(p.tensor->data.data() + source_at(g),
                               std::min<size_t>(16, p.rows - 16 * in_slice), p.k, packed_at(g));
      }
    });
    if (ctx.Cancelled()) return Cancelled();
    const size_t from = source_at(begin);
    const size_t to = end == all_groups ? p.tensor->data.size() : source_at(end);
    GgufTensor part = *p.tensor;
    part.data = part.data.subspan(from, to - from);
    part.file_offset += from;
    file.DropPages(part);
    ctx.Checkpoint();
  }
  return Status::Ok();
}

PackedMatrix MatrixOf(const Placement& p, const uint8_t* memory, size_t slice) {
  PackedMatrix m;
  m.format = p.format;
  m.rows = p.rows;
  m.k = p.k;
  m.group_bytes = p.group_bytes;
  m.data = memory + p.offset + slice * p.slice_bytes();
  return m;
}

void Bind(const Placement& p, const uint8_t* memory, ModelWeights* weights) {
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

// Of a matrix that every token reads: bytes and multiply-accumulates.
void CountActive(const PackedMatrix& m, ModelInfo* info) {
  info->active_bytes_per_token += static_cast<int64_t>(m.packed_bytes());
  info->macs_per_token += static_cast<int64_t>(m.rows * m.k);
}

void CountActiveLayer(const LayerWeights& w, const Hparams& h, ModelInfo* info) {
  for (const PackedMatrix* m :
       {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down, &w.router, &w.conv_in, &w.conv_out})
    CountActive(*m, info);
  for (const auto* experts : {&w.gate_experts, &w.up_experts, &w.down_experts})
    for (size_t e = 0; e < experts->size() && e < static_cast<size_t>(h.experts_used); ++e)
      CountActive((*experts)[e], info);
}

ModelInfo Describe(const GgufFile& file, const Architecture& architecture, const Hparams& h,
                   const ModelWeights& weights, const std::vector<Placement>& placements) {
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
  for (const Placement& p : placements) {
    info.parameters += static_cast<int64_t>(p.k * p.rows * p.slices);
    info.weight_bytes += static_cast<int64_t>(p.bytes());
    if (p.format != nullptr) bytes_of_type[p.format->name] += p.tensor->data.size();
  }
  size_t most = 0;
  for (const auto& [type, bytes] : bytes_of_type) {
    if (bytes > most) info.file_type = type;
    most = std::max(most, bytes);
  }
  for (const LayerWeights& layer : weights.layers) CountActiveLayer(layer, h, &info);
  CountActive(weights.output, &info);
  for (const LayerPlan& layer : h.layers)
    if (!layer.conv && layer.window == 0)
      info.kv_bytes_per_token += 2 * layer.kv_heads * h.head_dim * 2;
  return info;
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> LoadedModel::Load(const ExecContext& ctx,
                                                       const GgufFile& file) {
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
  Planner planner(file, architecture, model->hparams_);
  LULL_ASSIGN_OR_RETURN(const std::vector<Placement> placements, planner.Plan());
  ctx.Checkpoint();
  LULL_ASSIGN_OR_RETURN(model->memory_, os::Memory::Allocate(planner.total_bytes()));
  ctx.Checkpoint();
  model->weights_.layers.resize(static_cast<size_t>(model->hparams_.num_layers));
  uint8_t* memory = model->memory_.data();
  for (const Placement& p : placements) {
    LULL_RETURN_IF_ERROR(p.format != nullptr ? LoadMatrix(ctx, file, p, memory)
                                             : LoadVector(ctx, p, memory));
    Bind(p, memory, &model->weights_);
  }
  if (model->weights_.output.format == nullptr) model->weights_.output = model->weights_.token_embd;
  model->info_ = Describe(file, architecture, model->hparams_, model->weights_, placements);
  model->info_.load_s = static_cast<double>(os::MonotonicNs() - start_ns) * 1e-9;
  return model;
}

}  // namespace lull
