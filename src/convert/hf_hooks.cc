#include "convert/hf_hooks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/json_text.h"

namespace lull::hf {
namespace {

using Json = nlohmann::json;

// heads * width of a head
Status AddInner(const HfConfig& config, const char* heads_key, const char* width_key,
                HfOutput* out) {
  LULL_ASSIGN_OR_RETURN(const uint64_t heads, config.Uint(heads_key));
  LULL_ASSIGN_OR_RETURN(const uint64_t width, config.Uint(width_key));
  if (heads * width > UINT32_MAX) return config.Bad("out of range", heads_key);
  out->AddUint("ssm.inner_size", heads * width);
  return Status();
}

std::vector<bool> LayersOf(const HfConfig& config, const char* key, const char* types) {
  std::vector<bool> result;
  const Json& list = config.Field(key);
  for (size_t i = 0; list.is_array() && i < list.size(); ++i)
    result.push_back(list[i].is_string() && IsOneOf(types, list[i].get<std::string>()));
  return result;
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

// Widths of time steps are not bounded: [0, infinity], as JSON has no word for it.
Status CheckTimeSteps(const HfConfig& config) {
  const Json& limit = config.Field("time_step_limit");
  if (limit.is_null()) return Status();
  const bool none = limit.is_array() && limit.size() == 2 && limit[0].is_number() &&
                    limit[0].get<double>() == 0.0 && !limit[1].is_number();
  return none ? Status() : config.Unsupported("time steps that are bounded", "time_step_limit");
}

constexpr const char* kTemperature = "llama_4_scaling_beta";

}  // namespace

// Norms that subtract the mean have a key of their own.
Status AddCohere2(const HfConfig& config, HfOutput* out) {
  LULL_ASSIGN_OR_RETURN(const double epsilon, config.Number("layer_norm_eps"));
  out->writer.RemoveKey(out->Key("attention.layer_norm_rms_epsilon"));
  out->writer.AddFloat32(out->Key("attention.layer_norm_epsilon"), static_cast<float>(epsilon));
  return Status();
}

// Of the layers with full attention, which all have the same.
Status PrepareGemma4(HfFolder* folder) {
  const HfConfig config(*folder);
  const Json layers = JsonField(folder->config, "per_layer_config");
  const std::vector<bool> full = LayersOf(config, "layer_types", "full_attention");
  if (full.empty()) return config.Unsupported("layers without a type", "layer_types");
  const std::pair<const char*, const char*> names[] = {
      {"head_dim", "global_head_dim"}, {"num_key_value_heads", "num_global_key_value_heads"}};
  for (const auto& [own, global] : names) {
    Json value = JsonField(folder->config, global);
    for (size_t i = 0; i < full.size(); ++i) {
      const Json& given = JsonField(JsonField(layers, std::to_string(i).c_str()), own);
      if (given.is_null()) continue;
      if (!full[i] || (!value.is_null() && value != given))
        return config.Unsupported("layers of one type with other heads", "per_layer_config");
      value = given;
    }
    folder->config[global] = value.is_null() ? JsonField(folder->config, own) : value;
  }
  return Status();
}

Status AddGemma4(const HfConfig& config, HfOutput* out) {
  const auto is_true = [&config](const char* key) { return config.Field(key) == true; };
  const std::vector<bool> windowed = LayersOf(config, "layer_types", "sliding_attention");
  LULL_ASSIGN_OR_RETURN(const uint64_t head, config.Uint("head_dim"));
  out->AddUint("attention.key_length_swa", head);
  out->AddUint("attention.value_length_swa", head);
  out->AddUint("rope.dimension_count_swa", head);
  out->writer.AddBoolArray(out->Key("attention.sliding_window_pattern"), windowed);
  LULL_ASSIGN_OR_RETURN(const uint64_t local, config.Uint("num_key_value_heads"));
  LULL_ASSIGN_OR_RETURN(const uint64_t global, config.Uint("num_global_key_value_heads"));
  LULL_ASSIGN_OR_RETURN(const uint64_t ffn, config.Uint("intermediate_size"));
  LULL_ASSIGN_OR_RETURN(const uint64_t shared, config.Uint("num_kv_shared_layers"));
  const bool wide = is_true("use_double_wide_mlp");
  if (local > 1 << 16 || global > 1 << 16 || ffn > 1 << 30 || shared > windowed.size())
    return config.Bad("out of range", "num_kv_shared_layers");
  std::vector<int32_t> kv_heads, widths;
  for (size_t i = 0; i < windowed.size(); ++i) {
    kv_heads.push_back(static_cast<int32_t>(windowed[i] ? local : global));
    widths.push_back(static_cast<int32_t>(wide && i >= windowed.size() - shared ? 2 * ffn : ffn));
  }
  out->writer.AddInt32Array(out->Key("attention.head_count_kv"), kv_heads);
  out->writer.AddInt32Array(out->Key("feed_forward_length"), widths);
  if (!is_true("enable_moe_block")) return Status();
  for (const auto& [from, to] :
       {std::pair("num_experts", "expert_count"), std::pair("top_k_experts", "expert_used_count"),
        std::pair("moe_intermediate_size", "expert_feed_forward_length")}) {
    LULL_ASSIGN_OR_RETURN(const uint64_t number, config.Uint(from));
    out->AddUint(to, number);
  }
  return Status();
}

Status CheckGptOss(const HfConfig& config, HfOutput*) {
  const Json& quantization = config.Field("quantization_config");
  if (quantization.is_null() || JsonText(quantization, "quant_method") == "mxfp4") return Status();
  return config.Unsupported("weights of another kind than mxfp4", "quantization_config");
}

// Delta nets in all layers but every so many. Positions of images' tokens have three parts, which
// text does not tell apart.
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
  out->AddUint("full_attention_interval", interval);
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
Status AddDeepseek2(const HfConfig& config, HfOutput* out) {
  LULL_ASSIGN_OR_RETURN(const uint64_t latent, config.Uint("kv_lora_rank"));
  LULL_ASSIGN_OR_RETURN(const uint64_t still, config.Uint("qk_nope_head_dim"));
  LULL_ASSIGN_OR_RETURN(const uint64_t rotated, config.Uint("qk_rope_head_dim"));
  const std::string method = JsonText(config.folder().config, "topk_method");
  if (method != "greedy" && method != "group_limited_greedy")
    return config.Unsupported("another choice of experts than the greedy one", "topk_method");
  const Json& norm = config.Field("norm_topk_prob");
  out->AddUint("attention.head_count_kv", 1);
  out->AddUint("attention.key_length", latent + rotated);
  out->AddUint("attention.value_length", latent);
  out->AddUint("attention.key_length_mla", still + rotated);
  out->AddUint("expert_gating_func", 1);
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

// Layers of attention and of convolution; how wide the feed-forward is follows from its matrix.
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
Status AddTemperature(const HfConfig& config, HfOutput* out) {
  const Json& beta = JsonField(config.Field("rope_parameters|rope_scaling"), kTemperature);
  if (beta.is_number())
    out->writer.AddFloat32(out->Key("attention.temperature_scale"), beta.get<float>());
  return Status();
}

// Every fourth layer does not rotate, in GGUF's architecture; here it is a list.
Status CheckSmolLm3(const HfConfig& config, HfOutput*) {
  const Json& layers = config.Field("no_rope_layers");
  for (size_t i = 0; layers.is_array() && i < layers.size(); ++i)
    if (layers[i] != Json((i + 1) % 4 != 0 ? 1 : 0))
      return config.Unsupported("another layer than every fourth without rotation",
                                "no_rope_layers");
  return Status();
}

}  // namespace lull::hf
