#include "convert/peft_folder.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/json_text.h"
#include "convert/float_type.h"
#include "convert/hf_architecture.h"
#include "convert/hf_folder.h"
#include "convert/hf_rows.h"
#include "convert/passage.h"
#include "formats/file_kind.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Rows = HfTensor::Rows;

constexpr auto& kConfig = kPeftFiles[0];
constexpr auto& kWeights = kPeftFiles[1];
constexpr uint64_t kMaxRank = 8192;

// The factors of one module.
struct Factors {
  const SafetensorsTensor* a = nullptr;  // [rank, k]
  const SafetensorsTensor* b = nullptr;  // [rows, rank]
};

// "a.b.c": the whole name, or its last parts.
bool Names(const std::string& pattern, const std::string& module) {
  if (module == pattern) return true;
  return module.size() > pattern.size() && module.ends_with(pattern) &&
         module[module.size() - pattern.size() - 1] == '.';
}

class PeftConverter {
 public:
  PeftConverter(std::string folder, const GgufFile& base, const ConvertOptions& options)
      : folder_(std::move(folder)), base_(base), options_(options) {}

  Result<ConvertSummary> Convert(const std::string& path) {
    LULL_ASSIGN_OR_RETURN(config_, ReadHfJson(Where(kConfig)));
    LULL_RETURN_IF_ERROR(CheckConfig());
    LULL_RETURN_IF_ERROR(ReadBase());
    LULL_ASSIGN_OR_RETURN(const auto file, SafetensorsFile::Open(Where(kWeights)));
    LULL_RETURN_IF_ERROR(PairTensors(*file));
    writer_.AddString("general.type", "adapter");
    writer_.AddString("general.architecture", architectures_[0]->gguf);
    writer_.AddString("general.name", fs::path(folder_).filename().string());
    writer_.AddString("adapter.type", "lora");
    writer_.AddFloat32("adapter.lora.alpha", static_cast<float>(alpha_));
    for (const auto& [module, factors] : modules_) LULL_RETURN_IF_ERROR(AddModule(module, factors));
    writer_.set_durable(options_.durable);
    if (options_.progress) writer_.set_progress(options_.progress);
    LULL_RETURN_IF_ERROR(writer_.Write(path));
    return ConvertSummary{architectures_[0]->gguf, writer_.Tensors().size()};
  }

 private:
  std::string Where(const char* file) const { return (fs::path(folder_) / file).string(); }
  Status Bad(const std::string& message, const char* key) const {
    return Status(ErrorCode::kInvalidInput, message, Where(kConfig) + ": " + key);
  }
  Status Unsupported(const std::string& message, const char* key) const {
    return Status(ErrorCode::kUnsupported, message, Where(kConfig) + ": " + key);
  }
  Status BadTensor(ErrorCode code, const std::string& message, const std::string& name) const {
    return Status(code, message, Where(kWeights) + ": tensor " + GgufQuote(name));
  }

  Status CheckConfig() {
    if (!config_.is_object()) return Bad("no object", kConfig);
    if (JsonText(config_, "peft_type") != "LORA")
      return Unsupported("adapters of type " + GgufQuote(JsonText(config_, "peft_type")) +
                             " are not converted, LORA are",
                         "peft_type");
    LULL_RETURN_IF_ERROR(CheckVariants());
    LULL_RETURN_IF_ERROR(CheckStart());
    for (const char* patterns : {"rank_pattern", "alpha_pattern"})
      LULL_RETURN_IF_ERROR(CheckPatterns(patterns));
    const std::string bias = JsonText(config_, "bias");
    if (!bias.empty() && bias != "none") return Unsupported("biases are not converted", "bias");
    const Json &rank = JsonField(config_, "r"), &alpha = JsonField(config_, "lora_alpha");
    if (!IsRank(rank)) return Bad("a number in its range is needed there", "r");
    if (!IsAlpha(alpha)) return Bad("a number in its range is needed there", "lora_alpha");
    rank_ = rank.get<double>();
    alpha_ = alpha.get<double>();
    const Json& rs = JsonField(config_, "use_rslora");
    rslora_ = rs.is_boolean() && rs.get<bool>();
    return Status();
  }

  // How the factors began is nobody's business, unless the weights beside them were changed then:
  // pissa, olora, corda, loftq, lora_ga, and perhaps what is not known yet.
  Status CheckStart() const {
    std::string start = JsonText(config_, "init_lora_weights");
    std::ranges::transform(start, start.begin(), [](unsigned char c) { return std::tolower(c); });
    constexpr std::string_view kHarmless[] = {"",    "true",       "false", "gaussian",
                                              "eva", "orthogonal", "mica"};
    if (std::ranges::find(kHarmless, start) != std::end(kHarmless)) return Status();
    return Unsupported("adapters that began as " + GgufQuote(start) +
                           " may belong to changed weights, and are not converted",
                       "init_lora_weights");
  }

  // PEFT names its variants of LoRA use_... or ..._config, so new ones are known as such.
  Status CheckVariants() const {
    constexpr std::string_view kHarmless[] = {
        "use_rslora",    "eva_config",     "corda_config", "lora_ga_config",
        "loftq_config",  "runtime_config",  // how the factors begin, or where they lie
        "velora_config",                    // the backward pass alone
    };
    // target_parameters: of experts, which have no modules of their own.
    constexpr std::string_view kOthers[] = {"fan_in_fan_out",          "lora_bias",
                                            "alora_invocation_tokens", "modules_to_save",
                                            "trainable_token_indices", "layer_replication",
                                            "target_parameters"};
    for (const auto& [key, value] : config_.items()) {
      const bool idle =
          value.is_null() || value == false || (value.is_structured() && value.empty());
      const bool variant = key.starts_with("use_") || key.ends_with("_config");
      if (idle || std::ranges::find(kHarmless, key) != std::end(kHarmless)) continue;
      if (variant || std::ranges::find(kOthers, key) != std::end(kOthers))
        return Unsupported("adapters with " + GgufQuote(key) + " are not converted", key.c_str());
    }
    return Status();
  }

  static bool IsRank(const Json& value) {
    return value.is_number_unsigned() && value.get<uint64_t>() >= 1 &&
           value.get<uint64_t>() <= kMaxRank;
  }
  static bool IsAlpha(const Json& value) {
    return value.is_number() && value.get<double>() >= 1e-6 && value.get<double>() <= 1e6;
  }

  // Names are read, regular expressions are not: one that matched nothing here would be lost.
  Status CheckPatterns(const char* key) const {
    const Json& entries = JsonField(config_, key);
    if (!entries.is_object()) return Status();
    const bool ranks = std::string_view(key) == "rank_pattern";
    for (const auto& [pattern, value] : entries.items()) {
      if (!(ranks ? IsRank(value) : IsAlpha(value)))
        return Bad("a number in its range is needed for " + GgufQuote(pattern), key);
      if (pattern.empty() || pattern.find_first_of("\\^$*+?()[]{}|") != std::string::npos)
        return Unsupported(
            GgufQuote(pattern) + " is a regular expression; names of modules are read", key);
    }
    return Status();
  }

  // No two entries name the same module: which comes first counts for PEFT, and is not kept here.
  // One that names none is passed over, as PEFT does.
  Status CheckUse(const char* key) const {
    const Json& entries = JsonField(config_, key);
    if (!entries.is_object()) return Status();
    std::map<std::string, std::string> named;  // module, by whom
    for (const auto& [pattern, value] : entries.items()) {
      for (const auto& [module, factors] : modules_) {
        if (!Names(pattern, module)) continue;
        if (!named.emplace(module, pattern).second)
          return Unsupported(GgufQuote(module) + " is named by two entries", key);
      }
    }
    return Status();
  }

  Status ReadBase() {
    if (const Status is_model = CheckIsModel(base_); !is_model.ok())
      return base_.Locate(is_model.error());
    LULL_ASSIGN_OR_RETURN(const std::string_view name, base_.GetString("general.architecture"));
    architectures_ = HfArchitecturesOf(name);
    if (architectures_.empty())
      return Status(ErrorCode::kUnsupported,
                    "PEFT adapters of " + GgufQuote(name) + " models are not converted", folder_,
                    "convert it with llama.cpp's convert_lora_to_gguf.py");
    const std::string prefix = std::string(name) + ".";
    heads_.heads = UintOr(prefix + "attention.head_count", 0);
    heads_.kv_heads = UintOr(prefix + "attention.head_count_kv", heads_.heads);
    const uint64_t width = UintOr(prefix + "embedding_length", 0);
    heads_.head_dim =
        UintOr(prefix + "attention.key_length", heads_.heads == 0 ? 0 : width / heads_.heads);
    heads_.delta_keys = UintOr(prefix + "ssm.group_count", 0);
    heads_.delta_values = UintOr(prefix + "ssm.time_step_rank", 0);
    heads_.delta_key_width = UintOr(prefix + "ssm.state_size", 0);
    return Status();
  }

  // A number of the base; of one for each layer, the largest: some layers have no heads. 0 where no
  // model has so many.
  uint64_t UintOr(const std::string& key, uint64_t fallback) const {
    constexpr uint64_t kMost = uint64_t{1} << 24;
    if (const auto value = base_.GetUint(key); value.ok()) return *value <= kMost ? *value : 0;
    const auto values = base_.GetIntArray(key);
    if (!values.ok() || values->empty()) return fallback;
    const int64_t most = std::ranges::max(*values);
    return most < 0 || static_cast<uint64_t>(most) > kMost ? 0 : static_cast<uint64_t>(most);
  }

  Status PairTensors(const SafetensorsFile& file) {
    constexpr std::string_view kPrefix = "base_model.model.";
    for (const SafetensorsTensor& tensor : file.tensors()) {
      std::string name = tensor.name;
      const bool is_a = name.find(".lora_A.") != std::string::npos;
      const size_t at = name.find(is_a ? ".lora_A." : ".lora_B.");
      const std::string rest = at == std::string::npos ? "" : name.substr(at + 8);
      const bool known =
          name.starts_with(kPrefix) && (rest == "weight" || rest == "default.weight");
      if (!known)
        return BadTensor(ErrorCode::kUnsupported,
                         "it is neither lora_A nor lora_B of a module's weight", name);
      const std::string module = name.substr(kPrefix.size(), at - kPrefix.size());
      if (HfTextName(module).empty()) continue;  // of images: text is answered the same without it
      Factors& factors = modules_[module];
      const SafetensorsTensor*& factor = is_a ? factors.a : factors.b;
      if (factor != nullptr)
        return BadTensor(ErrorCode::kInvalidModel, "its module has one already", name);
      factor = &tensor;
    }
    for (const char* patterns : {"rank_pattern", "alpha_pattern"})
      LULL_RETURN_IF_ERROR(CheckUse(patterns));
    if (modules_.empty())
      return Status(ErrorCode::kInvalidModel, "the adapter has no tensors", Where(kWeights));
    return Status();
  }

  // A row of a table that takes of a module's weight, and the name of its tensor.
  struct Piece {
    const HfTensor* row = nullptr;
    std::string gguf;
  };

  // What becomes of a module, where the base has it; known: whether models of its kind do. Of
  // latent attention's second K and V matrix nothing: the one of K is turned.
  std::vector<Piece> FindPieces(const std::string& module, bool* known) const {
    for (const HfArchitecture* architecture : architectures_) {
      std::vector<Piece> pieces;
      for (const HfTensor& row : architecture->tensors) {
        std::string gguf = TargetOf(row, module + ".weight");
        *known |= !gguf.empty();
        if (!gguf.empty() && base_.FindTensor(gguf) != nullptr)
          pieces.push_back({&row, std::move(gguf)});
      }
      if (!pieces.empty()) return pieces;
    }
    return {};
  }

  static std::string TargetOf(const HfTensor& row, const std::string& name) {
    std::vector<uint64_t> numbers;
    const bool plain = row.gguf != nullptr && row.values == HfValues::kSame &&
                       row.shape == HfTensor::Shape::kSame && row.rows != Rows::kLatentK &&
                       row.rows != Rows::kLatentV;
    if (!plain || !MatchHfName(row.name, name, &numbers)) return "";
    const bool experts =
        numbers.size() > 1 || std::string_view(row.gguf).find("_exps.") != std::string_view::npos;
    return experts ? "" : HfTargetName(row, numbers);
  }

  // The value of a pattern's entry that names the module, else the default.
  double Of(const std::string& module, const char* patterns, double fallback) const {
    const Json& entries = JsonField(config_, patterns);
    if (!entries.is_object()) return fallback;
    for (const auto& [pattern, value] : entries.items())
      if (value.is_number() && Names(pattern, module)) return value.get<double>();
    return fallback;
  }

  Status AddModule(const std::string& module, const Factors& factors) {
    bool known = false;
    const std::vector<Piece> pieces = FindPieces(HfTextName(module), &known);
    if (pieces.empty() && known)
      return BadTensor(ErrorCode::kInvalidModel, "the base has no such module", module);
    if (pieces.empty())
      return BadTensor(ErrorCode::kUnsupported,
                       std::string("adapters of this module of ") + architectures_[0]->gguf +
                           " models are not converted",
                       module);
    if (factors.a == nullptr || factors.b == nullptr)
      return BadTensor(ErrorCode::kInvalidModel, "lora_A or lora_B is missing", module);
    const std::vector<uint64_t>&a = factors.a->shape, &b = factors.b->shape;
    if (a.size() != 2 || b.size() != 2 || a[0] != b[1] || a[0] == 0 || a[0] > kMaxRank)
      return BadTensor(ErrorCode::kInvalidModel, "its factors have no rank in common", module);
    const double rank = Of(module, "rank_pattern", rank_);
    if (static_cast<double>(a[0]) != rank)
      return BadTensor(ErrorCode::kInvalidModel,
                       "its rank is " + std::to_string(a[0]) + ", adapter_config.json says " +
                           std::to_string(static_cast<uint64_t>(rank)),
                       module);
    const double alpha = Of(module, "alpha_pattern", alpha_);
    const double wanted = alpha / (rslora_ ? std::sqrt(rank) : rank);
    for (const auto& [row, gguf] : pieces) {
      LULL_RETURN_IF_ERROR(AddA(gguf + ".lora_a", *factors.a, row->rows));
      LULL_RETURN_IF_ERROR(AddB(gguf + ".lora_b", *factors.b, row->rows, wanted / (alpha_ / rank)));
    }
    return Status();
  }

  // [rank, k]: its columns are those of the weight.
  Status AddA(const std::string& name, const SafetensorsTensor& tensor, Rows rows) {
    Passage passage;
    const uint64_t rank = tensor.shape[0], k = tensor.shape[1];
    passage.units = passage.units_all = rank;
    passage.width = k;
    passage.units_part = rank;
    if (rows == Rows::kTiledColumns) {
      const uint64_t heads = std::max<uint64_t>(1, heads_.delta_values);
      passage.units = passage.units_all = passage.units_each = heads;
      passage.width = k / heads;
      passage.units_part = rank * heads;
      const Status status = SetHfRows(heads_, rows, &passage);
      if (!status.ok() || k % heads != 0)
        return BadTensor(ErrorCode::kInvalidModel, "not the columns of the model's heads",
                         tensor.name);
    }
    return Add(name, tensor, {k, rank}, 1.0, std::move(passage));
  }

  // [rows, rank]: its rows are those of the weight.
  Status AddB(const std::string& name, const SafetensorsTensor& tensor, Rows rows, double factor) {
    Passage passage;
    passage.units = passage.units_all = tensor.shape[0];
    passage.width = tensor.shape[1];
    if (rows != Rows::kTiledColumns) {
      const Status status = SetHfRows(heads_, rows, &passage);
      if (!status.ok()) return BadTensor(status.code(), status.error().message, tensor.name);
    }
    passage.units_part = passage.units;
    return Add(name, tensor, {passage.width, passage.units}, factor, std::move(passage));
  }

  Status Add(const std::string& name, const SafetensorsTensor& tensor, std::vector<uint64_t> dims,
             double factor, Passage passage) {
    const FloatType* type = FindFloatType(tensor.dtype);
    if (type == nullptr)
      return BadTensor(ErrorCode::kUnsupported,
                       "weights of type " + tensor.dtype + " are not converted", tensor.name);
    const std::string matrix = name.substr(0, name.rfind('.'));
    const std::vector<uint64_t>& weight = base_.FindTensor(matrix)->dims;
    const bool a = name.ends_with("a");
    if (weight.size() != 2 || dims[a ? 0 : 1] != weight[a ? 0 : 1])
      return BadTensor(ErrorCode::kInvalidModel,
                       "the factor does not fit " + matrix + " of shape " + GgufDims(weight),
                       tensor.name);
    passage.parts = {tensor.data};
    passage.from = *type;
    passage.to = *FindFloatType("F32");
    passage.overflow = overflow_;
    const uint64_t width = dims[0];
    writer_.AddTensor(name, passage.to.type_id, std::move(dims),
                      [passage, width, factor](uint64_t first, uint64_t count, uint8_t* out) {
                        passage.Copy(first, count, out);
                        if (factor != 1.0) Scale(out, count * width, factor);
                      });
    return Status();
  }

  static void Scale(uint8_t* values, uint64_t count, double factor) {
    for (uint64_t i = 0; i < count; ++i, values += sizeof(float)) {
      float value = 0.0f;
      memcpy(&value, values, sizeof value);
      value = static_cast<float>(static_cast<double>(value) * factor);
      memcpy(values, &value, sizeof value);
    }
  }

  const std::string folder_;
  const GgufFile& base_;
  const ConvertOptions& options_;
  Json config_;
  std::vector<const HfArchitecture*> architectures_;  // one of which the base was
  HfHeads heads_;
  double rank_ = 0.0, alpha_ = 0.0;
  bool rslora_ = false;
  std::map<std::string, Factors> modules_;
  GgufWriter writer_;
  std::shared_ptr<bool> overflow_ = std::make_shared<bool>(false);  // never: factors become F32
};

}  // namespace

bool IsPeftFolder(const std::string& path) {
  std::error_code ec;
  return fs::is_regular_file(fs::path(path) / kConfig, ec);
}

Result<ConvertSummary> ConvertPeftFolder(const std::string& folder, const GgufFile& base,
                                         const std::string& path, const ConvertOptions& options) {
  std::error_code ec;
  const std::string whole = fs::canonical(folder, ec).string();
  return PeftConverter(ec ? folder : whole, base, options).Convert(path);
}

}  // namespace lull
