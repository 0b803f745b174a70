#include "tests/support/tiny_arch.h"

#include <algorithm>

#include "formats/gguf_writer.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

constexpr uint32_t kSigmoid = 2;

void Lfm2Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  writer->AddUint32(spec.arch + ".shortconv.l_cache", static_cast<uint32_t>(spec.conv_l_cache));
}

void Lfm2MoeKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  Lfm2Keys(spec, writer);
  writer->AddUint32(spec.arch + ".expert_gating_func", kSigmoid);
}

void GraniteKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  writer->AddFloat32(spec.arch + ".logit_scale", 1.25f);
  writer->AddFloat32(spec.arch + ".residual_scale", 0.5f);
  writer->AddFloat32(spec.arch + ".embedding_scale", 2.0f);
  writer->AddFloat32(spec.arch + ".attention.scale", 0.11f);
}

void Cohere2Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  writer->AddFloat32(spec.arch + ".logit_scale", 1.25f);
  writer->AddString(spec.arch + ".rope.scaling.type", "none");
}

void GraniteMoeKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  GraniteKeys(spec, writer);
  writer->AddUint32(spec.arch + ".expert_shared_feed_forward_length", static_cast<uint32_t>(spec.ffn));
}

void Gemma2Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  writer->AddFloat32(spec.arch + ".attn_logit_softcapping", 4.0f);
  writer->AddFloat32(spec.arch + ".final_logit_softcapping", 5.0f);
}

void YarnKeys(const TinyModelSpec& spec, GgufWriter* writer, float factor, uint32_t original) {
  writer->AddString(spec.arch + ".rope.scaling.type", "yarn");
  writer->AddFloat32(spec.arch + ".rope.scaling.factor", factor);
  writer->AddUint32(spec.arch + ".rope.scaling.original_context_length", original);
}

void Mistral3Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  YarnKeys(spec, writer, 16.0f, 32);
  writer->AddFloat32(spec.arch + ".rope.scaling.yarn_beta_fast", 16.0f);
  writer->AddFloat32(spec.arch + ".rope.scaling.yarn_beta_slow", 1.5f);
  writer->AddFloat32(spec.arch + ".rope.scaling.yarn_log_multiplier", 0.7f);
  writer->AddFloat32(spec.arch + ".attention.temperature_scale", 0.3f);
}

void GptOssKeys(const TinyModelSpec& spec, GgufWriter* writer) { YarnKeys(spec, writer, 8.0f, 64); }

// The context of training is shorter than the model's: tests see the long factors.
void Phi3Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  writer->AddString(spec.arch + ".rope.scaling.type", "longrope");
  writer->AddUint32(spec.arch + ".rope.scaling.original_context_length", 128);
  writer->AddFloat32(spec.arch + ".rope.scaling.attn_factor", 1.19f);
  writer->AddUint32(spec.arch + ".attention.sliding_window", 7);  // not to be obeyed
}

void SsmKeys(const TinyModelSpec& spec, GgufWriter* writer, bool groups) {
  const auto put = [&](const char* key, uint64_t value) {
    writer->AddUint32(spec.arch + ".ssm." + key, static_cast<uint32_t>(value));
  };
  put("conv_kernel", spec.conv_l_cache + 1);
  put("inner_size", spec.ssm_inner);
  put("state_size", spec.ssm_state);
  put("time_step_rank", spec.ssm_heads);
  if (groups) put("group_count", spec.ssm_groups);
}

// Converters write these where there is no attention.
void AttentionFreeKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  writer->AddUint32(spec.arch + ".feed_forward_length", 0);
  writer->AddUint32(spec.arch + ".attention.head_count", 0);
}

void MambaKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  AttentionFreeKeys(spec, writer);
  SsmKeys(spec, writer, false);
  writer->AddBool(spec.arch + ".ssm.dt_b_c_rms", false);
}

void Mamba2Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  AttentionFreeKeys(spec, writer);
  SsmKeys(spec, writer, true);
}

// As Granite 4 has it, its attention does not rotate.
void GraniteHybridKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  GraniteMoeKeys(spec, writer);
  SsmKeys(spec, writer, true);
  writer->AddBool(spec.arch + ".rope.scaling.finetuned", false);
}

void Qwen35Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  SsmKeys(spec, writer, true);
  const auto pairs = static_cast<int32_t>(spec.head_dim / 4);
  writer->AddInt32Array(spec.arch + ".rope.dimension_sections",
                        std::vector<int32_t>{(pairs + 2) / 3, (pairs + 1) / 3, pairs / 3, 0});
}

void Qwen35MoeKeys(const TinyModelSpec& spec, GgufWriter* writer) {
  Qwen35Keys(spec, writer);
  writer->AddUint32(spec.arch + ".expert_shared_feed_forward_length", static_cast<uint32_t>(spec.ffn));
}

void Deepseek2Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  const auto put = [&](const char* key, uint64_t value) {
    writer->AddUint32(spec.arch + "." + key, static_cast<uint32_t>(value));
  };
  const TinyLatent latent;
  put("attention.q_lora_rank", latent.q_rank);
  put("attention.kv_lora_rank", latent.kv_rank);
  put("attention.key_length", latent.kv_rank + latent.rotated);
  put("attention.value_length", latent.kv_rank);
  put("attention.key_length_mla", latent.key);
  put("attention.value_length_mla", latent.value);
  put("rope.dimension_count", latent.rotated);
  put("expert_shared_count", 2);
  writer->AddFloat32(spec.arch + ".expert_weights_scale", 1.5f);
  YarnKeys(spec, writer, 40.0f, 64);
  writer->AddFloat32(spec.arch + ".rope.scaling.yarn_log_multiplier", 0.0707f);
}

constexpr uint64_t kPerLayerValues = 32;

bool Gemma4Local(uint64_t layer) { return layer % 2 == 0 || layer < 2; }

void Gemma4Keys(const TinyModelSpec& spec, GgufWriter* writer) {
  const TinyArch& arch = *FindTinyArch(spec.arch);
  const std::string prefix = std::string(arch.file_name) + ".";
  const auto put = [&](const char* key, uint64_t value) {
    writer->AddUint32(prefix + key, static_cast<uint32_t>(value));
  };
  put("attention.key_length_swa", spec.head_dim / 2);
  put("attention.value_length_swa", spec.head_dim / 2);
  put("rope.dimension_count_swa", spec.head_dim / 2);
  put("rope.dimension_count", spec.head_dim);
  writer->AddFloat32(prefix + "rope.freq_base_swa", 1e4f);
  put("attention.shared_kv_layers", arch.shared_kv_layers);
  put("embedding_length_per_layer_input", arch.per_layer_embedding ? kPerLayerValues : 0);
  writer->AddFloat32(prefix + "final_logit_softcapping", 5.0f);
  std::vector<bool> local;
  for (uint64_t layer = 0; layer < spec.layers; ++layer) local.push_back(TinyLocal(arch, layer));
  writer->AddBoolArray(prefix + "attention.sliding_window_pattern", local);
}

}  // namespace

bool TinyLocal(const TinyArch& arch, uint64_t layer) {
  return arch.narrow_windows && Gemma4Local(layer);
}
uint64_t TinyPerLayerValues() { return kPerLayerValues; }

const std::vector<TinyArch>& TinyArchs() {
  static const std::vector<TinyArch> archs = {
      {.name = "llama", .rope_base = 1e4},
      {.name = "gemma3", .layers = 7, .kv_heads = 1, .tokenizer = "llama", .sliding_window = true,
       .head_dim_keys = true, .post_norms = true, .head_norms = true, .scaled_embedding = true},
      {.name = "lfm2", .layers = 4, .recurrent = TinyMixer::kShortConv, .kv_heads_array = true,
       .output_norm_of_embedding = true, .head_norms = true, .add_keys = Lfm2Keys},
      {.name = "lfm2moe", .layers = 4, .recurrent = TinyMixer::kShortConv, .kv_heads_array = true,
       .output_norm_of_embedding = true, .head_norms = true, .experts = true,
       .dense_lead = true, .router_selection_bias = true, .add_keys = Lfm2MoeKeys},
      {.name = "qwen2", .qkv_bias = true},
      {.name = "qwen3", .wide_heads = true, .head_dim_keys = true, .head_norms = true},
      {.name = "qwen3moe", .wide_heads = true, .head_dim_keys = true, .head_norms = true,
       .experts = true},
      {.name = "smollm3", .layers = 4, .score_gain = 0.9f},
      {.name = "granite", .add_keys = GraniteKeys},
      {.name = "granitemoe", .experts = true, .shared_expert = true, .expert_ffn_key = false,
       .add_keys = GraniteMoeKeys},
      {.name = "olmo2", .layers = 5, .sliding_window = true, .pre_norms = false, .post_norms = true,
       .whole_norms = true, .always_untied = true},
      {.name = "gemma2", .layers = 3, .tokenizer = "llama", .sliding_window = true,
       .wide_heads = true, .head_dim_keys = true, .post_norms = true, .scaled_embedding = true,
       .always_tied = true, .add_keys = Gemma2Keys},
      {.name = "phi3", .tokenizer = "llama", .fused_qkv = true, .fused_gate_up = true,
       .add_keys = Phi3Keys, .long_rope = true, .title = "Phi"},
      {.name = "mistral3", .add_keys = Mistral3Keys},
      {.name = "gpt-oss", .layers = 2, .sliding_window = true, .head_dim_keys = true,
       .qkv_bias = true, .o_bias = true, .sinks = true, .experts = true, .expert_biases = true,
       .ffn_norm = "post_attention_norm.weight", .always_untied = true, .add_keys = GptOssKeys,
       .score_gain = 0.9f, .expert_gain = 0.5f},
      {.name = "mamba", .recurrent = TinyMixer::kMamba, .attention_period = 0,
       .feed_forward = false, .add_keys = MambaKeys},
      {.name = "mamba2", .recurrent = TinyMixer::kMamba2, .attention_period = 0,
       .feed_forward = false, .add_keys = Mamba2Keys},
      {.name = "granitehybrid", .layers = 4, .recurrent = TinyMixer::kMamba2,
       .kv_heads_array = true, .experts = true, .shared_expert = true, .expert_ffn_key = false,
       .add_keys = GraniteHybridKeys},
      {.name = "qwen35", .layers = 4, .recurrent = TinyMixer::kDelta, .attention_period = 4,
       .gated_attention = true, .half_rotation = true, .wide_heads = true, .head_dim_keys = true,
       .head_norms = true, .ffn_norm = "post_attention_norm.weight", .add_keys = Qwen35Keys},
      {.name = "qwen35moe", .layers = 4, .recurrent = TinyMixer::kDelta, .attention_period = 4,
       .gated_attention = true, .half_rotation = true, .wide_heads = true, .head_dim_keys = true,
       .head_norms = true, .experts = true, .shared_expert = true, .shared_expert_router = true,
       .ffn_norm = "post_attention_norm.weight", .add_keys = Qwen35MoeKeys,
       .expert_gain = 0.5f},
      // Layers 3 and 5 are full, 4 and 5 read what 2 and 3 have stored.
      {.name = "gemma4-e", .file_name = "gemma4", .layers = 6, .tokenizer = "llama",
       .sliding_window = true, .wide_heads = true, .head_dim_keys = true, .post_norms = true,
       .head_norms = true, .scaled_embedding = true, .add_keys = Gemma4Keys, .score_gain = 0.8f,
       .narrow_windows = true, .shared_kv_layers = 2, .per_layer_embedding = true,
       .out_scale = true},
      {.name = "gemma4-moe", .file_name = "gemma4", .layers = 4, .tokenizer = "llama",
       .sliding_window = true, .wide_heads = true, .head_dim_keys = true, .post_norms = true,
       .head_norms = true, .scaled_embedding = true, .experts = true, .add_keys = Gemma4Keys,
       .score_gain = 0.8f, .narrow_windows = true, .values_of_keys = true,
       .dense_beside_experts = true, .out_scale = true},
      {.name = "deepseek2", .layers = 3, .kv_heads = 1, .experts = true, .dense_lead = true,
       .shared_expert = true, .always_untied = false, .add_keys = Deepseek2Keys, .expert_gain = 0.5f,
       .latent = true},
      {.name = "glm4", .rope_base = 1e4, .half_rotation = true, .post_norms = true,
       .qkv_bias = true, .fused_gate_up = true},
      {.name = "cohere2", .layers = 4, .sliding_window = true, .layer_norm = true,
       .parallel = true, .always_tied = true, .add_keys = Cohere2Keys, .score_gain = 0.9f},
  };
  return archs;
}

const TinyArch* FindTinyArch(std::string_view name) {
  const std::vector<TinyArch>& archs = TinyArchs();
  const auto found = std::find_if(archs.begin(), archs.end(),
                                  [&](const TinyArch& arch) { return name == arch.name; });
  return found == archs.end() ? nullptr : &*found;
}

}  // namespace lull
