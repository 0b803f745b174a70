#include "convert/hf_architecture.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "convert/convert.h"
#include "formats/gguf.h"

namespace lull {
namespace {

using Json = nlohmann::json;
using Kind = HfKey::Kind;
using Rows = HfTensor::Rows;
using Shape = HfTensor::Shape;

constexpr HfKey kCommonKeys[] = {
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size|block_ff_dim", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv", Kind::kUint, false},
    {"vocab_size", "vocab_size"},
    {"rms_norm_eps|norm_eps", "attention.layer_norm_rms_epsilon", Kind::kFloat},
};

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

constexpr HfTensor kLlamaTensors[] = {LULL_ENDS, LULL_NORMS_BEFORE, LULL_TURNED_QK, LULL_VO,
                                      LULL_FFN};
constexpr HfTensor kQwenTensors[] = {LULL_ENDS, LULL_NORMS_BEFORE, LULL_STILL_QK,
                                     LULL_VO,   LULL_HEAD_NORMS,   LULL_FFN};

// No norms before the half-blocks, but behind them.
constexpr HfTensor kOlmo2Tensors[] = {
    LULL_ENDS,
    LULL_STILL_QK,
    LULL_VO,
    LULL_HEAD_NORMS,
    LULL_FFN,
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight"},
    {"model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight"},
};

constexpr HfTensor kGemma2Tensors[] = {LULL_GEMMA_BLOCK, LULL_STILL_QK, LULL_VO, LULL_FFN};
constexpr HfTensor kGemma3Tensors[] = {
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

constexpr HfTensor kPhi3Tensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    {"model.layers.{}.self_attn.qkv_proj.weight", "blk.{}.attn_qkv.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

constexpr HfTensor kMixtralTensors[] = {
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

constexpr HfTensor kQwen3MoeTensors[] = {
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

constexpr HfTensor kGraniteMoeTensors[] = {LULL_ENDS, LULL_NORMS_BEFORE, LULL_TURNED_QK, LULL_VO,
                                           LULL_GRANITE_MOE_TENSORS};

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

constexpr HfTensor kMambaTensors[] = {
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
constexpr HfTensor kMamba2Tensors[] = {LULL_BACKBONE,
                                       LULL_MAMBA2_MIXER("backbone.layers.{}.mixer")};

constexpr HfTensor kGraniteHybridTensors[] = {
    LULL_ENDS, LULL_NORMS_BEFORE,        LULL_TURNED_QK,
    LULL_VO,   LULL_GRANITE_MOE_TENSORS, LULL_MAMBA2_MIXER("model.layers.{}.mamba"),
};
constexpr HfTensor kGraniteHybridDenseTensors[] = {
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

constexpr HfTensor kLfm2Tensors[] = {LULL_LFM_BLOCK};
constexpr HfTensor kLfm2MoeTensors[] = {
    LULL_LFM_BLOCK,
    {"model.layers.{}.feed_forward.gate.weight", "blk.{}.ffn_gate_inp.weight", Rows::kAsTheyAre,
     HfValues::kSame, true},
    {"model.layers.{}.feed_forward.expert_bias", "blk.{}.exp_probs_b.bias"},
    {"model.layers.{}.feed_forward.experts.{}.w1.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.feed_forward.experts.{}.w2.weight", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.feed_forward.experts.{}.w3.weight", "blk.{}.ffn_up_exps.weight"},
};

constexpr HfTensor kGlm4Tensors[] = {
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
constexpr HfTensor kGptOssTensors[] = {
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

constexpr HfTensor kDeepseek2Tensors[] = {
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

constexpr HfTensor kQwen35Tensors[] = {LULL_QWEN35_BLOCK, LULL_FFN};
constexpr HfTensor kQwen35MoeTensors[] = {
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

constexpr HfKey kGraniteKeys[] = {LULL_GRANITE_KEYS};
constexpr HfKey kGraniteMoeKeys[] = {
    LULL_GRANITE_KEYS,
    LULL_EXPERT_KEYS,
    {"shared_intermediate_size", "expert_shared_feed_forward_length", Kind::kUint, false},
};
constexpr HfKey kWindowKeys[] = {
    {"sliding_window", "attention.sliding_window", Kind::kUint, false},
};
constexpr HfKey kMixtralKeys[] = {
    LULL_EXPERT_KEYS,
    {"sliding_window", "attention.sliding_window", Kind::kUint, false},
};
constexpr HfKey kQwen3MoeKeys[] = {
    LULL_EXPERT_KEYS,
    {"moe_intermediate_size", "expert_feed_forward_length"},
};
constexpr HfKey kGemma2Keys[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", Kind::kFloat},
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kFloat},
    {"query_pre_attn_scalar", "attention.scale", Kind::kInverseRoot},
};
constexpr HfKey kGemma3Keys[] = {
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kFloat, false},
    {"query_pre_attn_scalar", "attention.scale", Kind::kInverseRoot},
};

constexpr HfKey kGptOssKeys[] = {
    LULL_EXPERT_KEYS,
    {"intermediate_size", "expert_feed_forward_length"},
};
constexpr HfKey kDeepseek2Keys[] = {
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
constexpr HfKey kQwen35Keys[] = {LULL_QWEN35_KEYS};
constexpr HfKey kQwen35MoeKeys[] = {
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
constexpr HfKey kGraniteHybridKeys[] = {
    LULL_GRANITE_KEYS,
    LULL_HYBRID_KEYS,
    LULL_EXPERT_KEYS,
    {"shared_intermediate_size", "expert_shared_feed_forward_length"},
};
constexpr HfKey kGraniteHybridDenseKeys[] = {
    LULL_GRANITE_KEYS,
    LULL_HYBRID_KEYS,
    {"shared_intermediate_size", "feed_forward_length"},
};
constexpr HfKey kMambaKeys[] = {
    {"num_hidden_layers", "block_count"},
    {"hidden_size", "embedding_length"},
    {"vocab_size", "vocab_size"},
    {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon", Kind::kFloat},
    {"conv_kernel", "ssm.conv_kernel"},
    {"state_size", "ssm.state_size"},
    {"intermediate_size", "ssm.inner_size"},
    {"time_step_rank", "ssm.time_step_rank"},
};
constexpr HfKey kMamba2Keys[] = {
    {"num_hidden_layers", "block_count"},
    {"hidden_size", "embedding_length"},
    {"vocab_size", "vocab_size"},
    {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon", Kind::kFloat},
    {"conv_kernel", "ssm.conv_kernel"},
    {"state_size", "ssm.state_size"},
    {"num_heads", "ssm.time_step_rank"},
    {"n_groups", "ssm.group_count"},
};
constexpr HfKey kLfm2Keys[] = {{"conv_L_cache", "shortconv.l_cache"}};
constexpr HfKey kLfm2MoeKeys[] = {
    {"conv_L_cache", "shortconv.l_cache"},
    LULL_EXPERT_KEYS,
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"num_dense_layers", "leading_dense_block_count"},
    {"routed_scaling_factor", "expert_weights_scale", Kind::kFloat},
};

constexpr HfNeutral kQwen35Neutral[] = {
    {"hidden_act", "\"silu\""},
    {"attn_output_gate", "true"},
    {"mlp_only_layers", "[]"},
};
constexpr HfNeutral kGptOssNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"swiglu_alpha", "1.702"},
    {"swiglu_limit", "7.0"},
};
constexpr HfNeutral kDeepseek2Neutral[] = {
    {"hidden_act", "\"silu\""},      {"n_group", "1"},        {"topk_group", "1"},
    {"scoring_func", "\"softmax\""}, {"moe_layer_freq", "1"}, {"rope_interleave", "true"},
};
constexpr HfNeutral kGraniteHybridNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"mamba_proj_bias", "false"},
};
constexpr HfNeutral kMambaNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_bias", "false"},
    {"use_conv_bias", "true"},
    {"rms_norm", "true"},
};
constexpr HfNeutral kLfmNeutral[] = {
    {"hidden_act", "\"silu\""},  {"conv_bias", "false"},       {"norm_topk_prob", "true"},
    {"use_expert_bias", "true"}, {"block_use_swiglu", "true"}, {"use_pos_enc", "true"},
};

constexpr HfNeutral kGraniteNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"position_embedding_type", "\"rope\""},
};
constexpr HfNeutral kLlamaNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"sliding_window", "null"},
    {"rope_interleaved", "false"},
};
constexpr HfNeutral kSiluNeutral[] = {{"hidden_act", "\"silu\""}};
constexpr HfNeutral kQwenNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_sliding_window", "false"},
};
constexpr HfNeutral kQwen3MoeNeutral[] = {
    {"hidden_act", "\"silu\""},   {"use_sliding_window", "false"}, {"norm_topk_prob", "true"},
    {"decoder_sparse_step", "1"}, {"mlp_only_layers", "[]"},
};
constexpr HfNeutral kSmolLm3Neutral[] = {
    {"hidden_act", "\"silu\""},
    {"use_sliding_window", "false"},
    {"no_rope_layer_interval", "4"},
};
constexpr HfNeutral kGemmaNeutral[] = {
    {"hidden_act", "\"gelu_pytorch_tanh\""},
    {"hidden_activation", "\"gelu_pytorch_tanh\""},
    {"attn_logit_softcapping", "null"},
    {"use_bidirectional_attention", "false"},
};

constexpr char kGemma2Defaults[] = R"({"tie_word_embeddings": true, "sliding_window": 4096,
    "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0})";
constexpr char kGemma3Defaults[] = R"({"tie_word_embeddings": true, "vocab_size": 262208,
    "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 131072, "query_pre_attn_scalar": 256, "sliding_window": 4096,
    "rope_theta": 1000000.0})";
constexpr char kQwen3MoeDefaults[] = R"({"norm_topk_prob": false})";

// heads * width of a head
Status AddInner(const HfConfig& config, const char* heads_key, const char* width_key,
                HfOutput* out) {
  LULL_ASSIGN_OR_RETURN(const uint64_t heads, config.Uint(heads_key));
  LULL_ASSIGN_OR_RETURN(const uint64_t width, config.Uint(width_key));
  if (heads * width > UINT32_MAX) return config.Bad("out of range", heads_key);
  out->writer.AddUint32(out->Key("ssm.inner_size"), static_cast<uint32_t>(heads * width));
  return Status();
}

std::vector<bool> LayersOf(const HfConfig& config, const char* key, const char* types) {
  std::vector<bool> result;
  const Json& list = config.Field(key);
  for (size_t i = 0; list.is_array() && i < list.size(); ++i)
    result.push_back(list[i].is_string() && IsOneOf(types, list[i].get<std::string>()));
  return result;
}

constexpr const char* kGptOssReads[] = {"quantization_config", "initial_context_length",
                                        "experts_per_token"};
Status CheckGptOss(const HfConfig& config, HfOutput*) {
  const Json& quantization = config.Field("quantization_config");
  if (quantization.is_null() || JsonText(quantization, "quant_method") == "mxfp4") return Status();
  return config.Unsupported("weights of another kind than mxfp4", "quantization_config");
}

// Delta nets in all layers but every so many. Positions of images' tokens have three parts, which
// text does not tell apart.
constexpr const char* kQwen35Reads[] = {
    "linear_value_head_dim", "full_attention_interval",      "mtp_num_hidden_layers",
    "mamba_ssm_dtype",       "mtp_use_dedicated_embeddings",
};
Status AddQwen35(const HfConfig& config, HfOutput* out) {
  LULL_RETURN_IF_ERROR(AddInner(config, "linear_num_value_heads", "linear_value_head_dim", out));
  LULL_ASSIGN_OR_RETURN(const uint64_t key, config.Uint("linear_key_head_dim"));
  LULL_ASSIGN_OR_RETURN(const uint64_t value, config.Uint("linear_value_head_dim"));
  if (key != value)
    return config.Unsupported("heads of K and V of two widths", "linear_value_head_dim");
  const std::vector<bool> attention = LayersOf(config, "layer_types", "full_attention");
  const auto first = std::find(attention.begin(), attention.end(), true);
  uint64_t interval = static_cast<uint64_t>(first - attention.begin()) + 1;
  if (attention.empty()) {
    LULL_ASSIGN_OR_RETURN(interval, config.Uint("full_attention_interval"));
  }
  for (size_t i = 0; i < attention.size(); ++i)
    if (attention[i] != ((i + 1) % interval == 0))
      return config.Unsupported("attention that is not in every so many layers", "layer_types");
  out->writer.AddUint32(out->Key("full_attention_interval"), static_cast<uint32_t>(interval));
  std::vector<int32_t> sections = {11, 11, 10};
  const Json& given = JsonField(config.Field("rope_parameters|rope_scaling"), "mrope_section");
  if (given.is_array() && given.size() == 3 &&
      std::all_of(given.begin(), given.end(), [](const Json& n) { return n.is_number_integer(); }))
    sections = given.get<std::vector<int32_t>>();
  sections.push_back(0);
  out->writer.AddInt32Array(out->Key("rope.dimension_sections"), sections);
  return Status();
}

// What is kept of a token is the latent and one rotated key, which GGUF takes for one head's width.
constexpr const char* kDeepseek2Reads[] = {
    "qk_nope_head_dim", "qk_rope_head_dim", "qk_head_dim", "norm_topk_prob",
    "topk_method",      "aux_loss_alpha",   "seq_aux",     "num_nextn_predict_layers",
    "ep_size",
};
Status AddDeepseek2(const HfConfig& config, HfOutput* out) {
  LULL_ASSIGN_OR_RETURN(const uint64_t latent, config.Uint("kv_lora_rank"));
  LULL_ASSIGN_OR_RETURN(const uint64_t still, config.Uint("qk_nope_head_dim"));
  LULL_ASSIGN_OR_RETURN(const uint64_t rotated, config.Uint("qk_rope_head_dim"));
  const std::string method = JsonText(config.folder().config, "topk_method");
  if (method != "greedy" && method != "group_limited_greedy")
    return config.Unsupported("another choice of experts than the greedy one", "topk_method");
  const Json& norm = config.Field("norm_topk_prob");
  const auto put = [out](const char* key, uint64_t value) {
    out->writer.AddUint32(out->Key(key), static_cast<uint32_t>(value));
  };
  put("attention.head_count_kv", 1);
  put("attention.key_length", latent + rotated);
  put("attention.value_length", latent);
  put("attention.key_length_mla", still + rotated);
  put("expert_gating_func", 1);
  out->writer.AddBool(out->Key("expert_weights_norm"), norm.is_boolean() && norm.get<bool>());
  // Rotation is as it was, and scores are sharper.
  const Json& scaling = config.Field("rope_scaling|rope_parameters");
  const Json& all = JsonField(scaling, "mscale_all_dim");
  if (!all.is_number()) return Status();
  if (all != JsonField(scaling, "mscale"))
    return config.Unsupported("mscale that is not mscale_all_dim", "rope_scaling");
  out->writer.RemoveKey(out->Key("rope.scaling.attn_factor"));
  out->writer.AddFloat32(out->Key("rope.scaling.yarn_log_multiplier"), 0.1f * all.get<float>());
  return Status();
}

// KV heads of every layer: none where its type is not `attention`.
Status AddKvHeads(const HfConfig& config, const std::vector<bool>& attention, HfOutput* out) {
  LULL_ASSIGN_OR_RETURN(const uint64_t heads, config.Uint("num_key_value_heads"));
  LULL_ASSIGN_OR_RETURN(const uint64_t layers, config.Uint("num_hidden_layers"));
  if (attention.size() != layers) return config.Bad("not one for each layer", "layer_types");
  std::vector<int32_t> kv_heads;
  for (const bool has : attention) kv_heads.push_back(has ? static_cast<int32_t>(heads) : 0);
  out->writer.AddInt32Array(out->Key("attention.head_count_kv"), kv_heads);
  return Status();
}

// Layers of attention and of convolution; how wide the feed-forward is follows from its matrix.
constexpr const char* kLfm2Reads[] = {
    "full_attn_idxs",
    "block_auto_adjust_ff_dim",
    "block_ffn_dim_multiplier",
    "block_multiple_of",
    "block_dim",
    "block_mlp_init_scale",
    "block_norm_eps",
    "block_out_init_scale",
    "block_use_xavier_init",
    "conv_dim",
    "conv_dim_out",
    "conv_use_xavier_init",
    "num_heads",
    "tie_embedding",
};
Status AddLfm2(const HfConfig& config, HfOutput* out) {
  std::vector<bool> attention = LayersOf(config, "layer_types", "full_attention");
  const Json& indices = config.Field("full_attn_idxs");
  if (attention.empty() && indices.is_array()) {
    LULL_ASSIGN_OR_RETURN(const uint64_t layers, config.Uint("num_hidden_layers"));
    if (layers > 4096) return config.Bad("out of range", "num_hidden_layers");
    for (uint64_t i = 0; i < layers; ++i)
      attention.push_back(std::find(indices.begin(), indices.end(), Json(i)) != indices.end());
  }
  LULL_RETURN_IF_ERROR(AddKvHeads(config, attention, out));
  const auto first = config.folder().tensors.find("model.layers.0.feed_forward.w1.weight");
  if (first != config.folder().tensors.end() && first->second->shape.size() == 2)
    out->writer.AddUint32(out->Key("feed_forward_length"),
                          static_cast<uint32_t>(first->second->shape[0]));
  return Status();
}
Status AddLfm2Moe(const HfConfig& config, HfOutput* out) {
  constexpr uint32_t kSigmoid = 2;
  out->writer.AddUint32(out->Key("expert_gating_func"), kSigmoid);
  return AddLfm2(config, out);
}

// Widths of time steps are not bounded: [0, infinity], as JSON has no word for it.
Status CheckTimeSteps(const HfConfig& config) {
  const Json& limit = config.Field("time_step_limit");
  if (limit.is_null()) return Status();
  const bool none = limit.is_array() && limit.size() == 2 && limit[0].is_number() &&
                    limit[0].get<double>() == 0.0 && !limit[1].is_number();
  return none ? Status() : config.Unsupported("time steps that are bounded", "time_step_limit");
}

constexpr const char* kMambaReads[] = {
    "expand",
    "time_step_limit",
    "time_step_floor",
    "time_step_max",
    "time_step_min",
    "time_step_init_scheme",
    "time_step_scale",
    "residual_in_fp32",
    "rescale_prenorm_residual",
    "chunk_size",
    "head_dim",
    "time_step_rank",
    "use_mambapy",
    "use_associative_scan",
    "d_inner",
    "d_model",
    "n_layer",
    "fused_add_norm",
    "ssm_cfg",
    "pad_vocab_size_multiple",
    "norm_before_gate",
};
Status AddMamba(const HfConfig& config, HfOutput* out) {
  constexpr uint32_t kContext = 1 << 20;  // nothing bounds it
  out->writer.AddUint32(out->Key("context_length"), kContext);
  out->writer.AddUint32(out->Key("feed_forward_length"), 0);
  out->writer.AddUint32(out->Key("attention.head_count"), 0);
  return CheckTimeSteps(config);
}
Status AddMamba2(const HfConfig& config, HfOutput* out) {
  LULL_RETURN_IF_ERROR(AddInner(config, "num_heads", "head_dim", out));
  return AddMamba(config, out);
}

constexpr const char* kHybridReads[] = {
    "position_embedding_type",
    "mamba_d_head",
    "mamba_expand",
    "mamba_chunk_size",
    "mamba_conv_bias",
    "time_step_limit",
    "num_local_experts",
    "num_experts_per_tok",
    "time_step_min",
    "time_step_max",
    "time_step_floor",
    "normalization_function",
    "init_method",
    "layers_block_type",
    "shared_intermediate_size",
};
Status AddGraniteHybrid(const HfConfig& config, HfOutput* out) {
  LULL_RETURN_IF_ERROR(AddKvHeads(
      config, LayersOf(config, "layer_types|layers_block_type", "full_attention|attention"), out));
  LULL_RETURN_IF_ERROR(AddInner(config, "mamba_n_heads", "mamba_d_head", out));
  const std::string positions = JsonText(config.folder().config, "position_embedding_type");
  if (positions != "rope" && positions != "nope" && !positions.empty())
    return config.Unsupported("positions of another kind", "position_embedding_type");
  out->writer.AddBool(out->Key("rope.scaling.finetuned"), positions == "rope");
  return CheckTimeSteps(config);
}

// Q is scaled by its position.
constexpr const char* kTemperature = "llama_4_scaling_beta";
Status AddTemperature(const HfConfig& config, HfOutput* out) {
  const Json& beta = JsonField(config.Field("rope_parameters|rope_scaling"), kTemperature);
  if (beta.is_number())
    out->writer.AddFloat32(out->Key("attention.temperature_scale"), beta.get<float>());
  return Status();
}

// Every fourth layer does not rotate, in GGUF's architecture; here it is a list.
constexpr const char* kSmolLm3Reads[] = {"no_rope_layers"};
Status CheckSmolLm3(const HfConfig& config, HfOutput*) {
  const Json& layers = config.Field("no_rope_layers");
  for (size_t i = 0; layers.is_array() && i < layers.size(); ++i)
    if (layers[i] != Json((i + 1) % 4 != 0 ? 1 : 0))
      return config.Unsupported("another layer than every fourth without rotation",
                                "no_rope_layers");
  return Status();
}

// A key that readers of GGUF know and do not follow, in files of every origin.
constexpr HfKey kPhi3Keys[] = {
    {"sliding_window", "attention.sliding_window", Kind::kUint, false},
};
constexpr const char* kPhi3Reads[] = {"original_max_position_embeddings"};

constexpr HfArchitecture kArchitectures[] = {
    {"llama", "llama", {}, kLlamaTensors, kLlamaNeutral},
    {"mistral", "llama", kWindowKeys, kLlamaTensors, kSiluNeutral, R"({"sliding_window": 4096})"},
    {"mixtral", "llama", kMixtralKeys, kMixtralTensors, kSiluNeutral, R"({"rope_theta": 1e6})"},
    {"granite", "granite", kGraniteKeys, kLlamaTensors, kGraniteNeutral},
    {"granitemoe", "granitemoe", kGraniteMoeKeys, kGraniteMoeTensors, kGraniteNeutral},
    {"granitemoeshared", "granitemoe", kGraniteMoeKeys, kGraniteMoeTensors, kGraniteNeutral},
    {"olmo2", "olmo2", {}, kOlmo2Tensors, kLlamaNeutral},
    {"qwen2", "qwen2", {}, kQwenTensors, kQwenNeutral},
    {"qwen3", "qwen3", {}, kQwenTensors, kQwenNeutral},
    {"qwen3_moe", "qwen3moe", kQwen3MoeKeys, kQwen3MoeTensors, kQwen3MoeNeutral, kQwen3MoeDefaults},
    {.model_type = "ministral3",
     .gguf = "mistral3",
     .keys = {},
     .tensors = kLlamaTensors,
     .neutral = kLlamaNeutral,
     .more = AddTemperature},
    {.model_type = "olmo3",
     .gguf = "olmo2",
     .keys = {},
     .tensors = kOlmo2Tensors,
     .neutral = kSiluNeutral,
     .window_period = 4},
    {.model_type = "glm4",
     .gguf = "glm4",
     .keys = {},
     .tensors = kGlm4Tensors,
     .neutral = kSiluNeutral,
     .defaults = R"({"partial_rotary_factor": 0.5})"},
    {.model_type = "qwen3_5_text",
     .gguf = "qwen35",
     .keys = kQwen35Keys,
     .tensors = kQwen35Tensors,
     .neutral = kQwen35Neutral,
     .layer_types = "full_attention|linear_attention",
     .more = AddQwen35,
     .more_reads = kQwen35Reads},
    {.model_type = "qwen3_5_moe_text",
     .gguf = "qwen35moe",
     .keys = kQwen35MoeKeys,
     .tensors = kQwen35MoeTensors,
     .neutral = kQwen35Neutral,
     .layer_types = "full_attention|linear_attention",
     .more = AddQwen35,
     .more_reads = kQwen35Reads},
    {.model_type = "gpt_oss",
     .gguf = "gpt-oss",
     .keys = kGptOssKeys,
     .tensors = kGptOssTensors,
     .neutral = kGptOssNeutral,
     .defaults = R"({"rope_theta": 150000.0})",
     .window_period = 2,
     .more = CheckGptOss,
     .more_reads = kGptOssReads},
    {.model_type = "deepseek_v2",
     .gguf = "deepseek2",
     .keys = kDeepseek2Keys,
     .tensors = kDeepseek2Tensors,
     .neutral = kDeepseek2Neutral,
     .rotated_width = "qk_rope_head_dim",
     .more = AddDeepseek2,
     .more_reads = kDeepseek2Reads},
    {.model_type = "lfm2",
     .gguf = "lfm2",
     .keys = kLfm2Keys,
     .tensors = kLfm2Tensors,
     .neutral = kLfmNeutral,
     .defaults = R"({"tie_word_embeddings": true, "rope_theta": 1e6})",
     .layer_types = "full_attention|conv",
     .more = AddLfm2,
     .more_reads = kLfm2Reads},
    {.model_type = "lfm2_moe",
     .gguf = "lfm2moe",
     .keys = kLfm2MoeKeys,
     .tensors = kLfm2MoeTensors,
     .neutral = kLfmNeutral,
     .defaults = R"({"tie_word_embeddings": true, "rope_theta": 1e6})",
     .layer_types = "full_attention|conv",
     .more = AddLfm2Moe,
     .more_reads = kLfm2Reads},
    {.model_type = "mamba",
     .gguf = "mamba",
     .keys = kMambaKeys,
     .tensors = kMambaTensors,
     .neutral = kMambaNeutral,
     .defaults = R"({"tie_word_embeddings": true})",
     .attention = false,
     .more = AddMamba,
     .more_reads = kMambaReads},
    {.model_type = "mamba2",
     .gguf = "mamba2",
     .keys = kMamba2Keys,
     .tensors = kMamba2Tensors,
     .neutral = kMambaNeutral,
     .attention = false,
     .more = AddMamba2,
     .more_reads = kMambaReads},
    {.model_type = "granitemoehybrid",
     .gguf = "granitehybrid",
     .keys = kGraniteHybridKeys,
     .tensors = kGraniteHybridTensors,
     .neutral = kGraniteHybridNeutral,
     .layer_types = "full_attention|attention|linear_attention|mamba",
     .needs = "num_local_experts",
     .more = AddGraniteHybrid,
     .more_reads = kHybridReads},
    {.model_type = "granitemoehybrid",
     .gguf = "granitehybrid",
     .keys = kGraniteHybridDenseKeys,
     .tensors = kGraniteHybridDenseTensors,
     .neutral = kGraniteHybridNeutral,
     .layer_types = "full_attention|attention|linear_attention|mamba",
     .more = AddGraniteHybrid,
     .more_reads = kHybridReads},
    {.model_type = "smollm3",
     .gguf = "smollm3",
     .keys = {},
     .tensors = kLlamaTensors,
     .neutral = kSmolLm3Neutral,
     .defaults = R"({"tie_word_embeddings": true, "rope_theta": 2e6})",
     .more = CheckSmolLm3,
     .more_reads = kSmolLm3Reads},
    {.model_type = "phi3",
     .gguf = "phi3",
     .keys = kPhi3Keys,
     .tensors = kPhi3Tensors,
     .neutral = kSiluNeutral,
     .more_reads = kPhi3Reads},
    {.model_type = "gemma2",
     .gguf = "gemma2",
     .keys = kGemma2Keys,
     .tensors = kGemma2Tensors,
     .neutral = kGemmaNeutral,
     .defaults = kGemma2Defaults,
     .window_period = 2},
    {.model_type = "gemma3_text",
     .gguf = "gemma3",
     .keys = kGemma3Keys,
     .tensors = kGemma3Tensors,
     .neutral = kGemmaNeutral,
     .defaults = kGemma3Defaults,
     .window_period = 6,
     .local_rope = true},
};

// Folders of text and images: what reads text is a row above.
struct HfSeveral {
  const char* model_type;
  const char* text;  // null: as text_config says
};
constexpr HfSeveral kSeveral[] = {{"gemma3", "gemma3_text"},
                                  {"mistral3", nullptr},
                                  {"qwen3_5", "qwen3_5_text"},
                                  {"qwen3_5_moe", "qwen3_5_moe_text"}};

// Read by the converter by itself, or without influence on the logits. Biases of attention and
// feed-forward show by their tensors.
constexpr const char* kKnown[] = {
    "model_type",
    "architectures",
    "head_dim",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "attention_bias",
    "mlp_bias",
    "attention_dropout",
    "embd_pdrop",
    "resid_pdrop",
    "initializer_range",
    "pretraining_tp",
    "output_router_logits",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "layer_types",
    "max_window_layers",
    "is_llama_config",
    "auto_map",
    "_name_or_path",
    "transformers.js_config",
    "unsloth_fixed",
    "unsloth_version",
    "_attn_implementation_autoset",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "torchscript",
    "use_bfloat16",
    "keys_to_ignore_at_inference",
};
// Of architectures whose layers are of two kinds.
constexpr const char* kWindowReads[] = {
    "sliding_window",
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "rope_local_base_freq",
};

bool IsAmong(std::span<const char* const> names, const std::string& name) {
  return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == known; });
}

bool IsKnown(const HfArchitecture& architecture, const std::string& key) {
  const auto is_key = [&](const HfKey& known) { return IsOneOf(known.config, key); };
  return IsAmong(kKnown, key) || IsAmong(architecture.more_reads, key) ||
         (architecture.window_period > 0 && IsAmong(kWindowReads, key)) ||
         std::any_of(std::begin(kCommonKeys), std::end(kCommonKeys), is_key) ||
         std::any_of(architecture.keys.begin(), architecture.keys.end(), is_key);
}

// With windows switched off, their width is idle.
bool IsIdle(const Json& config, const std::string& key) {
  const Json& windows = JsonField(config, "use_sliding_window");
  return key == "sliding_window" && windows.is_boolean() && !windows.get<bool>();
}

Status CheckLayerTypes(const HfConfig& config, const HfArchitecture& architecture) {
  const Json& types = config.Field("layer_types");
  for (size_t i = 0; types.is_array() && i < types.size(); ++i) {
    const std::string type = types[i].is_string() ? types[i].get<std::string>() : "";
    const bool windowed = type == "sliding_attention" && architecture.window_period > 0;
    if (!IsOneOf(architecture.layer_types, type) && !windowed)
      return config.Unsupported("layers of the type " + GgufQuote(type), "layer_types");
  }
  return Status();
}

Status CheckKeys(const HfConfig& config, const HfArchitecture& architecture) {
  const Json& all = config.folder().config;
  for (const auto& [key, value] : all.items()) {
    if (value.is_null() || IsKnown(architecture, key) || IsIdle(all, key)) continue;
    const auto& neutral = architecture.neutral;
    const auto found = std::find_if(neutral.begin(), neutral.end(),
                                    [&](const HfNeutral& one) { return key == one.config; });
    if (found != neutral.end() && value == Json::parse(found->value, nullptr, false)) continue;
    std::string message = GgufQuote(key) + " = " +
                          GgufQuote(value.dump(-1, ' ', false, Json::error_handler_t::replace)) +
                          " is not converted and may change the model's numbers";
    if (found != neutral.end()) message += std::string("; only ") + found->value + " is accepted";
    return Status(ErrorCode::kUnsupported, message, config.folder().path + "/config.json");
  }
  return CheckLayerTypes(config, architecture);
}

bool StartsWithOne(const std::string& name, std::span<const char* const> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const char* beginning) { return name.starts_with(beginning); });
}

// Leaves what reads text, under the names of a folder that has nothing else.
void KeepText(const char* text_type, HfFolder* folder) {
  constexpr const char* kOthers[] = {"model.visual.",       "mtp.",
                                     "vision_tower.",       "multi_modal_projector.",
                                     "model.vision_tower.", "model.multi_modal_projector."};
  const std::pair<std::string_view, std::string_view> kPrefixes[] = {
      {"language_model.model.", "model."},
      {"language_model.lm_head.", "lm_head."},
      {"model.language_model.", "model."}};
  Json text = folder->config["text_config"];
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"})
    if (JsonField(text, key).is_null()) text[key] = JsonField(folder->config, key);
  if (text_type != nullptr) text["model_type"] = text_type;
  folder->config = std::move(text);
  std::map<std::string, const SafetensorsTensor*> kept;
  for (const auto& [name, tensor] : folder->tensors) {
    if (StartsWithOne(name, kOthers)) continue;
    std::string inner = name;
    for (const auto& [outer, plain] : kPrefixes)
      if (name.starts_with(outer)) inner = std::string(plain) + name.substr(outer.size());
    kept[inner] = tensor;
  }
  folder->tensors = std::move(kept);
}

bool Applies(const HfArchitecture& architecture, const Json& config) {
  if (architecture.needs == nullptr) return true;
  const Json& number = JsonField(config, architecture.needs);
  return number.is_number() && number.get<double>() != 0.0;
}

void AddDefaults(const HfArchitecture& architecture, Json* config) {
  const Json defaults = Json::parse(architecture.defaults, nullptr, false);
  for (const auto& [key, value] : defaults.items())
    if (!config->contains(key)) (*config)[key] = value;
}

}  // namespace

bool MatchHfName(std::string_view pattern, std::string_view name, std::vector<uint64_t>* numbers) {
  numbers->clear();
  while (!pattern.empty()) {
    if (pattern.starts_with("{}")) {
      const size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
      if (digits == 0 || digits > 4) return false;
      numbers->push_back(std::stoull(std::string(name.substr(0, digits))));
      pattern.remove_prefix(2);
      name.remove_prefix(digits);
      continue;
    }
    if (name.empty() || name[0] != pattern[0]) return false;
    pattern.remove_prefix(1);
    name.remove_prefix(1);
  }
  return name.empty();
}

const HfArchitecture* FindHfArchitectureOf(std::string_view gguf) {
  for (const HfArchitecture& architecture : kArchitectures)
    if (gguf == architecture.gguf) return &architecture;
  return nullptr;
}

std::vector<ConvertibleType> ConvertibleTypes() {
  std::vector<ConvertibleType> types;
  const auto add = [&types](const char* model_type, const char* gguf) {
    for (const ConvertibleType& type : types)
      if (type.model_type == model_type && type.architecture == gguf) return;
    types.push_back({model_type, gguf});
  };
  for (const HfArchitecture& architecture : kArchitectures) {
    add(architecture.model_type, architecture.gguf);
    for (const HfSeveral& several : kSeveral)
      if (several.text != nullptr && std::string_view(several.text) == architecture.model_type)
        add(several.model_type, architecture.gguf);
  }
  return types;
}

std::span<const HfKey> HfCommonKeys() { return kCommonKeys; }

Result<const HfArchitecture*> FindHfArchitecture(HfFolder* folder) {
  for (const HfSeveral& several : kSeveral)
    if (JsonText(folder->config, "model_type") == several.model_type &&
        JsonField(folder->config, "text_config").is_object())
      KeepText(several.text, folder);
  const std::string type = JsonText(folder->config, "model_type");
  std::string known;
  for (const HfArchitecture& architecture : kArchitectures) {
    if (type == architecture.model_type && Applies(architecture, folder->config)) {
      AddDefaults(architecture, &folder->config);
      LULL_RETURN_IF_ERROR(CheckKeys(HfConfig(*folder), architecture));
      return &architecture;
    }
    if (architecture.needs == nullptr)
      known += std::string(known.empty() ? "" : ", ") + architecture.model_type;
  }
  return Status(ErrorCode::kUnsupported, "model_type " + GgufQuote(type) + " is not converted",
                folder->path + "/config.json", "these are: " + known);
}

}  // namespace lull
