#include "convert/hf_architecture.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "convert/convert.h"
#include "convert/hf_hooks.h"
#include "convert/hf_tables.h"
#include "formats/gguf.h"

namespace lull {
namespace hf {
namespace {

using Json = nlohmann::json;

constexpr HfKey kCommonKeys[] = {
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size|block_ff_dim", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv", Kind::kUint, false},
    {"vocab_size", "vocab_size"},
    {"rms_norm_eps|norm_eps|layer_norm_eps", "attention.layer_norm_rms_epsilon", Kind::kFloat},
};

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
     .defaults = R"({"partial_rotary_factor": 0.25})",
     .layer_types = "full_attention|linear_attention",
     .more = AddQwen35,
     .more_reads = kQwen35Reads},
    {.model_type = "qwen3_5_moe_text",
     .gguf = "qwen35moe",
     .keys = kQwen35MoeKeys,
     .tensors = kQwen35MoeTensors,
     .neutral = kQwen35Neutral,
     .defaults = R"({"partial_rotary_factor": 0.25})",
     .layer_types = "full_attention|linear_attention",
     .more = AddQwen35,
     .more_reads = kQwen35Reads},
    {.model_type = "cohere2",
     .gguf = "cohere2",
     .keys = kCohere2Keys,
     .tensors = kCohere2Tensors,
     .neutral = kCohere2Neutral,
     .defaults = R"({"tie_word_embeddings": true})",
     .window_period = 4,
     .more = AddCohere2,
     .more_reads = kCohere2Reads},
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
     .neutral = kPhi3Neutral,
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
    {.model_type = "gemma4_text",
     .gguf = "gemma4",
     .keys = kGemma4Keys,
     .tensors = kGemma4Tensors,
     .neutral = kGemma4Neutral,
     .defaults = kGemma4Defaults,
     .window_period = 6,
     .local_rope = true,
     .rotated_width = "global_head_dim",
     .prepare = PrepareGemma4,
     .more = AddGemma4,
     .more_reads = kGemma4Reads},
};

// Folders of text and images: what reads text is a row above.
struct HfSeveral {
  const char* model_type;
  const char* text;  // null: as text_config says
};
constexpr HfSeveral kSeveral[] = {{"gemma3", "gemma3_text"},
                                  {"gemma4", "gemma4_text"},
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
    "sliding_window",          "sliding_window_size",  "sliding_window_pattern",
    "_sliding_window_pattern", "rope_local_base_freq",
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

// Leaves what reads text, under the names of a folder that has nothing else.
void KeepText(const char* text_type, HfFolder* folder) {
  Json text = folder->config["text_config"];
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"})
    if (JsonField(text, key).is_null()) text[key] = JsonField(folder->config, key);
  if (text_type != nullptr) text["model_type"] = text_type;
  folder->config = std::move(text);
  std::map<std::string, const SafetensorsTensor*> kept;
  for (const auto& [name, tensor] : folder->tensors) {
    if (const std::string inner = HfTextName(name); !inner.empty()) kept[inner] = tensor;
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
}  // namespace hf

std::string HfTextName(const std::string& name) {
  constexpr const char* kOthers[] = {"model.visual.",       "mtp.",
                                     "vision_tower.",       "multi_modal_projector.",
                                     "model.vision_tower.", "model.multi_modal_projector.",
                                     "model.embed_vision.", "model.audio_tower.",
                                     "model.embed_audio."};
  constexpr std::pair<std::string_view, std::string_view> kPrefixes[] = {
      {"language_model.model.", "model."},
      {"language_model.lm_head.", "lm_head."},
      {"model.language_model.", "model."}};
  for (const char* other : kOthers)
    if (name.starts_with(other)) return "";
  for (const auto& [outer, plain] : kPrefixes)
    if (name.starts_with(outer)) return std::string(plain) + name.substr(outer.size());
  return name;
}

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

std::string HfTargetName(const HfTensor& row, const std::vector<uint64_t>& numbers) {
  std::string gguf = row.gguf;
  if (const size_t hole = gguf.find("{}"); hole != std::string::npos)
    gguf.replace(hole, 2, std::to_string(numbers[0]));
  return gguf;
}

std::vector<const HfArchitecture*> HfArchitecturesOf(std::string_view gguf) {
  std::vector<const HfArchitecture*> found;
  for (const HfArchitecture& architecture : hf::kArchitectures)
    if (gguf == architecture.gguf) found.push_back(&architecture);
  return found;
}

std::vector<ConvertibleType> ConvertibleTypes() {
  std::vector<ConvertibleType> types;
  const auto add = [&types](const char* model_type, const char* gguf) {
    for (const ConvertibleType& type : types)
      if (type.model_type == model_type && type.architecture == gguf) return;
    types.push_back({model_type, gguf});
  };
  for (const HfArchitecture& architecture : hf::kArchitectures) {
    add(architecture.model_type, architecture.gguf);
    for (const hf::HfSeveral& several : hf::kSeveral)
      if (several.text != nullptr && std::string_view(several.text) == architecture.model_type)
        add(several.model_type, architecture.gguf);
  }
  return types;
}

std::span<const HfKey> HfCommonKeys() { return hf::kCommonKeys; }

Result<const HfArchitecture*> FindHfArchitecture(HfFolder* folder) {
  for (const hf::HfSeveral& several : hf::kSeveral)
    if (JsonText(folder->config, "model_type") == several.model_type &&
        JsonField(folder->config, "text_config").is_object())
      hf::KeepText(several.text, folder);
  const std::string type = JsonText(folder->config, "model_type");
  std::string known;
  for (const HfArchitecture& architecture : hf::kArchitectures) {
    if (type == architecture.model_type && hf::Applies(architecture, folder->config)) {
      hf::AddDefaults(architecture, &folder->config);
      if (architecture.prepare != nullptr) LULL_RETURN_IF_ERROR(architecture.prepare(folder));
      LULL_RETURN_IF_ERROR(hf::CheckKeys(HfConfig(*folder), architecture));
      return &architecture;
    }
    if (architecture.needs == nullptr)
      known += std::string(known.empty() ? "" : ", ") + architecture.model_type;
  }
  return Status(ErrorCode::kUnsupported, "model_type " + GgufQuote(type) + " is not converted",
                folder->path + "/config.json", "these are: " + known);
}

}  // namespace lull
