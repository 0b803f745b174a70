// Gemma 4: dense, E-series (per-layer embeddings; the last layers read K and V of earlier ones) and
// mixture of experts (beside a dense network). Layers with a window have heads of another width; V
// is normed, and in some layers is K before its norm.
#include <cmath>

#include "model/arch/windows.h"

namespace lull::arch {
namespace {

constexpr HparamSpec kHparams[] = {
    kWindowSpec,
    kWindowPatternSpec,
    {"rope.freq_base_swa", &Hparams::rope_base_local, false, 1, 1e12},
    {"attention.key_length_swa", &Hparams::head_dim_local, true, 2, 1024, 2},
    {"attention.value_length_swa", &Hparams::value_dim_local, true, 2, 1024, 2},
    {"rope.dimension_count_swa", &Hparams::rope_dims_local, false, 2, 1024, 2},
    {"attention.shared_kv_layers", &Hparams::shared_kv_layers, false, 0, 1024},
    {"embedding_length_per_layer_input", &Hparams::per_layer_embedding, false, 0, 1 << 16, 32},
    {"final_logit_softcapping", &Hparams::final_softcap, false, 0, 1e6},
    {"expert_count", &Hparams::num_experts, false, 0, 1024},
    {"expert_used_count", &Hparams::experts_used, false, 0, 1024},
    {"expert_feed_forward_length", &Hparams::expert_ffn_length, false, 1, 1 << 20},
};

int64_t DenseFfn(const Hparams&, const LayerPlan& l) {
  return l.moe ? l.dense_ffn_length : l.ffn_length;
}
int64_t PerLayer(const Hparams& h, const LayerPlan&) { return h.per_layer_embedding; }
int64_t AllLayers(const Hparams& h, const LayerPlan&) {
  return h.per_layer_embedding * h.num_layers;
}

constexpr TensorSpec kTensors[] = {
    kTokenEmbd,
    kOutput,
    kOutputNorm,
    kRopeFactors,
    {"per_layer_token_embd.weight",
     When::kModelPerLayer,
     true,
     &M::per_layer_embd,
     {AllLayers, Vocab}},
    {"per_layer_model_proj.weight",
     When::kModelPerLayer,
     true,
     &M::per_layer_projection,
     {Embd, AllLayers}},
    {"per_layer_proj_norm.weight", When::kModelPerLayer, true, &M::per_layer_norm, {PerLayer}},
    kAttnNorm,
    kQ,
    {"blk.%d.attn_k.weight", When::kOwnKv, true, &L::k, {Embd, KvDim}},
    {"blk.%d.attn_v.weight", When::kOwnKv, false, &L::v, {Embd, KvDim}},
    kQNorm,
    {"blk.%d.attn_k_norm.weight", When::kOwnKv, true, &L::k_norm, {HeadDim}},
    // Files may have them where they are not used.
    {"blk.%d.attn_k.weight", When::kSharedKv, false, std::monostate(), {Embd, KvDim}},
    {"blk.%d.attn_v.weight", When::kSharedKv, false, std::monostate(), {Embd, KvDim}},
    {"blk.%d.attn_k_norm.weight", When::kSharedKv, false, std::monostate(), {HeadDim}},
    kO,
    kAttnPostNorm,
    kFfnNorm,
    {"blk.%d.ffn_gate.weight", When::kEveryLayer, true, &L::gate, {Embd, DenseFfn}},
    {"blk.%d.ffn_up.weight", When::kEveryLayer, true, &L::up, {Embd, DenseFfn}},
    {"blk.%d.ffn_down.weight", When::kEveryLayer, true, &L::down, {DenseFfn, Embd}},
    kFfnPostNorm,
    kRouter,
    {"blk.%d.ffn_gate_inp.scale", When::kMoe, true, &L::router_scale, {Embd}},
    {"blk.%d.pre_ffw_norm_2.weight", When::kMoe, true, &L::experts_norm, {Embd}},
    {"blk.%d.post_ffw_norm_1.weight", When::kMoe, true, &L::dense_post_norm, {Embd}},
    {"blk.%d.post_ffw_norm_2.weight", When::kMoe, true, &L::experts_post_norm, {Embd}},
    kFusedGateExps,
    kFusedUpExps,
    kGateExps,
    kUpExps,
    kDownExps,
    {"blk.%d.ffn_down_exps.scale", When::kMoe, false, &L::down_experts_scale, {Experts}},
    {"blk.%d.inp_gate.weight", When::kPerLayer, true, &L::per_layer_gate, {Embd, PerLayer}},
    {"blk.%d.proj.weight", When::kPerLayer, true, &L::per_layer_projection, {PerLayer, Embd}},
    {"blk.%d.post_norm.weight", When::kPerLayer, true, &L::per_layer_post_norm, {Embd}},
    {"blk.%d.layer_output_scale.weight", When::kEveryLayer, false, &L::out_scale, {One}},
};

constexpr int64_t kDefaultPeriod = 6;

Status PlanSharedKv(Hparams& h) {
  const int64_t first = h.num_layers - h.shared_kv_layers;
  if (first < 1)
    return Status(ErrorCode::kInvalidModel,
                  "attention.shared_kv_layers is " + std::to_string(h.shared_kv_layers) +
                      ", but there are " + std::to_string(h.num_layers) + " layers",
                  "attention.shared_kv_layers");
  for (int64_t i = first; i < h.num_layers; ++i) {
    LayerPlan& layer = h.layers[i];
    // The last layer of its kind before them, which the order of kinds puts here.
    layer.kv_source = first - (layer.window > 0 ? 2 : 1);
    const bool fits = layer.kv_source >= 0 &&
                      (h.layers[layer.kv_source].window > 0) == (layer.window > 0) &&
                      h.layers[layer.kv_source].kv_heads == layer.kv_heads;
    if (!fits)
      return Status(ErrorCode::kInvalidModel,
                    "attention.shared_kv_layers is " + std::to_string(h.shared_kv_layers) +
                        ", but layer " + std::to_string(i) +
                        " has no layer of its kind to share with",
                    "attention.shared_kv_layers");
  }
  return Status::Ok();
}

Status Plan(Hparams& h) {
  if (h.head_dim_local != h.value_dim_local)
    return Status(ErrorCode::kUnsupported,
                  "attention.key_length_swa and attention.value_length_swa differ",
                  "attention.value_length_swa");
  if (h.num_experts > 0 && h.expert_ffn_length.empty())
    return Status(ErrorCode::kInvalidModel, "expert_feed_forward_length is missing",
                  "expert_feed_forward_length");
  h.embedding_scale = std::sqrt(static_cast<float>(h.embedding));
  h.attention_scale = 1.0f;
  if (h.rope_base_local == 0.0f) h.rope_base_local = h.rope_base;
  if (h.rope_dims_local == 0) h.rope_dims_local = std::min(h.rope_dims, h.head_dim_local);
  PlanWindows(h, kDefaultPeriod, /*local_rope=*/true);
  for (int64_t i = 0; i < h.num_layers; ++i) {
    LayerPlan& layer = h.layers[i];
    if (layer.window > 0) {
      layer.head_dim = h.head_dim_local;
      layer.rope_dims = h.rope_dims_local;
    }
    if (h.num_experts == 0) continue;
    layer.moe = true;
    layer.dense_ffn_length = layer.ffn_length;
    layer.ffn_length = h.expert_ffn_length[i];
  }
  return PlanSharedKv(h);
}

}  // namespace

extern const Architecture gemma4 = {
    .name = "gemma4",
    .hparams = kHparams,
    .tensors = kTensors,
    .rope_neox = true,
    .norm_values = true,
    .gate = GateFn::kGelu,
    .router = RouterFn::kSoftmax,
    .plan = Plan,
};

}  // namespace lull::arch
