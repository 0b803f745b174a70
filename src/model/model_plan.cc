#include "model/model_plan.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "cache/kv_cache.h"
#include "formats/file_type.h"
#include "model/hparams_reader.h"
#include "model/kv_shapes.h"
#include "ops/attention.h"

namespace lull {
namespace {

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
  info.file_type = FileTypeOf(file);
  info.file_bytes = static_cast<int64_t>(file.file_bytes());
  const bool tied = !HasOutputMatrix(placements);
  for (const WeightPlacement& p : placements) {
    const size_t active = ActiveSlices(p, h, tied);
    info.active_bytes_per_token += static_cast<int64_t>(p.groups() * p.group_bytes * active);
    info.macs_per_token += static_cast<int64_t>(p.rows * p.k * active);
    info.parameters += static_cast<int64_t>(p.k * p.rows * p.slices);
    info.weight_bytes += static_cast<int64_t>(p.bytes());
  }
  for (const LayerPlan& layer : h.layers)
    if (!IsRecurrent(layer.mixer) && layer.window == 0 && layer.kv_source < 0)
      info.kv_bytes_per_token +=
          2 * layer.kv_heads * 2 *
          static_cast<int64_t>(PaddedHeadDim(static_cast<size_t>(layer.head_dim)));
  return info;
}

}  // namespace

Result<ModelPlan> PlanModel(const ExecContext& ctx, const GgufFile& file) {
  LULL_ASSIGN_OR_RETURN(const std::string_view name, file.GetString("general.architecture"));
  ModelPlan plan;
  plan.architecture = FindArchitecture(name);
  if (plan.architecture == nullptr)
    return Status(ErrorCode::kUnsupported,
                  "the architecture \"" + std::string(name.substr(0, 64)) + "\" is not supported",
                  "general.architecture", "supported: " + ArchitectureNames());
  const Architecture& architecture = *plan.architecture;
  LULL_ASSIGN_OR_RETURN(plan.hparams, ReadHparams(file, architecture));
  ctx.Checkpoint();
  LULL_RETURN_IF_ERROR(ResolveVocab(file, architecture, &plan.hparams));
  LULL_ASSIGN_OR_RETURN(plan.weights, PlanWeights(file, architecture, plan.hparams));
  LULL_RETURN_IF_ERROR(CheckLongRope(plan.hparams, plan.weights.placements));
  ctx.Checkpoint();
  plan.info = Describe(file, architecture, plan.hparams, plan.weights.placements);
  return plan;
}

std::vector<LayerKind> ModelPlan::layer_kinds() const {
  std::vector<LayerKind> kinds;
  for (const LayerPlan& layer : hparams.layers) {
    const LayerKind kind = {layer.mixer, layer.window, layer.kv_source >= 0, layer.moe, 0};
    auto same = std::find_if(kinds.begin(), kinds.end(), [&kind](const LayerKind& other) {
      return other.mixer == kind.mixer && other.window == kind.window &&
             other.shared_kv == kind.shared_kv && other.moe == kind.moe;
    });
    if (same == kinds.end()) same = kinds.insert(kinds.end(), kind);
    ++same->layers;
  }
  return kinds;
}

SequenceBytes ModelPlan::SequenceBytesOf(KvType type) const {
  const KvLayout layout(type, KvShapes(hparams));
  KvCacheOptions options;
  options.max_context_tokens = options.pool_tokens = hparams.context;
  SequenceBytes bytes;
  for (const KvGroup& group : layout.groups())
    if (group.window == 0) bytes.per_token += static_cast<int64_t>(group.page_bytes / kPageTokens);
  bytes.state = static_cast<int64_t>(layout.state_floats() * sizeof(float));
  bytes.full_context = static_cast<int64_t>(KvCacheBytes(layout, options).sequence);
  return bytes;
}

}  // namespace lull
