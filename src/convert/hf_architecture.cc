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

constexpr HfTensor kGraniteMoeTensors[] = {
    LULL_ENDS,
    LULL_NORMS_BEFORE,
    LULL_TURNED_QK,
    LULL_VO,
    {"model.layers.{}.block_sparse_moe.router.layer.weight", "blk.{}.ffn_gate_inp.weight",
     Rows::kAsTheyAre, HfValues::kSame, /*f32=*/true},
    {"model.layers.{}.block_sparse_moe.input_linear.weight", "blk.{}.ffn_gate_exps.weight",
     Rows::kFirstHalf},
    {"model.layers.{}.block_sparse_moe.input_linear.weight", "blk.{}.ffn_up_exps.weight",
     Rows::kSecondHalf},
    {"model.layers.{}.block_sparse_moe.output_linear.weight", "blk.{}.ffn_down_exps.weight"},
    {"model.layers.{}.shared_mlp.input_linear.weight", "blk.{}.ffn_gate_shexp.weight",
     Rows::kFirstHalf},
    {"model.layers.{}.shared_mlp.input_linear.weight", "blk.{}.ffn_up_shexp.weight",
     Rows::kSecondHalf},
    {"model.layers.{}.shared_mlp.output_linear.weight", "blk.{}.ffn_down_shexp.weight"},
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
  const char* text;
};
constexpr HfSeveral kSeveral[] = {{"gemma3", "gemma3_text"}};

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
    if (type != "full_attention" && !windowed)
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
  constexpr const char* kOthers[] = {"vision_tower.", "multi_modal_projector.",
                                     "model.vision_tower.", "model.multi_modal_projector."};
  const std::pair<std::string_view, std::string_view> kPrefixes[] = {
      {"language_model.model.", "model."},
      {"language_model.lm_head.", "lm_head."},
      {"model.language_model.", "model."}};
  Json text = folder->config["text_config"];
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"})
    if (JsonField(text, key).is_null()) text[key] = JsonField(folder->config, key);
  text["model_type"] = text_type;
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

std::span<const HfKey> HfCommonKeys() { return kCommonKeys; }

Result<const HfArchitecture*> FindHfArchitecture(HfFolder* folder) {
  for (const HfSeveral& several : kSeveral)
    if (JsonText(folder->config, "model_type") == several.model_type &&
        JsonField(folder->config, "text_config").is_object())
      KeepText(several.text, folder);
  const std::string type = JsonText(folder->config, "model_type");
  std::string known;
  for (const HfArchitecture& architecture : kArchitectures) {
    if (type == architecture.model_type) {
      AddDefaults(architecture, &folder->config);
      LULL_RETURN_IF_ERROR(CheckKeys(HfConfig(*folder), architecture));
      return &architecture;
    }
    known += std::string(known.empty() ? "" : ", ") + architecture.model_type;
  }
  return Status(ErrorCode::kUnsupported, "model_type " + GgufQuote(type) + " is not converted",
                folder->path + "/config.json", "these are: " + known);
}

}  // namespace lull
