// What a model file says about its own shape, checked and resolved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lull {

// What mixes the tokens of a layer.
enum class Mixer { kAttention, kLatentAttention, kShortConv, kMamba, kMamba2, kDeltaNet };
inline bool IsRecurrent(Mixer mixer) {
  return mixer != Mixer::kAttention && mixer != Mixer::kLatentAttention;
}

// A checked size from a file.
inline size_t Size(int64_t n) { return static_cast<size_t>(n); }

// What one layer is made of.
struct LayerPlan {
  Mixer mixer = Mixer::kAttention;
  bool feed_forward = true;
  bool parallel = false;         // the feed-forward reads what attention reads, not its output
  bool moe = false;              // mixture of experts instead of a dense feed-forward
  bool shared_expert = false;    // beside the chosen experts, one for every token
  int64_t kv_heads = 0;          // 0 where the mixer is not attention
  int64_t head_dim = 0;          // of Q, K and V
  int64_t rope_dims = 0;         // of a head that turn
  int64_t kv_source = -1;        // the layer whose K and V it reads; -1: has its own
  int64_t ffn_length = 0;        // of the dense network, or of one expert
  int64_t dense_ffn_length = 0;  // of a dense network beside the experts; 0: none
  int64_t window = 0;            // sliding window in tokens; 0: full attention
  bool local_rope = false;       // rotates by rope_base_local, unscaled
  bool rope = true;              // false: positions do not turn Q and K (NoPE)
};

// How rotary frequencies are stretched beyond the context of training.
enum class RopeScaling {
  kLinear,    // positions divided by a factor
  kYarn,      // low frequencies divided, high ones kept (Peng et al., 2023)
  kLongRope,  // one factor for each pair, from the file (Ding et al., 2024)
};

struct Hparams {
  int64_t num_layers = 0;
  int64_t draft_layers = 0;  // behind those, for drafting tokens: not used
  int64_t embedding = 0;
  int64_t context = 0;
  int64_t vocab = 0;
  int64_t num_heads = 0;
  std::vector<int64_t> kv_heads;           // per layer
  std::vector<int64_t> ffn_length;         // per layer
  std::vector<int64_t> expert_ffn_length;  // per layer
  int64_t head_dim = 0;                    // of K
  int64_t value_dim = 0;                   // of V; must equal head_dim
  int64_t rope_dims = 0;
  // Of layers with a window, where they differ; 0: as the others.
  int64_t head_dim_local = 0;
  int64_t value_dim_local = 0;
  int64_t rope_dims_local = 0;
  int64_t shared_kv_layers = 0;     // the last ones read K and V of earlier layers
  int64_t per_layer_embedding = 0;  // values that each layer gets of each token; 0: none
  float rms_eps = 0.0f;             // of all norms, layer norms too
  float rope_base = 10000.0f;
  float rope_base_local = 0.0f;  // 0: the architecture's own
  RopeScaling rope_scaling = RopeScaling::kLinear;
  int64_t rope_enabled = 1;           // 0: no layer rotates; from the file
  float rope_factor = 1.0f;           // positions are divided by it (linear scaling, YaRN)
  float rope_attn_factor = 1.0f;      // cosines and sines are multiplied by it
  int64_t rope_original_context = 0;  // tokens in training; 0: context
  float yarn_beta_fast = 32.0f;  // pairs with more turns in the original context stay as they are
  float yarn_beta_slow = 1.0f;   // pairs with fewer are divided by the factor
  float yarn_log_multiplier = 0.0f;
  float attention_scale = 0.0f;    // 0: 1 / sqrt(head_dim)
  float attention_softcap = 0.0f;  // of scores; 0: none
  // Q at position p is multiplied by 1 + temperature * ln(1 + floor(p / original context)); 0:
  // none.
  float attention_temperature = 0.0f;
  float final_softcap = 0.0f;  // 0: none
  float embedding_scale = 1.0f;
  float residual_scale = 1.0f;  // of what each half-block adds
  float logit_divisor = 1.0f;
  int64_t window = 0;
  std::vector<int64_t> window_layers;  // per layer, 1: sliding window; from the file
  int64_t window_period = 0;           // every window_period-th layer is full; from the file
  int64_t num_experts = 0;
  int64_t experts_used = 0;
  int64_t leading_dense = 0;
  int64_t expert_gating = 0;          // 0: the architecture's own, 1 softmax, 2 sigmoid
  float expert_weights_scale = 0.0f;  // 0: none
  int64_t expert_weights_norm =
      -1;                         // not 0: the used experts' weights add up to 1 (before the scale)
  int64_t shared_ffn_length = 0;  // of the expert that every token goes through; 0: none
  int64_t expert_groups = 0;      // experts are picked in groups; only 1 is implemented
  int64_t shared_experts = 0;     // as wide as that many chosen ones; from the file
  // Of latent attention: what is kept is the latent and one rotated key for all heads.
  int64_t q_rank = 0;        // of Q's projection; 0: it is one matrix
  int64_t kv_rank = 0;       // of the latent that K and V are projected from
  int64_t latent_key = 0;    // width of a head of Q and K, rotated part included
  int64_t latent_value = 0;  // of V
  int64_t conv_taps = 0;
  // Of state spaces and delta nets.
  int64_t ssm_inner = 0;                  // channels
  int64_t ssm_state = 0;                  // of a channel; of delta nets: the width of a head
  int64_t ssm_time_step_rank = 0;         // Mamba: rank of the widths; else heads (of V)
  int64_t ssm_groups = 0;                 // that share B and C; of delta nets: heads of Q and K
  int64_t full_attention_interval = 0;    // every so many layers one has attention
  std::vector<int64_t> recurrent_layers;  // per layer, 1: no attention; from the file

  std::vector<LayerPlan> layers;  // derived

  int64_t q_dim(const LayerPlan& layer) const { return num_heads * layer.head_dim; }
  // Some layer has a state that cannot go back.
  bool recurrent() const {
    for (const LayerPlan& layer : layers)
      if (IsRecurrent(layer.mixer)) return true;
    return false;
  }
  bool has_attention() const {
    for (const LayerPlan& layer : layers)
      if (!IsRecurrent(layer.mixer)) return true;
    return false;
  }
};

}  // namespace lull
