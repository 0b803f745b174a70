// What a model file says about its own shape, checked and resolved.
#pragma once

#include <cstdint>
#include <vector>

namespace lull {

// What one layer is made of.
struct LayerPlan {
  bool conv = false;        // short convolution instead of attention
  bool moe = false;         // mixture of experts instead of a dense feed-forward
  int64_t kv_heads = 0;     // 0 in convolution layers
  int64_t ffn_length = 0;   // of the dense network, or of one expert
  int64_t window = 0;       // sliding window in tokens; 0: full attention
  bool local_rope = false;  // rotates by rope_base_local, unscaled
};

struct Hparams {
  int64_t num_layers = 0;
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
  float rms_eps = 0.0f;
  float rope_base = 10000.0f;
  float rope_base_local = 10000.0f;
  float rope_factor = 1.0f;      // positions are divided by it (linear scaling)
  float attention_scale = 0.0f;  // 0: 1 / sqrt(head_dim)
  float final_softcap = 0.0f;    // 0: none
  float embedding_scale = 1.0f;
  int64_t window = 0;
  std::vector<int64_t> window_layers;  // per layer, 1: sliding window; from the file
  int64_t window_period = 0;           // every window_period-th layer is full; from the file
  int64_t num_experts = 0;
  int64_t experts_used = 0;
  int64_t leading_dense = 0;
  int64_t expert_gating = 0;          // 0: the architecture's own, 1 softmax, 2 sigmoid
  float expert_weights_scale = 0.0f;  // 0: none
  int64_t conv_taps = 0;

  std::vector<LayerPlan> layers;  // derived

  int64_t q_dim() const { return num_heads * head_dim; }
  bool has_conv() const {
    for (const LayerPlan& layer : layers)
      if (layer.conv) return true;
    return false;
  }
};

}  // namespace lull
