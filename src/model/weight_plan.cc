#include "model/weight_plan.h"

#include <set>
#include <string>
#include <variant>

namespace lull {
namespace {

constexpr size_t kAlign = 64;

size_t AlignUp(size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

bool IsVector(const TensorSpec& spec) {
  return std::holds_alternative<const float * ModelWeights::*>(spec.target) ||
         std::holds_alternative<const float * LayerWeights::*>(spec.target);
}

bool Applies(When when, const Hparams& h, const LayerPlan& layer) {
  switch (when) {
    case When::kModel:
    case When::kModelPerLayer:
      return false;
    case When::kLowRankQ:
      return h.q_rank > 0;
    case When::kPerLayer:
      return h.per_layer_embedding > 0;
    case When::kEveryLayer:
      return true;
    case When::kAttention:
      return !IsRecurrent(layer.mixer);
    case When::kOwnKv:
      return !IsRecurrent(layer.mixer) && layer.kv_source < 0;
    case When::kSharedKv:
      return !IsRecurrent(layer.mixer) && layer.kv_source >= 0;
    case When::kRecurrent:
      return IsRecurrent(layer.mixer);
    case When::kDense:
      return layer.feed_forward && !layer.moe;
    case When::kMoe:
      return layer.moe;
    case When::kSharedExpert:
      return layer.shared_expert;
  }
  return false;
}

std::string TensorName(const TensorSpec& spec, int64_t layer) {
  std::string name = spec.name;
  const size_t at = name.find("%d");
  if (at != std::string::npos) name.replace(at, 2, std::to_string(layer));
  return name;
}

// Matches the architecture's tensor table against the file.
class WeightPlanner {
 public:
  WeightPlanner(const GgufFile& file, const Architecture& architecture, const Hparams& h)
      : file_(file), architecture_(architecture), h_(h) {}

  Result<std::vector<WeightPlacement>> Plan() {
    for (const TensorSpec& spec : architecture_.tensors)
      if (spec.when == When::kModel ||
          (spec.when == When::kModelPerLayer && h_.per_layer_embedding > 0))
        LULL_RETURN_IF_ERROR(Place(spec, -1, LayerPlan()));
    for (int64_t i = 0; i < h_.num_layers; ++i)
      for (const TensorSpec& spec : architecture_.tensors)
        if (Applies(spec.when, h_, h_.layers[i]))
          LULL_RETURN_IF_ERROR(Place(spec, i, h_.layers[i]));
    for (const GgufTensor& tensor : file_.tensors())
      if (!used_.contains(&tensor) && !OfDraftLayer(tensor.name))
        return Status(ErrorCode::kUnsupported,
                      "the tensor " + tensor.name + " is not one that " + architecture_.name +
                          " models of this configuration have here",
                      tensor.name);
    return std::move(placements_);
  }

  size_t total_bytes() const { return offset_; }

 private:
  bool OfDraftLayer(const std::string& name) const {
    for (int64_t i = 0; i < h_.draft_layers; ++i)
      if (name.starts_with("blk." + std::to_string(h_.num_layers + i) + ".")) return true;
    return false;
  }

  bool Filled(const TensorSpec& spec, int64_t layer) const {
    for (auto p = placements_.rbegin(); p != placements_.rend() && p->layer == layer; ++p)
      if (p->spec->target == spec.target) return true;
    return false;
  }

  Status Place(const TensorSpec& spec, int64_t layer, const LayerPlan& plan) {
    if (Filled(spec, layer)) return Status::Ok();
    const std::string name = TensorName(spec, layer);
    const GgufTensor* tensor = file_.FindTensor(name);
    if (tensor == nullptr) {
      if (!spec.required) return Status::Ok();
      return Status(ErrorCode::kInvalidModel, "the tensor " + name + " is missing", name);
    }
    used_.insert(tensor);
    if (std::holds_alternative<std::monostate>(spec.target)) return Status::Ok();
    std::vector<uint64_t> part;
    for (Dim dim : spec.dims)
      if (dim != nullptr) part.push_back(static_cast<uint64_t>(dim(h_, plan)));
    const size_t cut = part.size() > 1 ? 1 : 0;  // the dimension that is shared out
    std::vector<uint64_t> want = part;
    if (spec.all != nullptr) want[cut] = static_cast<uint64_t>(spec.all(h_, plan));
    std::vector<uint64_t> have = tensor->dims;
    while (have.size() > want.size() && have.back() == 1) have.pop_back();
    if (have != want)
      return Status(ErrorCode::kInvalidModel,
                    "the tensor " + name + " has shape " + GgufDims(tensor->dims) +
                        ", but the file's configuration asks for " + GgufDims(want),
                    name);
    WeightPlacement p;
    p.spec = &spec;
    p.tensor = tensor;
    p.layer = layer;
    p.k = part[0];
    p.rows = part.size() > 1 ? part[1] : 1;
    p.slices = part.size() > 2 ? part[2] : 1;
    p.file_rows = want[cut];
    if (spec.begin != nullptr) p.file_begin = static_cast<size_t>(spec.begin(h_, plan));
    LULL_RETURN_IF_ERROR(FindFormat(&p));
    p.offset = offset_;
    offset_ += p.bytes();
    placements_.push_back(p);
    return Status::Ok();
  }

  Status FindFormat(WeightPlacement* p) const {
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
    const bool f32_rows = p->format->activations == ActivationForm::kF32;
    if (p->k % p->format->block_k != 0 || (p->k % 32 != 0 && !f32_rows))
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
  std::vector<WeightPlacement> placements_;
  size_t offset_ = 0;
};

bool HoldsMatrix(const TensorSpec& spec) {
  const auto* of_model = std::get_if<PackedMatrix ModelWeights::*>(&spec.target);
  if (of_model != nullptr)
    return *of_model == &ModelWeights::output || *of_model == &ModelWeights::per_layer_projection;
  return std::holds_alternative<PackedMatrix LayerWeights::*>(spec.target);
}

MatrixRole RoleOf(const TensorSpec& spec, int64_t layer, const Hparams& h, const LayerPlan& plan) {
  MatrixRole role;
  role.spec = &spec;
  role.layer = layer;
  role.k = static_cast<size_t>(spec.dims[0](h, plan));
  role.rows = spec.dims[1] == nullptr ? 1 : static_cast<size_t>(spec.dims[1](h, plan));
  role.file_rows = spec.all == nullptr ? role.rows : static_cast<size_t>(spec.all(h, plan));
  if (spec.begin != nullptr) role.file_begin = static_cast<size_t>(spec.begin(h, plan));
  return role;
}

}  // namespace

const PackedMatrix* MatrixRole::In(const ModelWeights& weights) const {
  if (layer < 0) return &(weights.*std::get<PackedMatrix ModelWeights::*>(spec->target));
  return &(weights.layers[static_cast<size_t>(layer)].*
           std::get<PackedMatrix LayerWeights::*>(spec->target));
}

std::vector<MatrixRole> FindMatrixRoles(const Architecture& architecture, const Hparams& hparams,
                                        const std::string& name) {
  std::vector<MatrixRole> roles;
  for (const TensorSpec& spec : architecture.tensors) {
    if (!HoldsMatrix(spec)) continue;
    if (spec.when == When::kModel || spec.when == When::kModelPerLayer) {
      if (name == spec.name) roles.push_back(RoleOf(spec, -1, hparams, LayerPlan()));
      continue;
    }
    for (int64_t i = 0; i < hparams.num_layers; ++i)
      if (Applies(spec.when, hparams, hparams.layers[i]) && name == TensorName(spec, i))
        roles.push_back(RoleOf(spec, i, hparams, hparams.layers[i]));
  }
  return roles;
}

bool IsUnread(const Architecture& architecture, const Hparams& hparams, const std::string& name) {
  for (const TensorSpec& spec : architecture.tensors)
    if (std::holds_alternative<std::monostate>(spec.target))
      for (int64_t i = 0; i < hparams.num_layers; ++i)
        if (Applies(spec.when, hparams, hparams.layers[i]) && name == TensorName(spec, i))
          return true;
  return false;
}

size_t WeightPlacement::slice_bytes() const { return AlignUp(groups() * group_bytes); }

size_t WeightPlacement::bytes() const {
  return format != nullptr ? slices * slice_bytes() : AlignUp(k * rows * sizeof(float));
}

Sha256Digest WeightPlan::Digest() const {
  Sha256 sha;
  const auto add = [&sha](const std::string& text) { sha.Update(text.c_str(), text.size() + 1); };
  for (const WeightPlacement& p : placements) {
    add(p.tensor->name);
    add(p.format == nullptr ? "f32 vector" : p.format->name);
    for (const size_t n :
         {p.offset, p.k, p.rows, p.slices, p.group_bytes, p.bytes(), p.file_begin, p.file_rows})
      add(std::to_string(n));
  }
  return sha.Digest();
}

Result<WeightPlan> PlanWeights(const GgufFile& file, const Architecture& architecture,
                               const Hparams& hparams) {
  WeightPlanner planner(file, architecture, hparams);
  WeightPlan plan;
  LULL_ASSIGN_OR_RETURN(plan.placements, planner.Plan());
  plan.total_bytes = planner.total_bytes();
  return plan;
}

}  // namespace lull
