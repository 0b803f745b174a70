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
  const float* q_norm = nullptr;             // [head_dim], or [q_dim] where norms go over all heads
  const float* k_norm = nullptr;             // [head_dim], or [kv_dim]
  const float* attn_post_norm = nullptr;     // [embedding]
  const float* sinks = nullptr;              // [heads], a score that each head attends to beside
  const float* ffn_norm = nullptr;           // [embedding]
  const float* ffn_post_norm = nullptr;      // [embedding]
  const float* router_bias = nullptr;        // [experts], added for the selection only
  const float* router_input_bias = nullptr;  // [experts], added to the router's product
  const float* gate_experts_bias = nullptr;  // [experts, ffn]
  const float* up_experts_bias = nullptr;    // [experts, ffn]
  const float* down_experts_bias = nullptr;  // [experts, embedding]
  const float* conv = nullptr;               // [embedding, taps]
  PackedMatrix q, k, v, o;
  // Latent attention: q is behind q_a and its norm; for each head k_b takes Q to the latent, v_b
  // the latent to V.
  PackedMatrix q_a, kv_a;
  const float* q_a_norm = nullptr;   // [q_rank]
  const float* kv_a_norm = nullptr;  // [kv_rank]
  std::vector<PackedMatrix> k_b, v_b;
  PackedMatrix gate, up, down;
  PackedMatrix router;
  const float* router_scale = nullptr;  // [embedding], of a router with an input norm of its own
  const float* down_experts_scale = nullptr;   // [experts], of what an expert gives
  const float* experts_norm = nullptr;         // [embedding], before experts beside a dense network
  const float* experts_post_norm = nullptr;    // [embedding], behind them
  const float* dense_post_norm = nullptr;      // [embedding], behind that network
  const float* out_scale = nullptr;            // [1], of the residual behind the layer
  const float* per_layer_post_norm = nullptr;  // [embedding]
  PackedMatrix per_layer_gate, per_layer_projection;
  PackedMatrix shared_router;  // [1, embedding], what share the shared expert has; absent: all
  PackedMatrix shared_gate, shared_up, shared_down;  // the expert that every token goes through
  PackedMatrix conv_in, conv_out;    // projections around a convolution, of recurrent blocks too
  const float* conv_bias = nullptr;  // [channels]
  // Of state spaces and delta nets; heads: channels of Mamba.
  const float* ssm_a = nullptr;          // [heads] or [channels, state]: rates of decay, negative
  const float* ssm_d = nullptr;          // [heads] or [channels]: what skips the state
  const float* ssm_dt_bias = nullptr;    // [heads] or [channels]
  const float* ssm_norm = nullptr;       // [inner], or of delta nets [head_dim]
  PackedMatrix ssm_x, ssm_dt;            // Mamba: to widths, B and C; from low-rank widths to all
  PackedMatrix attn_gate;                // delta nets: gates what is read of the state
  PackedMatrix delta_alpha, delta_beta;  // decay, and the share that is corrected
  std::vector<PackedMatrix> gate_experts, up_experts, down_experts;
};

struct ModelWeights {
  PackedMatrix token_embd;  // also the head where the file has no other
  PackedMatrix output;
  const float* output_norm = nullptr;
  const float* rope_factors = nullptr;  // [rope_dims / 2] or null: frequencies are divided by them
  const float* rope_factors_long = nullptr;  // instead, beyond the original context (LongRoPE)
  PackedMatrix per_layer_embd;               // [vocab, layers * values]
  PackedMatrix per_layer_projection;         // [layers * values, embedding]
  const float* per_layer_norm = nullptr;     // [values]
  std::vector<LayerWeights> layers;
};

}  // namespace lull
