// The weights of a loaded model, by role. Matrices are packed, vectors are f32; none are owned.
#pragma once

#include <vector>

#include "quant/packed_matrix.h"

namespace lull {

// Roles of one layer; what a layer does not have stays empty.
struct LayerWeights {
  const float* attn_norm = nullptr;  // [embedding]
  const float* q_bias = nullptr;
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* o_bias = nullptr;
  const float* q_norm = nullptr;          // [head_dim]
  const float* k_norm = nullptr;          // [head_dim]
  const float* attn_post_norm = nullptr;  // [embedding]
  const float* ffn_norm = nullptr;        // [embedding]
  const float* ffn_post_norm = nullptr;   // [embedding]
  const float* router_bias = nullptr;     // [experts], added for the selection only
  const float* conv = nullptr;            // [embedding, taps]
  PackedMatrix q, k, v, o;
  PackedMatrix gate, up, down;
  PackedMatrix router;
  PackedMatrix conv_in, conv_out;
  std::vector<PackedMatrix> gate_experts, up_experts, down_experts;
};

struct ModelWeights {
  PackedMatrix token_embd;  // also the head where the file has no other
  PackedMatrix output;
  const float* output_norm = nullptr;
  const float* rope_factors = nullptr;  // [rope_dims / 2] or null: frequencies are divided by them
  std::vector<LayerWeights> layers;
};

}  // namespace lull
