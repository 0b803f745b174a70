#include "convert/hf_architecture.h"

#include <algorithm>
#include <string>

#include "base/json_text.h"
#include "formats/gguf.h"

namespace lull {
namespace {

using Json = nlohmann::json;
using Kind = HfKey::Kind;
using Rows = HfTensor::Rows;

constexpr HfKey kCommonKeys[] = {
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv", Kind::kUint, false},
    {"vocab_size", "vocab_size"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", Kind::kFloat},
};

#define LULL_BLOCK_TENSORS                                                                         \
  {"model.embed_tokens.weight", "token_embd.weight"}, {"model.norm.weight", "output_norm.weight"}, \
      {"lm_head.weight", "output.weight"},                                                         \
      {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},                       \
      {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},                         \
      {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},                    \
      {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},               \
      {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},                          \
      {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"}, {                            \
    "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"                               \
  }

constexpr HfTensor kLlamaTensors[] = {
    LULL_BLOCK_TENSORS,
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", Rows::kInterleavedQ},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", Rows::kInterleavedK},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", Rows::kInterleavedQ},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", Rows::kInterleavedK},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    {"model.layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias"},
};

constexpr HfTensor kQwenTensors[] = {
    LULL_BLOCK_TENSORS,
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias"},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias"},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"},
    {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"},
};
#undef LULL_BLOCK_TENSORS

// No norms before the half-blocks, but behind them.
constexpr HfTensor kOlmo2Tensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"},
    {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight"},
    {"model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight"},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

constexpr HfKey kGraniteKeys[] = {
    {"embedding_multiplier", "embedding_scale", Kind::kFloat},
    {"residual_multiplier", "residual_scale", Kind::kFloat},
    {"attention_multiplier", "attention.scale", Kind::kFloat},
    {"logits_scaling", "logit_scale", Kind::kFloat},
};

constexpr HfNeutral kGraniteNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"position_embedding_type", "\"rope\""},
};
constexpr HfNeutral kLlamaNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"partial_rotary_factor", "1.0"},
    {"sliding_window", "null"},
    {"rope_interleaved", "false"},
};
constexpr HfNeutral kQwenNeutral[] = {
    {"hidden_act", "\"silu\""},
    {"partial_rotary_factor", "1.0"},
    {"use_sliding_window", "false"},
};

constexpr HfArchitecture kArchitectures[] = {
    {"llama", "llama", {}, kLlamaTensors, kLlamaNeutral},
    {"mistral", "llama", {}, kLlamaTensors, kLlamaNeutral},
    {"granite", "granite", kGraniteKeys, kLlamaTensors, kGraniteNeutral},
    {"olmo2", "olmo2", {}, kOlmo2Tensors, kLlamaNeutral},
    {"qwen2", "qwen2", {}, kQwenTensors, kQwenNeutral},
    {"qwen3", "qwen3", {}, kQwenTensors, kQwenNeutral},
};

// Read by the converter by itself, or without influence on the logits. Biases of attention and
// feed-forward show by their tensors.
constexpr const char* kKnown[] = {
    "model_type",
    "architectures",
    "head_dim",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "attention_bias",
    "mlp_bias",
    "attention_dropout",
    "initializer_range",
    "pretraining_tp",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "use_cache",
    "layer_types",
    "max_window_layers",
    "is_llama_config",
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

bool IsKnown(const HfArchitecture& architecture, const std::string& key) {
  const auto is_key = [&](const HfKey& known) { return key == known.config; };
  return std::any_of(std::begin(kKnown), std::end(kKnown),
                     [&](const char* known) { return key == known; }) ||
         std::any_of(std::begin(kCommonKeys), std::end(kCommonKeys), is_key) ||
         std::any_of(architecture.keys.begin(), architecture.keys.end(), is_key);
}

// With windows switched off, their width is idle.
bool IsIdle(const Json& config, const std::string& key) {
  const Json& windows = JsonField(config, "use_sliding_window");
  return key == "sliding_window" && windows.is_boolean() && !windows.get<bool>();
}

Status CheckLayerTypes(const HfFolder& folder) {
  const Json& types = JsonField(folder.config, "layer_types");
  for (size_t i = 0; types.is_array() && i < types.size(); ++i)
    if (!types[i].is_string() || types[i].get<std::string>() != "full_attention")
      return Status(ErrorCode::kUnsupported, "layers that are not \"full_attention\"",
                    folder.path + "/config.json: layer_types");
  return Status();
}

Status CheckKeys(const HfFolder& folder, const HfArchitecture& architecture) {
  for (const auto& [key, value] : folder.config.items()) {
    if (value.is_null() || IsKnown(architecture, key) || IsIdle(folder.config, key)) continue;
    const auto& neutral = architecture.neutral;
    const auto found = std::find_if(neutral.begin(), neutral.end(),
                                    [&](const HfNeutral& one) { return key == one.config; });
    if (found != neutral.end() && value == Json::parse(found->value, nullptr, false)) continue;
    std::string message = GgufQuote(key) + " = " +
                          GgufQuote(value.dump(-1, ' ', false, Json::error_handler_t::replace)) +
                          " is not converted and may change the model's numbers";
    if (found != neutral.end()) message += std::string("; only ") + found->value + " is accepted";
    return Status(ErrorCode::kUnsupported, message, folder.path + "/config.json");
  }
  return CheckLayerTypes(folder);
}

}  // namespace

std::span<const HfKey> HfCommonKeys() { return kCommonKeys; }

Result<const HfArchitecture*> FindHfArchitecture(const HfFolder& folder) {
  const std::string type = JsonText(folder.config, "model_type");
  std::string known;
  for (const HfArchitecture& architecture : kArchitectures) {
    if (type == architecture.model_type) {
      LULL_RETURN_IF_ERROR(CheckKeys(folder, architecture));
      return &architecture;
    }
    known += std::string(known.empty() ? "" : ", ") + architecture.model_type;
  }
  return Status(ErrorCode::kUnsupported, "model_type " + GgufQuote(type) + " is not converted",
                folder.path + "/config.json", "these are: " + known);
}

}  // namespace lull
