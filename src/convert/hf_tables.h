// Tables of names: of tensors, of keys, and of what a key may be. hf_architecture.cc says which
// belong to which model_type.
#pragma once

#include "convert/hf_architecture.h"

namespace lull::hf {

using Kind = HfKey::Kind;
using Rows = HfTensor::Rows;
using Shape = HfTensor::Shape;

// Rows that many tables share.
#define LULL_ENDS                                                                                  \
  {"model.embed_tokens.weight", "token_embd.weight"}, {"model.norm.weight", "output_norm.weight"}, \
  {                                                                                                \
    "lm_head.weight", "output.weight"                                                              \
  }
#define LULL_TURNED_QK                                                                          \
  {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", Rows::kInterleavedQ},     \
      {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", Rows::kInterleavedK}, \
      {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", Rows::kInterleavedQ}, {   \
    "model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", Rows::kInterleavedK          \
  }
#define LULL_STILL_QK                                                      \
  {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},     \
      {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"}, \
      {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias"}, {   \
    "model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias"          \
  }
#define LULL_VO                                                                 \
  {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},          \
      {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"}, \
      {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"}, {        \
    "model.layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias"          \
  }
#define LULL_HEAD_NORMS                                                       \
  {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"}, { \
    "model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"    \
  }
#define LULL_NORMS_BEFORE                                                       \
  {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"}, {      \
    "model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight" \
  }
#define LULL_FFN                                                        \
  {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},   \
      {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"}, { \
    "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"    \
  }
#define LULL_GEMMA_BLOCK                                                                       \
  {"model.embed_tokens.weight", "token_embd.weight"},                                          \
      {"model.norm.weight", "output_norm.weight", Rows::kAsTheyAre, HfValues::kPlusOne},       \
      {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", Rows::kAsTheyAre,  \
       HfValues::kPlusOne},                                                                    \
      {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight", \
       Rows::kAsTheyAre, HfValues::kPlusOne},                                                  \
      {"model.layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight",           \
       Rows::kAsTheyAre, HfValues::kPlusOne},                                                  \
  {                                                                                            \
    "model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight",        \
        Rows::kAsTheyAre, HfValues::kPlusOne                                                   \
  }

inline constexpr HfTensor kLlamaTensors[] = {LULL_ENDS, LULL_NORMS_BEFORE, LULL_TURNED_QK, LULL_VO,
                                             LULL_FFN};
inline constexpr HfTensor kQwenTensors[] = {LULL_ENDS, LULL_NORMS_BEFORE, LULL_STILL_QK,
                                            LULL_VO,   LULL_HEAD_NORMS,   LULL_FFN};

// No norms before the half-blocks, but behind them.
inline constexpr HfTensor kOlmo2Tensors[] = {
    LULL_ENDS,
    LULL_STILL_QK,
    LULL_VO,
    LULL_HEAD_NORMS,
    LULL_FFN,
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight"},
    {"model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight"},
};

inline constexpr HfTensor kGemma2Tensors[] = {LULL_GEMMA_BLOCK, LULL_STILL_QK, LULL_VO, LULL_FFN};
inline constexpr HfTensor kGemma3Tensors[] = {
    LULL_GEMMA_BLOCK,
    {"lm_head.weight", "output.weight"},
    LULL_STILL_QK,
    LULL_VO,
    LULL_FFN,
    {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", Rows::kAsTheyAre,
     HfValues::kPlusOne},
    {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", Rows::kAsTheyAre,
     HfValues::kPlusOne},
};

// Norms are as they are.
inline constexpr HfTensor kGemma4Tensors[] = {
    LULL_ENDS,
    LULL_STILL_QK,
    LULL_VO,
    LULL_HEAD_NORMS,
    LULL_FFN,
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight"},
    {"model.layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight"},
    {"model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight"},
    {"model.layers.{}.layer_scalar", "blk.{}.layer_output_scale.weight"},
    // Embeddings of layers.
    {"model.embed_tokens_per_layer.weight", "per_layer_token_embd.weight"},
    {"model.per_layer_model_projection.weight", "per_layer_model_proj.weight"},
    {"model.per_layer_projection_norm.weight", "per_layer_proj_norm.weight"},
    {"model.layers.{}.per_layer_input_gate.weight", "blk.{}.inp_gate.weight"},
    {"model.layers.{}.per_layer_projection.weight", "blk.{}.proj.weight"},
    {"model.layers.{}.post_per_layer_input_norm.weight", "blk.{}.post_norm.weight"},
    // Experts beside the dense feed-forward.
    {"model.layers.{}.router.proj.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, /*f32=*/true},
    {"model.layers.{}.router.scale", "blk.{}.ffn_gate_inp.scale"},
    {"model.layers.{}.router.per_expert_scale", "blk.{}.ffn_down_exps.scale"},
    {"model.layers.{}.pre_feedforward_layernorm_2.weight", "blk.{}.pre_ffw_norm_2.weight"},
    {"model.layers.{}.post_feedforward_layernorm_1.weight", "blk.{}.post_ffw_norm_1.weight"},
    {"model.layers.{}.post_feedforward_layernorm_2.weight", "blk.{}.post_ffw_norm_2.weight"},
    {"model.layers.{}.experts.gate_up_proj", "blk.{}.ffn_gate_up_exps.weight"},
    {"model.layers.{}.experts.down_proj", "blk.{}.ffn_down_exps.weight"},
};

inline constexpr HfTensor kPhi3Tensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    {"model.layers.{}.self_attn.qkv_proj.weight", "blk.{}.attn_qkv.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

inline constexpr HfTensor kMixtralTensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    LULL_TURNED_QK,
    LULL_VO,
    {"model.layers.{}.block_sparse_moe.gate.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, /*f32=*/true},
    {"model.layers.{}.block_sparse_moe.experts.{}.w1.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.block_sparse_moe.experts.{}.w2.weight", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.block_sparse_moe.experts.{}.w3.weight", "blk.{}.ffn_up_exps.weight"},
};

inline constexpr HfTensor kQwen3MoeTensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    LULL_STILL_QK,
    LULL_VO,
    LULL_HEAD_NORMS,
    {"model.layers.{}.mlp.gate.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, /*f32=*/true},
    {"model.layers.{}.mlp.experts.{}.gate_proj.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.up_proj.weight", "blk.{}.ffn_up_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.down_proj.weight", "blk.{}.ffn_down_exps.weight"},
};

#define LULL_GRANITE_MOE_TENSORS                                                                \
  {"model.layers.{}.block_sparse_moe.router.layer.weight", "blk.{}.ffn_gate_inp.weight",        \
   Rows::kAsTheyAre, HfValues::kSame, /*f32=*/true},                                            \
      {"model.layers.{}.block_sparse_moe.input_linear.weight", "blk.{}.ffn_gate_exps.weight",   \
       Rows::kFirstHalf},                                                                       \
      {"model.layers.{}.block_sparse_moe.input_linear.weight", "blk.{}.ffn_up_exps.weight",     \
       Rows::kSecondHalf},                                                                      \
      {"model.layers.{}.block_sparse_moe.output_linear.weight", "blk.{}.ffn_down_exps.weight"}, \
      {"model.layers.{}.shared_mlp.input_linear.weight", "blk.{}.ffn_gate_shexp.weight",        \
       Rows::kFirstHalf},                                                                       \
      {"model.layers.{}.shared_mlp.input_linear.weight", "blk.{}.ffn_up_shexp.weight",          \
       Rows::kSecondHalf},                                                                      \
  {                                                                                             \
    "model.layers.{}.shared_mlp.output_linear.weight", "blk.{}.ffn_down_shexp.weight"           \
  }

inline constexpr HfTensor kGraniteMoeTensors[] = {LULL_ENDS, LULL_NORMS_BEFORE, LULL_TURNED_QK,
                                                  LULL_VO, LULL_GRANITE_MOE_TENSORS};

// A state space of heads, under the names of two libraries' layers.
#define LULL_MAMBA2_MIXER(layer)                                                                \
  {layer ".in_proj.weight", "blk.{}.ssm_in.weight"},                                            \
      {layer ".conv1d.weight", "blk.{}.ssm_conv1d.weight", Rows::kAsTheyAre, HfValues::kSame,   \
       true},                                                                                   \
      {layer ".conv1d.bias", "blk.{}.ssm_conv1d.bias"},                                         \
      {layer ".dt_bias", "blk.{}.ssm_dt.bias"}, {layer ".A_log",                                \
                                                 "blk.{}.ssm_a",                                \
                                                 Rows::kAsTheyAre,                              \
                                                 HfValues::kMinusExp,                           \
                                                 true,                                          \
                                                 Shape::kColumn},                               \
      {layer ".D", "blk.{}.ssm_d", Rows::kAsTheyAre, HfValues::kSame, true, Shape::kColumn},    \
      {layer ".norm.weight", "blk.{}.ssm_norm.weight", Rows::kAsTheyAre, HfValues::kSame, true, \
       Shape::kGroups},                                                                         \
  {                                                                                             \
    layer ".out_proj.weight", "blk.{}.ssm_out.weight"                                           \
  }
#define LULL_BACKBONE                                                                       \
  {"backbone.embeddings.weight", "token_embd.weight"}, {"lm_head.weight", "output.weight"}, \
      {"backbone.norm_f.weight", "output_norm.weight"}, {                                   \
    "backbone.layers.{}.norm.weight", "blk.{}.attn_norm.weight"                             \
  }

inline constexpr HfTensor kMambaTensors[] = {
    LULL_BACKBONE,
    {"backbone.layers.{}.mixer.in_proj.weight", "blk.{}.ssm_in.weight"},
    {"backbone.layers.{}.mixer.conv1d.weight", "blk.{}.ssm_conv1d.weight", Rows::kAsTheyAre,
     HfValues::kSame, true},
    {"backbone.layers.{}.mixer.conv1d.bias", "blk.{}.ssm_conv1d.bias"},
    {"backbone.layers.{}.mixer.x_proj.weight", "blk.{}.ssm_x.weight"},
    {"backbone.layers.{}.mixer.dt_proj.weight", "blk.{}.ssm_dt.weight"},
    {"backbone.layers.{}.mixer.dt_proj.bias", "blk.{}.ssm_dt.bias"},
    {"backbone.layers.{}.mixer.A_log", "blk.{}.ssm_a", Rows::kAsTheyAre, HfValues::kMinusExp, true},
    {"backbone.layers.{}.mixer.D", "blk.{}.ssm_d"},
    {"backbone.layers.{}.mixer.out_proj.weight", "blk.{}.ssm_out.weight"},
};
inline constexpr HfTensor kMamba2Tensors[] = {LULL_BACKBONE,
                                              LULL_MAMBA2_MIXER("backbone.layers.{}.mixer")};

inline constexpr HfTensor kGraniteHybridTensors[] = {
    LULL_ENDS, LULL_NORMS_BEFORE,        LULL_TURNED_QK,
    LULL_VO,   LULL_GRANITE_MOE_TENSORS, LULL_MAMBA2_MIXER("model.layers.{}.mamba"),
};
inline constexpr HfTensor kGraniteHybridDenseTensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    LULL_TURNED_QK,
    LULL_VO,
    LULL_MAMBA2_MIXER("model.layers.{}.mamba"),
    {"model.layers.{}.shared_mlp.input_linear.weight", "blk.{}.ffn_gate.weight", Rows::kFirstHalf},
    {"model.layers.{}.shared_mlp.input_linear.weight", "blk.{}.ffn_up.weight", Rows::kSecondHalf},
    {"model.layers.{}.shared_mlp.output_linear.weight", "blk.{}.ffn_down.weight"},
};

#define LULL_LFM_BLOCK                                                                       \
  {"model.embed_tokens.weight", "token_embd.weight"}, {"lm_head.weight", "output.weight"},   \
      {"model.embedding_norm.weight", "token_embd_norm.weight"},                             \
      {"model.layers.{}.operator_norm.weight", "blk.{}.attn_norm.weight"},                   \
      {"model.layers.{}.ffn_norm.weight", "blk.{}.ffn_norm.weight"},                         \
      {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},                   \
      {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},                   \
      {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},                   \
      {"model.layers.{}.self_attn.out_proj.weight", "blk.{}.attn_output.weight"},            \
      {"model.layers.{}.self_attn.q_layernorm.weight", "blk.{}.attn_q_norm.weight"},         \
      {"model.layers.{}.self_attn.k_layernorm.weight", "blk.{}.attn_k_norm.weight"},         \
      {"model.layers.{}.conv.conv.weight", "blk.{}.shortconv.conv.weight", Rows::kAsTheyAre, \
       HfValues::kSame, true},                                                               \
      {"model.layers.{}.conv.in_proj.weight", "blk.{}.shortconv.in_proj.weight"},            \
      {"model.layers.{}.conv.out_proj.weight", "blk.{}.shortconv.out_proj.weight"},          \
      {"model.layers.{}.feed_forward.w1.weight", "blk.{}.ffn_gate.weight"},                  \
      {"model.layers.{}.feed_forward.w2.weight", "blk.{}.ffn_down.weight"}, {                \
    "model.layers.{}.feed_forward.w3.weight", "blk.{}.ffn_up.weight"                         \
  }

inline constexpr HfTensor kLfm2Tensors[] = {LULL_LFM_BLOCK};
inline constexpr HfTensor kLfm2MoeTensors[] = {
    LULL_LFM_BLOCK,
    {"model.layers.{}.feed_forward.gate.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, true},
    {"model.layers.{}.feed_forward.expert_bias", "blk.{}.exp_probs_b.bias"},
    {"model.layers.{}.feed_forward.experts.{}.w1.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.feed_forward.experts.{}.w2.weight", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.feed_forward.experts.{}.w3.weight", "blk.{}.ffn_up_exps.weight"},
};

inline constexpr HfTensor kCohere2Tensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    LULL_STILL_QK,
    LULL_VO,
    LULL_FFN,
};

inline constexpr HfTensor kGlm4Tensors[] = {
    LULL_ENDS,
    LULL_STILL_QK,
    LULL_VO,
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.post_self_attn_layernorm.weight", "blk.{}.post_attention_norm.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    {"model.layers.{}.post_mlp_layernorm.weight", "blk.{}.post_ffw_norm.weight"},
    {"model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

// Gates and ups in turn; experts' weights as blocks of four bits alone.
inline constexpr HfTensor kGptOssTensors[] = {
    LULL_ENDS,
    LULL_STILL_QK,
    LULL_VO,
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight"},
    {"model.layers.{}.self_attn.sinks", "blk.{}.attn_sinks.weight"},
    {"model.layers.{}.mlp.router.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, true},
    {"model.layers.{}.mlp.router.bias", "blk.{}.ffn_gate_inp.bias"},
    {"model.layers.{}.mlp.experts.gate_up_proj_blocks", "blk.{}.ffn_gate_exps.weight", Rows::kEven},
    {"model.layers.{}.mlp.experts.gate_up_proj_blocks", "blk.{}.ffn_up_exps.weight", Rows::kOdd},
    {"model.layers.{}.mlp.experts.down_proj_blocks", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.mlp.experts.gate_up_proj_scales", nullptr},
    {"model.layers.{}.mlp.experts.down_proj_scales", nullptr},
    {"model.layers.{}.mlp.experts.gate_up_proj_bias", "blk.{}.ffn_gate_exps.bias", Rows::kEven,
     HfValues::kSame, true, Shape::kValues},
    {"model.layers.{}.mlp.experts.gate_up_proj_bias", "blk.{}.ffn_up_exps.bias", Rows::kOdd,
     HfValues::kSame, true, Shape::kValues},
    {"model.layers.{}.mlp.experts.down_proj_bias", "blk.{}.ffn_down_exps.bias", Rows::kAsTheyAre,
     HfValues::kSame, true},
};

inline constexpr HfTensor kDeepseek2Tensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    LULL_FFN,
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.q_a_proj.weight", "blk.{}.attn_q_a.weight"},
    {"model.layers.{}.self_attn.q_a_layernorm.weight", "blk.{}.attn_q_a_norm.weight"},
    {"model.layers.{}.self_attn.q_b_proj.weight", "blk.{}.attn_q_b.weight"},
    {"model.layers.{}.self_attn.kv_a_proj_with_mqa.weight", "blk.{}.attn_kv_a_mqa.weight"},
    {"model.layers.{}.self_attn.kv_a_layernorm.weight", "blk.{}.attn_kv_a_norm.weight"},
    {"model.layers.{}.self_attn.kv_b_proj.weight", "blk.{}.attn_k_b.weight", Rows::kLatentK},
    {"model.layers.{}.self_attn.kv_b_proj.weight", "blk.{}.attn_v_b.weight", Rows::kLatentV},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.mlp.gate.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, true},
    {"model.layers.{}.mlp.experts.{}.gate_proj.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.up_proj.weight", "blk.{}.ffn_up_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.down_proj.weight", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.mlp.shared_experts.gate_proj.weight", "blk.{}.ffn_gate_shexp.weight"},
    {"model.layers.{}.mlp.shared_experts.up_proj.weight", "blk.{}.ffn_up_shexp.weight"},
    {"model.layers.{}.mlp.shared_experts.down_proj.weight", "blk.{}.ffn_down_shexp.weight"},
};

// Norms are of one more, but for the gated one.
#define LULL_PLUS_ONE(name, gguf) \
  { name, gguf, Rows::kAsTheyAre, HfValues::kPlusOne }
#define LULL_DELTA "model.layers.{}.linear_attn."
#define LULL_QWEN35_BLOCK                                                                    \
  {"model.embed_tokens.weight", "token_embd.weight"}, {"lm_head.weight", "output.weight"},   \
      LULL_PLUS_ONE("model.norm.weight", "output_norm.weight"),                              \
      LULL_PLUS_ONE("model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"),    \
      LULL_PLUS_ONE("model.layers.{}.post_attention_layernorm.weight",                       \
                    "blk.{}.post_attention_norm.weight"),                                    \
      LULL_PLUS_ONE("model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"), \
      LULL_PLUS_ONE("model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"), \
      LULL_STILL_QK, LULL_VO,                                                                \
      {LULL_DELTA "in_proj_qkv.weight", "blk.{}.attn_qkv.weight", Rows::kTiledBehindQk},     \
      {LULL_DELTA "in_proj_z.weight", "blk.{}.attn_gate.weight", Rows::kTiledV},             \
      {LULL_DELTA "in_proj_b.weight", "blk.{}.ssm_beta.weight", Rows::kTiledV},              \
      {LULL_DELTA "in_proj_a.weight", "blk.{}.ssm_alpha.weight", Rows::kTiledV},             \
      {LULL_DELTA "conv1d.weight", "blk.{}.ssm_conv1d.weight", Rows::kTiledBehindQk,         \
       HfValues::kSame, true},                                                               \
      {LULL_DELTA "dt_bias", "blk.{}.ssm_dt.bias", Rows::kTiledV},                           \
      {LULL_DELTA "A_log", "blk.{}.ssm_a", Rows::kTiledV, HfValues::kMinusExp},              \
      {LULL_DELTA "norm.weight", "blk.{}.ssm_norm.weight"}, {                                \
    LULL_DELTA "out_proj.weight", "blk.{}.ssm_out.weight", Rows::kTiledColumns               \
  }

inline constexpr HfTensor kQwen35Tensors[] = {LULL_QWEN35_BLOCK, LULL_FFN};
inline constexpr HfTensor kQwen35MoeTensors[] = {
    LULL_QWEN35_BLOCK,
    {"model.layers.{}.mlp.gate.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, true},
    {"model.layers.{}.mlp.experts.gate_up_proj", "blk.{}.ffn_gate_exps.weight", Rows::kFirstHalf},
    {"model.layers.{}.mlp.experts.gate_up_proj", "blk.{}.ffn_up_exps.weight", Rows::kSecondHalf},
    {"model.layers.{}.mlp.experts.down_proj", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.gate_proj.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.up_proj.weight", "blk.{}.ffn_up_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.down_proj.weight", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.mlp.shared_expert_gate.weight", "blk.{}.ffn_gate_inp_shexp.weight",
     Rows::kAsTheyAre, HfValues::kSame, true},
    {"model.layers.{}.mlp.shared_expert.gate_proj.weight", "blk.{}.ffn_gate_shexp.weight"},
    {"model.layers.{}.mlp.shared_expert.up_proj.weight", "blk.{}.ffn_up_shexp.weight"},
    {"model.layers.{}.mlp.shared_expert.down_proj.weight", "blk.{}.ffn_down_shexp.weight"},
};

#define LULL_GRANITE_KEYS                                          \
  {"embedding_multiplier", "embedding_scale", Kind::kFloat},       \
      {"residual_multiplier", "residual_scale", Kind::kFloat},     \
      {"attention_multiplier", "attention.scale", Kind::kFloat}, { \
    "logits_scaling", "logit_scale", Kind::kFloat                  \
  }
#define LULL_EXPERT_KEYS \
  {"num_local_experts|num_experts", "expert_count"}, { "num_experts_per_tok", "expert_used_count" }

inline constexpr HfKey kGraniteKeys[] = {LULL_GRANITE_KEYS};
inline constexpr HfKey kGraniteMoeKeys[] = {
    LULL_GRANITE_KEYS,
    LULL_EXPERT_KEYS,
    {"shared_intermediate_size", "expert_shared_feed_forward_length", Kind::kUint, false},
};
inline constexpr HfKey kWindowKeys[] = {
    {"sliding_window", "attention.sliding_window", Kind::kUint, false},
};
inline constexpr HfKey kMixtralKeys[] = {
    LULL_EXPERT_KEYS,
    {"sliding_window", "attention.sliding_window", Kind::kUint, false},
};
inline constexpr HfKey kQwen3MoeKeys[] = {
    LULL_EXPERT_KEYS,
    {"moe_intermediate_size", "expert_feed_forward_length"},
};
inline constexpr HfKey kGemma2Keys[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", Kind::kFloat},
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kFloat},
    {"query_pre_attn_scalar", "attention.scale", Kind::kInverseRoot},
};
inline constexpr HfKey kGemma3Keys[] = {
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kFloat, false},
    {"query_pre_attn_scalar", "attention.scale", Kind::kInverseRoot},
};

inline constexpr HfKey kGemma4Keys[] = {
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kFloat, false},
    {"num_kv_shared_layers", "attention.shared_kv_layers"},
    {"hidden_size_per_layer_input", "embedding_length_per_layer_input", Kind::kUint, false},
};

inline constexpr HfKey kCohere2Keys[] = {{"logit_scale", "logit_scale", Kind::kFloat}};
inline constexpr HfKey kGptOssKeys[] = {
    LULL_EXPERT_KEYS,
    {"intermediate_size", "expert_feed_forward_length"},
};
inline constexpr HfKey kDeepseek2Keys[] = {
    {"q_lora_rank", "attention.q_lora_rank", Kind::kUint, false},
    {"kv_lora_rank", "attention.kv_lora_rank"},
    {"v_head_dim", "attention.value_length_mla"},
    {"n_routed_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"n_shared_experts", "expert_shared_count"},
    {"first_k_dense_replace", "leading_dense_block_count"},
    {"routed_scaling_factor", "expert_weights_scale", Kind::kFloat},
};
#define LULL_QWEN35_KEYS                                                                    \
  {"linear_conv_kernel_dim", "ssm.conv_kernel"}, {"linear_key_head_dim", "ssm.state_size"}, \
      {"linear_num_value_heads", "ssm.time_step_rank"}, {                                   \
    "linear_num_key_heads", "ssm.group_count"                                               \
  }
inline constexpr HfKey kQwen35Keys[] = {LULL_QWEN35_KEYS};
inline constexpr HfKey kQwen35MoeKeys[] = {
    LULL_QWEN35_KEYS,
    LULL_EXPERT_KEYS,
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
};
#define LULL_HYBRID_KEYS                                                    \
  {"mamba_d_conv", "ssm.conv_kernel"}, {"mamba_d_state", "ssm.state_size"}, \
      {"mamba_n_heads", "ssm.time_step_rank"}, {                            \
    "mamba_n_groups", "ssm.group_count"                                     \
  }
inline constexpr HfKey kGraniteHybridKeys[] = {
    LULL_GRANITE_KEYS,
    LULL_HYBRID_KEYS,
    LULL_EXPERT_KEYS,
    {"shared_intermediate_size", "expert_shared_feed_forward_length"},
};
inline constexpr HfKey kGraniteHybridDenseKeys[] = {
    LULL_GRANITE_KEYS,
    LULL_HYBRID_KEYS,
    {"shared_intermediate_size", "feed_forward_length"},
};
inline constexpr HfKey kMambaKeys[] = {
    {"num_hidden_layers", "block_count"},
    {"hidden_size", "embedding_length"},
    {"vocab_size", "vocab_size"},
    {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon", Kind::kFloat},
    {"conv_kernel", "ssm.conv_kernel"},
    {"state_size", "ssm.state_size"},
    {"intermediate_size", "ssm.inner_size"},
    {"time_step_rank", "ssm.time_step_rank"},
};
inline constexpr HfKey kMamba2Keys[] = {
    {"num_hidden_layers", "block_count"},
    {"hidden_size", "embedding_length"},
    {"vocab_size", "vocab_size"},
    {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon", Kind::kFloat},
    {"conv_kernel", "ssm.conv_kernel"},
    {"state_size", "ssm.state_size"},
    {"num_heads", "ssm.time_step_rank"},
    {"n_groups", "ssm.group_count"},
};
inline constexpr HfKey kLfm2Keys[] = {{"conv_L_cache", "shortconv.l_cache"}};
inline constexpr HfKey kLfm2MoeKeys[] = {
    {"conv_L_cache", "shortconv.l_cache"},
    LULL_EXPERT_KEYS,
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"num_dense_layers", "leading_dense_block_count"},
    {"routed_scaling_factor", "expert_weights_scale", Kind::kFloat},
};

inline constexpr HfNeutral kQwen35Neutral[] = {
    {"hidden_act", "\"silu\""},
    {"attn_output_gate", "true"},
    {"mlp_only_layers", "[]"},
};
inline constexpr HfNeutral kCohere2Neutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_qk_norm", "false"},
    {"use_gated_activation", "true"},
    {"use_parallel_block", "true"},
    {"use_parallel_embedding", "false"},
    {"rotary_pct", "1.0"},
    {"position_embedding_type", "\"rope_gptj\""},
};
inline constexpr HfNeutral kPhi3Neutral[] = {
    {"hidden_act", "\"silu\""},
    {"full_attn_mod", "1"},
    {"interpolate_factor", "1"},
    {"lm_head_bias", "false"},
};
inline constexpr HfNeutral kGptOssNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"swiglu_alpha", "1.702"},
    {"swiglu_limit", "7.0"},
};
inline constexpr HfNeutral kDeepseek2Neutral[] = {
    {"hidden_act", "\"silu\""},      {"n_group", "1"},        {"topk_group", "1"},
    {"scoring_func", "\"softmax\""}, {"moe_layer_freq", "1"}, {"rope_interleave", "true"},
};
inline constexpr HfNeutral kGraniteHybridNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"mamba_proj_bias", "false"},
};
inline constexpr HfNeutral kMambaNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_bias", "false"},
    {"use_conv_bias", "true"},
    {"rms_norm", "true"},
};
inline constexpr HfNeutral kLfmNeutral[] = {
    {"hidden_act", "\"silu\""},  {"conv_bias", "false"},       {"norm_topk_prob", "true"},
    {"use_expert_bias", "true"}, {"block_use_swiglu", "true"}, {"use_pos_enc", "true"},
};

inline constexpr HfNeutral kGraniteNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"position_embedding_type", "\"rope\""},
};
inline constexpr HfNeutral kLlamaNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"sliding_window", "null"},
    {"rope_interleaved", "false"},
};
inline constexpr HfNeutral kSiluNeutral[] = {{"hidden_act", "\"silu\""}};
inline constexpr HfNeutral kQwenNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_sliding_window", "false"},
    {"use_mrope", "false"},
};
inline constexpr HfNeutral kQwen3MoeNeutral[] = {
    {"hidden_act", "\"silu\""},   {"use_sliding_window", "false"}, {"norm_topk_prob", "true"},
    {"decoder_sparse_step", "1"}, {"mlp_only_layers", "[]"},
};
inline constexpr HfNeutral kSmolLm3Neutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_sliding_window", "false"},
    {"no_rope_layer_interval", "4"},
};
inline constexpr HfNeutral kGemmaNeutral[] = {
    {"hidden_act", "\"gelu_pytorch_tanh\""},
    {"hidden_activation", "\"gelu_pytorch_tanh\""},
    {"attn_logit_softcapping", "null"},
    {"use_bidirectional_attention", "false"},
};

// Of images' tokens alone, where it is "vision".
inline constexpr HfNeutral kGemma4Neutral[] = {
    {"hidden_activation", "\"gelu_pytorch_tanh\""},
    {"use_bidirectional_attention", "\"vision\""},
};

inline constexpr char kGemma4Defaults[] =
    R"({"tie_word_embeddings": true, "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 256, "sliding_window": 512, "rms_norm_eps": 1e-6,
    "rope_parameters": {"full_attention": {"rope_type": "proportional", "rope_theta": 1e6,
    "partial_rotary_factor": 0.25}, "sliding_attention": {"rope_type": "default",
    "rope_theta": 1e4}}})";
inline constexpr char kGemma2Defaults[] = R"({"tie_word_embeddings": true, "sliding_window": 4096,
    "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0})";
inline constexpr char kGemma3Defaults[] = R"({"tie_word_embeddings": true, "vocab_size": 262208,
    "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 131072, "query_pre_attn_scalar": 256, "sliding_window": 4096,
    "rope_theta": 1000000.0})";
inline constexpr char kQwen3MoeDefaults[] = R"({"norm_topk_prob": false})";
// A key that readers of GGUF know and do not follow, in files of every origin.
inline constexpr HfKey kPhi3Keys[] = {
    {"sliding_window", "attention.sliding_window", Kind::kUint, false},
};

}  // namespace lull::hf
