// What single architectures need beyond their tables: keys that follow from several, and checks.
// Each is the `more` of a row of hf_architecture.cc; k...Reads: what it, or another part, reads.
#pragma once

#include "convert/hf_config.h"
#include "lull/status.h"

namespace lull::hf {

inline constexpr const char* kGptOssReads[] = {"quantization_config", "initial_context_length",
                                               "experts_per_token"};
inline constexpr const char* kQwen35Reads[] = {
    "linear_value_head_dim", "full_attention_interval",      "mtp_num_hidden_layers",
    "mamba_ssm_dtype",       "mtp_use_dedicated_embeddings",
};
inline constexpr const char* kDeepseek2Reads[] = {
    "qk_nope_head_dim", "qk_rope_head_dim", "qk_head_dim", "norm_topk_prob",
    "topk_method",      "aux_loss_alpha",   "seq_aux",     "num_nextn_predict_layers",
    "ep_size",
};
inline constexpr const char* kLfm2Reads[] = {
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
inline constexpr const char* kMambaReads[] = {
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
inline constexpr const char* kHybridReads[] = {
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
inline constexpr const char* kSmolLm3Reads[] = {"no_rope_layers"};
inline constexpr const char* kPhi3Reads[] = {"original_max_position_embeddings"};

inline constexpr const char* kGemma4Reads[] = {
    "global_head_dim",     "num_global_key_value_heads", "per_layer_config", "attention_k_eq_v",
    "use_double_wide_mlp", "vocab_size_per_layer_input", "enable_moe_block", "num_experts",
    "top_k_experts",       "moe_intermediate_size",
};
inline constexpr const char* kCohere2Reads[] = {"layer_norm_eps", "order_of_interleaved_layers",
                                                "layer_switch", "use_embedding_sharing"};

Status AddCohere2(const HfConfig& config, HfOutput* out);
// Heads of layers without a window, which newer folders give layer by layer.
Status PrepareGemma4(HfFolder* folder);
Status AddGemma4(const HfConfig& config, HfOutput* out);
Status CheckGptOss(const HfConfig& config, HfOutput* out);
Status AddQwen35(const HfConfig& config, HfOutput* out);
Status AddDeepseek2(const HfConfig& config, HfOutput* out);
Status AddLfm2(const HfConfig& config, HfOutput* out);
Status AddLfm2Moe(const HfConfig& config, HfOutput* out);
Status AddMamba(const HfConfig& config, HfOutput* out);
Status AddMamba2(const HfConfig& config, HfOutput* out);
Status AddGraniteHybrid(const HfConfig& config, HfOutput* out);
Status AddTemperature(const HfConfig& config, HfOutput* out);
Status CheckSmolLm3(const HfConfig& config, HfOutput* out);

}  // namespace lull::hf
