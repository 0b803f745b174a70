#include "model/hparams_reader.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace lull {
namespace {

constexpr int64_t kMaxLayers = 1024;

constexpr HparamSpec kCommonHparams[] = {
    {"block_count", &Hparams::num_layers, true, 1, kMaxLayers},
    {"context_length", &Hparams::context, true, 1, 1 << 24},
    {"embedding_length", &Hparams::embedding, true, 1, 1 << 17},
    {"vocab_size", &Hparams::vocab, false, 1, 1 << 24},
};

// 0 makes NaN of a zero row.
constexpr HparamSpec kRmsEpsilon = {"attention.layer_norm_rms_epsilon", &Hparams::rms_eps, true,
                                    1e-12, 1};
constexpr HparamSpec kLayerNormEpsilon = {"attention.layer_norm_epsilon", &Hparams::rms_eps, true,
                                          1e-12, 1};

// Of architectures that have attention.
constexpr HparamSpec kAttentionHparams[] = {
    {"feed_forward_length", &Hparams::ffn_length, true, 1, 1 << 20},
    {"attention.head_count", &Hparams::num_heads, true, 1, 4096},
    {"attention.head_count_kv", &Hparams::kv_heads, false, 0, 4096},
    {"attention.key_length", &Hparams::head_dim, false, 2, 1024, 2},
    {"attention.value_length", &Hparams::value_dim, false, 2, 1024, 2},
    {"attention.scale", &Hparams::attention_scale, false, 0, 1e4},
    {"rope.freq_base", &Hparams::rope_base, false, 1, 1e12},
    {"rope.dimension_count", &Hparams::rope_dims, false, 2, 1024, 2},
    {"rope.scaling.original_context_length", &Hparams::rope_original_context, false, 1, 1 << 24},
    {"rope.scaling.attn_factor", &Hparams::rope_attn_factor, false, 1e-3, 1e3},
    {"rope.scaling.yarn_beta_fast", &Hparams::yarn_beta_fast, false, 1e-3, 1e6},
    {"rope.scaling.yarn_beta_slow", &Hparams::yarn_beta_slow, false, 1e-3, 1e6},
    {"rope.scaling.yarn_log_multiplier", &Hparams::yarn_log_multiplier, false, 0, 1e3},
};

constexpr NeutralKey kCommonNeutralKeys[] = {
    {"attention.causal", 1},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.shared_kv_layers", 0},
    {"attention.sliding_window", 0},
    {"attention.temperature_scale", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"router_logit_softcapping", 0},
    {"embedding_scale", 1},
    {"residual_scale", 1},
    {"logit_scale", 1},
    {"expert_count", 0},
    {"expert_used_count", 0},
    {"expert_group_count", 0},
    {"expert_group_used_count", 0},
    {"expert_shared_count", 0},
    {"expert_weights_norm", 1},
    {"expert_shared_feed_forward_length", 0},
    {"leading_dense_block_count", 0},
    {"nextn_predict_layers", 0},
    {"rope.scaling.alpha", 0},
    {"use_parallel_residual", 0},
};

// Read for rotary scaling below, or without influence on the logits.
constexpr const char* kCommonIgnoredKeys[] = {
    "rope.scaling.type", "rope.scaling.factor", "rope.scale_linear",      "rope.scaling.finetuned",
    "pooling_type",      "tensor_data_layout",  "decoder_start_token_id",
};

std::string Number(double value) {
  char text[32];
  snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

class Reader {
 public:
  Reader(const GgufFile& file, const Architecture& architecture)
      : file_(file),
        architecture_(architecture),
        epsilon_(architecture.layer_norm ? kLayerNormEpsilon : kRmsEpsilon),
        prefix_(std::string(architecture.name) + ".") {}

  Result<Hparams> Read() {
    LULL_RETURN_IF_ERROR(ReadSpecs(kCommonHparams));
    LULL_RETURN_IF_ERROR(ReadSpec(epsilon_));
    if (!architecture_.attention_free) LULL_RETURN_IF_ERROR(ReadSpecs(kAttentionHparams));
    LULL_RETURN_IF_ERROR(ReadSpecs(architecture_.hparams));
    LULL_RETURN_IF_ERROR(CheckUnknownKeys());
    LULL_RETURN_IF_ERROR(ReadRopeScaling());
    LULL_RETURN_IF_ERROR(Derive());
    if (architecture_.plan != nullptr) LULL_RETURN_IF_ERROR(architecture_.plan(h_));
    LULL_RETURN_IF_ERROR(CheckLayers());
    return h_;
  }

 private:
  std::string Key(const char* suffix) const { return prefix_ + suffix; }

  Status Bad(const std::string& key, const std::string& message) const {
    return Status(ErrorCode::kInvalidModel, message, key);
  }

  Status CheckInteger(const HparamSpec& spec, const std::string& key, int64_t value) const {
    if (static_cast<double>(value) < spec.min || static_cast<double>(value) > spec.max)
      return Bad(key, key + " is " + std::to_string(value) + "; allowed: " + Number(spec.min) +
                          " to " + Number(spec.max));
    if (value % spec.multiple_of != 0)
      return Status(ErrorCode::kUnsupported,
                    key + " is " + std::to_string(value) + ", which is not a multiple of " +
                        std::to_string(spec.multiple_of),
                    key);
    return Status::Ok();
  }

  // An integer, or an array of them.
  Result<std::vector<int64_t>> Integers(const std::string& key) const {
    if (file_.TypeOf(key) == GgufValueType::kArray) {
      LULL_ASSIGN_OR_RETURN(const uint64_t size, file_.ArraySize(key));
      if (size == 0 || size > static_cast<uint64_t>(kMaxLayers))
        return Bad(key, key + " has " + std::to_string(size) + " entries");
      return file_.GetIntArray(key);
    }
    if (file_.TypeOf(key) == GgufValueType::kBool) {
      LULL_ASSIGN_OR_RETURN(const bool value, file_.GetBool(key));
      return std::vector<int64_t>{value ? 1 : 0};
    }
    LULL_ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(key));
    return std::vector<int64_t>{value};
  }

  Status ReadSpec(const HparamSpec& spec) {
    const std::string key = Key(spec.key);
    if (!file_.Has(key)) {
      if (!spec.required) return Status::Ok();
      return Bad(key, "the key " + key + " is missing");
    }
    if (const auto* real = std::get_if<float Hparams::*>(&spec.field)) {
      LULL_ASSIGN_OR_RETURN(const double value, file_.GetFloat(key));
      if (!(value >= spec.min && value <= spec.max))
        return Bad(key, key + " is " + Number(value) + "; allowed: " + Number(spec.min) + " to " +
                            Number(spec.max));
      h_.** real = static_cast<float>(value);
      return Status::Ok();
    }
    if (file_.TypeOf(key) == GgufValueType::kBool && spec.max > 1)
      return Bad(key, key + " is a bool; an integer is required");
    LULL_ASSIGN_OR_RETURN(const std::vector<int64_t> values, Integers(key));
    for (int64_t value : values) LULL_RETURN_IF_ERROR(CheckInteger(spec, key, value));
    if (const auto* integer = std::get_if<int64_t Hparams::*>(&spec.field)) {
      // One value for the model; some writers repeat it for every layer.
      for (int64_t value : values)
        if (value != values[0])
          return Status(ErrorCode::kUnsupported, key + " differs between layers", key);
      h_.** integer = values[0];
      return Status::Ok();
    }
    return SetPerLayer(spec, key, values);
  }

  Status SetPerLayer(const HparamSpec& spec, const std::string& key, std::vector<int64_t> values) {
    const auto field = std::get<std::vector<int64_t> Hparams::*>(spec.field);
    if (field == &Hparams::window_layers && file_.TypeOf(key) != GgufValueType::kArray) {
      h_.window_period = values[0];  // every n-th layer is full
      return Status::Ok();
    }
    const size_t layers = static_cast<size_t>(h_.num_layers);
    if (values.size() == 1) values.assign(layers, values[0]);
    if (values.size() != layers)
      return Bad(key, key + " has " + std::to_string(values.size()) + " entries for " +
                          std::to_string(layers) + " layers (" + Key("block_count") + ")");
    h_.*field = std::move(values);
    return Status::Ok();
  }

  Status ReadSpecs(std::span<const HparamSpec> specs) {
    for (const HparamSpec& spec : specs) LULL_RETURN_IF_ERROR(ReadSpec(spec));
    return Status::Ok();
  }

  bool InSchema(std::string_view suffix) const {
    const auto matches = [&](const HparamSpec& spec) { return suffix == spec.key; };
    return matches(epsilon_) ||
           std::any_of(std::begin(kCommonHparams), std::end(kCommonHparams), matches) ||
           (!architecture_.attention_free &&
            std::any_of(std::begin(kAttentionHparams), std::end(kAttentionHparams), matches)) ||
           std::any_of(architecture_.hparams.begin(), architecture_.hparams.end(), matches);
  }

  bool Ignored(std::string_view suffix) const {
    const auto matches = [&](const char* key) { return suffix == key; };
    return std::any_of(std::begin(kCommonIgnoredKeys), std::end(kCommonIgnoredKeys), matches) ||
           std::any_of(architecture_.ignored_keys.begin(), architecture_.ignored_keys.end(),
                       matches);
  }

  const NeutralKey* FindNeutral(std::string_view suffix) const {
    for (const NeutralKey& key : architecture_.neutral_keys)
      if (suffix == key.key) return &key;
    for (const NeutralKey& key : kCommonNeutralKeys)
      if (suffix == key.key) return &key;
    return nullptr;
  }

  // A number of any kind; NaN where the key is none.
  double AsNumber(const std::string& key) const {
    if (auto value = file_.GetFloat(key); value.ok()) return value.value();
    if (auto value = file_.GetInt(key); value.ok()) return static_cast<double>(value.value());
    if (auto value = file_.GetBool(key); value.ok()) return value.value() ? 1.0 : 0.0;
    return std::nan("");
  }

  Status CheckUnknownKeys() const {
    for (const std::string& key : file_.Keys()) {
      if (key.rfind(prefix_, 0) != 0) continue;
      const std::string_view suffix = std::string_view(key).substr(prefix_.size());
      if (InSchema(suffix) || Ignored(suffix)) continue;
      const NeutralKey* neutral = FindNeutral(suffix);
      if (neutral != nullptr && AsNumber(key) == neutral->value) continue;
      std::string message = key + " = " + file_.Describe(key) + " is not implemented for " +
                            architecture_.name + " and may change the model's numbers";
      if (neutral != nullptr) message += "; only " + Number(neutral->value) + " is accepted";
      return Status(ErrorCode::kUnsupported, message, key);
    }
    return Status::Ok();
  }

  Status ReadRopeScaling() {
    const std::string type_key = Key("rope.scaling.type");
    std::string_view type = "linear";  // a bare factor means linear
    if (file_.Has(type_key)) {
      LULL_ASSIGN_OR_RETURN(type, file_.GetString(type_key));
    }
    if (type == "none") return Status::Ok();
    if (type == "yarn") {
      h_.rope_scaling = RopeScaling::kYarn;
    } else if (type == "longrope") {
      h_.rope_scaling = RopeScaling::kLongRope;
    } else if (type != "linear") {
      return Status(ErrorCode::kUnsupported,
                    "rotary scaling \"" + std::string(type.substr(0, 40)) +
                        "\" is not implemented (" + type_key +
                        "); none, linear, yarn and longrope are, and Llama 3 frequency factors",
                    type_key);
    }
    for (const char* suffix : {"rope.scaling.factor", "rope.scale_linear"}) {
      const std::string key = Key(suffix);
      if (!file_.Has(key)) continue;
      const double factor = AsNumber(key);
      if (!(factor == 0.0 || (factor >= 1e-3 && factor <= 1e6)))
        return Bad(key, key + " is " + Number(factor) + "; allowed: 0.001 to 1000000");
      if (factor != 0.0) h_.rope_factor = static_cast<float>(factor);
      break;
    }
    return Status::Ok();
  }

  // Defaults that depend on other keys, and the plan every layer starts from.
  Status Derive() {
    if (h_.draft_layers >= h_.num_layers)
      return Bad(Key("nextn_predict_layers"),
                 Key("nextn_predict_layers") + " is " + std::to_string(h_.draft_layers) + ", but " +
                     Key("block_count") + " is " + std::to_string(h_.num_layers) +
                     ", drafting ones included");
    h_.num_layers -= h_.draft_layers;
    h_.layers.resize(static_cast<size_t>(h_.num_layers));
    return architecture_.attention_free ? Status::Ok() : DeriveAttention();
  }

  Status DeriveAttention() {
    const std::string heads = Key("attention.head_count");
    if (h_.head_dim == 0) {
      if (h_.embedding % h_.num_heads != 0)
        return Bad(heads, Key("embedding_length") + " is " + std::to_string(h_.embedding) +
                              ", which " + heads + " = " + std::to_string(h_.num_heads) +
                              " does not divide, and " + Key("attention.key_length") +
                              " is missing");
      h_.head_dim = h_.embedding / h_.num_heads;
      if (h_.head_dim % 2 != 0 || h_.head_dim > 1024)
        return Status(ErrorCode::kUnsupported,
                      "heads of " + std::to_string(h_.head_dim) + " values (" +
                          std::to_string(h_.embedding) + " / " + std::to_string(h_.num_heads) +
                          ") are not supported: an even number up to 1024 is",
                      heads);
    }
    if (h_.value_dim == 0) h_.value_dim = h_.head_dim;
    if (h_.value_dim != h_.head_dim && !architecture_.latent_attention)
      return Status(ErrorCode::kUnsupported,
                    "K heads of " + std::to_string(h_.head_dim) + " and V heads of " +
                        std::to_string(h_.value_dim) + " values differ, which is not supported",
                    Key("attention.value_length"));
    const int64_t q_dim = h_.num_heads * h_.head_dim;
    if (q_dim > (int64_t{1} << 20))
      return Status(ErrorCode::kUnsupported,
                    std::to_string(h_.num_heads) + " heads of " + std::to_string(h_.head_dim) +
                        " values; 1048576 together are supported",
                    heads);
    if (h_.rope_dims == 0) h_.rope_dims = h_.head_dim;
    if (h_.rope_original_context == 0) h_.rope_original_context = h_.context;
    if (h_.rope_dims > h_.head_dim)
      return Bad(Key("rope.dimension_count"),
                 Key("rope.dimension_count") + " is " + std::to_string(h_.rope_dims) +
                     ", more than the head's " + std::to_string(h_.head_dim) + " values");
    if (h_.kv_heads.empty()) h_.kv_heads.assign(static_cast<size_t>(h_.num_layers), h_.num_heads);
    for (size_t i = 0; i < h_.layers.size(); ++i) {
      h_.layers[i].kv_heads = h_.kv_heads[i];
      h_.layers[i].head_dim = h_.head_dim;
      h_.layers[i].rope_dims = h_.rope_dims;
      h_.layers[i].ffn_length = h_.ffn_length[i];
    }
    return Status::Ok();
  }

  // Where layers differ the common checks have seen one kind alone.
  Status CheckHeads(const LayerPlan& layer) const {
    if (layer.rope_dims > layer.head_dim)
      return Bad(Key("rope.dimension_count"), std::to_string(layer.rope_dims) +
                                                  " values of a head turn, but it has " +
                                                  std::to_string(layer.head_dim));
    const int64_t q_dim = h_.q_dim(layer);
    if (q_dim > (int64_t{1} << 20))
      return Status(ErrorCode::kUnsupported,
                    std::to_string(h_.num_heads) + " heads of " + std::to_string(layer.head_dim) +
                        " values; 1048576 together are supported",
                    Key("attention.head_count"));
    return Status::Ok();
  }

  Status CheckLayers() {
    if (architecture_.attention_free) return Status::Ok();
    if (h_.attention_scale == 0.0f)
      h_.attention_scale = 1.0f / std::sqrt(static_cast<float>(h_.head_dim));
    const std::string kv_key = Key("attention.head_count_kv");
    for (size_t i = 0; i < h_.layers.size(); ++i) {
      const LayerPlan& layer = h_.layers[i];
      if (IsRecurrent(layer.mixer)) continue;
      LULL_RETURN_IF_ERROR(CheckHeads(layer));
      if (layer.kv_heads < 1 || h_.num_heads % layer.kv_heads != 0)
        return Bad(kv_key, "layer " + std::to_string(i) + " has " + std::to_string(layer.kv_heads) +
                               " KV heads for " + std::to_string(h_.num_heads) +
                               " heads; they must divide them");
    }
    const bool any_moe = std::any_of(h_.layers.begin(), h_.layers.end(),
                                     [](const LayerPlan& layer) { return layer.moe; });
    if (!any_moe && h_.num_experts == 0 && h_.experts_used == 0) return Status::Ok();
    if (h_.experts_used < 1 || h_.experts_used > h_.num_experts)
      return Bad(Key("expert_used_count"),
                 Key("expert_used_count") + " is " + std::to_string(h_.experts_used) + ", but " +
                     Key("expert_count") + " is " + std::to_string(h_.num_experts) +
                     ": it must be from 1 to that");
    return Status::Ok();
  }

  const GgufFile& file_;
  const Architecture& architecture_;
  const HparamSpec& epsilon_;
  const std::string prefix_;
  Hparams h_;
};

}  // namespace

Result<Hparams> ReadHparams(const GgufFile& file, const Architecture& architecture) {
  return Reader(file, architecture).Read();
}

}  // namespace lull
