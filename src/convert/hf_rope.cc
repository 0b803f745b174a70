#include "convert/hf_rope.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "formats/gguf.h"

namespace lull {
namespace {

using Json = nlohmann::json;

// All that the ways below read; the mrope ones are of images' tokens.
constexpr const char* kKnown[] = {
    "rope_theta",   "rope_type",       "type",
    "factor",       "low_freq_factor", "high_freq_factor",
    "short_factor", "long_factor",     "original_max_position_embeddings",
    "beta_fast",    "beta_slow",       "attention_factor",
    "mscale",       "mscale_all_dim",  "partial_rotary_factor",
    "truncate",     "mrope_section",   "mrope_interleaved",
};

class RopeConverter {
 public:
  RopeConverter(const HfConfig& config, uint64_t head_dim, HfOutput* out)
      : config_(config), head_dim_(head_dim), out_(*out) {}

  Status Convert(bool local) {
    FindObjects();
    LULL_RETURN_IF_ERROR(CheckKnown());
    LULL_ASSIGN_OR_RETURN(base_, Base(both_, "rope_theta", 10000.0));
    LULL_RETURN_IF_ERROR(AddDims());
    out_.writer.AddFloat32(out_.Key("rope.freq_base"), static_cast<float>(base_));
    LULL_RETURN_IF_ERROR(local ? AddLocal() : CheckLocal());
    const std::string type = TypeOf(scaling_);
    if (scaling_.is_null() || type == "default") return Status();
    if (type == "linear") return AddLinear();
    if (type == "llama3") return AddLlama3();
    if (type == "proportional") return AddProportional();
    if (type == "yarn") return AddYarn();
    if (type == "longrope" || type == "su") return AddLongRope();
    return config_.Unsupported("rotary scaling " + GgufQuote(type) + " is not converted",
                               "rope_scaling",
                               "linear, llama3, yarn, longrope and proportional are");
  }
  uint64_t dims() const { return dims_; }

 private:
  static std::string TypeOf(const Json& object) {
    const std::string type = JsonText(object, "rope_type");
    return type.empty() ? JsonText(object, "type") : type;
  }

  // rope_parameters may be one for each kind of layer.
  void FindObjects() {
    const Json& old = config_.Field("rope_scaling");
    both_ = config_.Field("rope_parameters");
    if (JsonField(both_, "full_attention").is_object()) {
      local_ = JsonField(both_, "sliding_attention");
      both_ = Json(JsonField(both_, "full_attention"));
    }
    scaling_ = old.is_object() ? old : both_;
  }

  // Read elsewhere, for the one architecture that has it.
  bool IsTemperature(const std::string& key) const {
    return key == "llama_4_scaling_beta" && std::string_view(out_.architecture) == "mistral3";
  }

  Status CheckKnown() const {
    for (const Json* object : {&scaling_, &both_, &local_}) {
      if (!object->is_object()) continue;
      for (const auto& [key, value] : object->items()) {
        const bool known = IsTemperature(key) ||
                           std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown);
        if (!value.is_null() && !known)
          return config_.Unsupported(GgufQuote(key) + " is not converted", "rope_scaling");
      }
    }
    return Status();
  }

  Result<double> Base(const Json& object, const char* name, double otherwise) const {
    const Json& own = JsonField(object, "rope_theta");
    const Json& base = own.is_null() ? config_.Field(name) : own;
    if (base.is_null()) return otherwise;
    const double value = base.is_number() ? base.get<double>() : 0.0;
    if (!(value >= 1.0 && value <= 1e30)) return config_.Bad("a number from 1 is needed", name);
    return value;
  }

  // How much of a head turns.
  Status AddDims() {
    const Json& own = JsonField(both_, "partial_rotary_factor");
    const Json& share = own.is_null() ? config_.Field("partial_rotary_factor") : own;
    double factor = share.is_number() ? share.get<double>() : share.is_null() ? 1.0 : 0.0;
    turning_ = factor;
    if (TypeOf(scaling_) == "proportional") factor = 1.0;  // the others turn by an angle of 0
    dims_ = factor > 0.0 && factor <= 1.0
                ? static_cast<uint64_t>(static_cast<double>(head_dim_) * factor)
                : 0;
    if (dims_ == 0 || dims_ % 2 != 0)
      return config_.Bad("no even part of a head of " + std::to_string(head_dim_),
                         "partial_rotary_factor");
    out_.writer.AddUint32(out_.Key("rope.dimension_count"), static_cast<uint32_t>(dims_));
    return Status();
  }

  // Layers with a window rotate by the same base, without scaling.
  Status CheckLocal() const {
    if (!local_.is_object()) return Status();
    LULL_ASSIGN_OR_RETURN(const double base, Base(local_, "rope_theta", 10000.0));
    if (TypeOf(local_) == "default" && base == base_) return Status();
    return config_.Unsupported("another rotation of layers with a window", "rope_parameters");
  }

  Status AddLocal() {
    if (local_.is_object() && TypeOf(local_) != "default")
      return config_.Unsupported("rotary scaling of layers with a window", "rope_parameters");
    LULL_ASSIGN_OR_RETURN(const double base, Base(local_, "rope_local_base_freq", 10000.0));
    out_.writer.AddFloat32(out_.Key("rope.freq_base_swa"), static_cast<float>(base));
    return Status();
  }

  Result<double> Positive(const char* name) const {
    const Json& value = JsonField(scaling_, name);
    if (!value.is_number() || !(value.get<double>() > 0.0))
      return config_.Bad("a positive number is needed there", std::string("rope_scaling.") + name);
    return value.get<double>();
  }
  Result<double> PositiveOr(const char* name, double otherwise) const {
    if (JsonField(scaling_, name).is_null()) return otherwise;
    return Positive(name);
  }

  void AddFloat(const char* name, double value) {
    out_.writer.AddFloat32(out_.Key(name), static_cast<float>(value));
  }

  Status AddLinear() {
    LULL_ASSIGN_OR_RETURN(const double factor, Positive("factor"));
    out_.writer.AddString(out_.Key("rope.scaling.type"), "linear");
    AddFloat("rope.scaling.factor", factor);
    return Status();
  }

  void AddFactors(const char* name, const std::vector<float>& factors) {
    std::vector<uint8_t> bytes(factors.size() * sizeof(float));
    memcpy(bytes.data(), factors.data(), bytes.size());
    out_.writer.AddTensor(name, 0, {factors.size()}, std::move(bytes));
  }

  // Long wavelengths are stretched by the factor, short ones not at all, and those between by a
  // blend: one divisor for each pair of a head, as a tensor.
  Status AddLlama3() {
    LULL_ASSIGN_OR_RETURN(const double factor, Positive("factor"));
    LULL_ASSIGN_OR_RETURN(const double low, Positive("low_freq_factor"));
    LULL_ASSIGN_OR_RETURN(const double high, Positive("high_freq_factor"));
    LULL_ASSIGN_OR_RETURN(const double context, Positive("original_max_position_embeddings"));
    if (high <= low)
      return config_.Bad("not above low_freq_factor", "rope_scaling.high_freq_factor");
    std::vector<float> divisors;
    for (uint64_t i = 0; i < dims_ / 2; ++i) {
      const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(dims_);
      const double wavelength = 2.0 * std::numbers::pi * std::pow(base_, exponent);
      const double share = std::clamp((context / wavelength - low) / (high - low), 0.0, 1.0);
      divisors.push_back(static_cast<float>(1.0 / ((1.0 - share) / factor + share)));
    }
    AddFactors("rope_freqs.weight", divisors);
    return Status();
  }

  // Pairs beyond the part that turns are divided so far that they stand still.
  Status AddProportional() {
    const auto turning = static_cast<size_t>(static_cast<double>(head_dim_) * turning_ / 2.0);
    if (turning == 0 || turning > dims_ / 2)
      return config_.Bad("no part of a head", "rope_parameters.partial_rotary_factor");
    std::vector<float> divisors(dims_ / 2, 1e30f);
    std::fill_n(divisors.begin(), turning, 1.0f);
    AddFactors("rope_freqs.weight", divisors);
    return Status();
  }

  static double Sharpening(double factor, double multiplier) {
    return factor <= 1.0 ? 1.0 : 1.0 + 0.1 * multiplier * std::log(factor);
  }

  // Readers of GGUF multiply attn_factor by what follows from the factor.
  Status AddYarn() {
    LULL_ASSIGN_OR_RETURN(const double factor, Positive("factor"));
    LULL_ASSIGN_OR_RETURN(const double original, Positive("original_max_position_embeddings"));
    LULL_ASSIGN_OR_RETURN(const double fast, PositiveOr("beta_fast", 32.0));
    LULL_ASSIGN_OR_RETURN(const double slow, PositiveOr("beta_slow", 1.0));
    const Json& truncate = JsonField(scaling_, "truncate");
    const bool gpt_oss = std::string_view(out_.architecture) == "gpt-oss";
    if (truncate.is_boolean() && !truncate.get<bool>() && !gpt_oss)
      return config_.Unsupported("yarn whose borders are not whole pairs", "rope_scaling.truncate");
    double magnitude = Sharpening(factor, 1.0);
    if (JsonField(scaling_, "mscale").is_number() &&
        JsonField(scaling_, "mscale_all_dim").is_number()) {
      LULL_ASSIGN_OR_RETURN(const double some, Positive("mscale"));
      LULL_ASSIGN_OR_RETURN(const double all, Positive("mscale_all_dim"));
      magnitude = Sharpening(factor, some) / Sharpening(factor, all);
    }
    LULL_ASSIGN_OR_RETURN(magnitude, PositiveOr("attention_factor", magnitude));
    out_.writer.AddString(out_.Key("rope.scaling.type"), "yarn");
    AddFloat("rope.scaling.factor", factor);
    AddFloat("rope.scaling.attn_factor", magnitude / Sharpening(factor, 1.0));
    AddFloat("rope.scaling.yarn_beta_fast", fast);
    AddFloat("rope.scaling.yarn_beta_slow", slow);
    out_.writer.AddUint32(out_.Key("rope.scaling.original_context_length"),
                          static_cast<uint32_t>(std::min(original, 4e9)));
    return Status();
  }

  Status AddFactorList(const char* name, const char* tensor) {
    const Json& list = JsonField(scaling_, name);
    const bool whole = list.is_array() && list.size() == dims_ / 2 &&
                       std::all_of(list.begin(), list.end(), [](const Json& factor) {
                         return factor.is_number() && factor.get<double>() > 0.0;
                       });
    if (!whole)
      return config_.Bad(std::to_string(dims_ / 2) + " positive numbers are needed there",
                         std::string("rope_scaling.") + name);
    AddFactors(tensor, list.get<std::vector<float>>());
    return Status();
  }

  // The context of training may stand beside the factors or in the config itself.
  Status AddLongRope() {
    LULL_RETURN_IF_ERROR(AddFactorList("long_factor", "rope_factors_long.weight"));
    LULL_RETURN_IF_ERROR(AddFactorList("short_factor", "rope_factors_short.weight"));
    LULL_ASSIGN_OR_RETURN(const double whole, config_.Number("max_position_embeddings"));
    double original = whole;
    if (config_.Has("original_max_position_embeddings")) {
      LULL_ASSIGN_OR_RETURN(original, config_.Number("original_max_position_embeddings"));
    }
    LULL_ASSIGN_OR_RETURN(original, PositiveOr("original_max_position_embeddings", original));
    LULL_ASSIGN_OR_RETURN(const double factor, PositiveOr("factor", whole / original));
    if (!(original > 1.0 && original <= 4e9))
      return config_.Bad("out of range", "original_max_position_embeddings");
    double magnitude = factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
    LULL_ASSIGN_OR_RETURN(magnitude, PositiveOr("attention_factor", magnitude));
    out_.writer.AddString(out_.Key("rope.scaling.type"), "longrope");
    AddFloat("rope.scaling.attn_factor", magnitude);
    out_.writer.AddUint32(out_.Key("rope.scaling.original_context_length"),
                          static_cast<uint32_t>(original));
    return Status();
  }

  const HfConfig& config_;
  const uint64_t head_dim_;
  HfOutput& out_;
  Json both_, scaling_, local_;
  double base_ = 0.0, turning_ = 1.0;
  uint64_t dims_ = 0;
};

}  // namespace

Result<uint64_t> AddHfRope(const HfConfig& config, uint64_t head_dim, bool local, HfOutput* out) {
  RopeConverter rope(config, head_dim, out);
  LULL_RETURN_IF_ERROR(rope.Convert(local));
  return rope.dims();
}

}  // namespace lull
