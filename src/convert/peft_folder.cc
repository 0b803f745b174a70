#include "convert/peft_folder.h"

#include <algorithm>
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
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Rows = HfTensor::Rows;

constexpr char kConfig[] = "adapter_config.json";
constexpr char kWeights[] = "adapter_model.safetensors";
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
    writer_.AddString("general.architecture", architecture_->gguf);
    writer_.AddString("general.name", fs::path(folder_).filename().string());
    writer_.AddString("adapter.type", "lora");
    writer_.AddFloat32("adapter.lora.alpha", static_cast<float>(alpha_));
    for (const auto& [module, factors] : modules_) LULL_RETURN_IF_ERROR(AddModule(module, factors));
    writer_.set_durable(options_.durable);
    if (options_.progress) writer_.set_progress(options_.progress);
    LULL_RETURN_IF_ERROR(writer_.Write(path));
    return ConvertSummary{architecture_->gguf, writer_.Tensors().size()};
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
    for (const char* key :
         {"use_dora", "fan_in_fan_out", "lora_bias", "alora_invocation_tokens", "modules_to_save",
          "trainable_token_indices", "megatron_config", "layer_replication"}) {
      const Json& value = JsonField(config_, key);
      const bool idle = value.is_null() || value == false || (value.is_array() && value.empty());
      if (!idle) return Unsupported("adapters with it are not converted", key);
    }
    const std::string init = JsonText(config_, "init_lora_weights");
    for (const char* changed : {"pissa", "olora", "corda", "loftq"})
      if (init.starts_with(changed))
        return Unsupported(
            "adapters that were trained beside changed weights (" + init + ") are not converted",
            "init_lora_weights");
    for (const char* patterns : {"rank_pattern", "alpha_pattern"})
      LULL_RETURN_IF_ERROR(CheckPatterns(patterns));
    const std::string bias = JsonText(config_, "bias");
    if (!bias.empty() && bias != "none") return Unsupported("biases are not converted", "bias");
    LULL_ASSIGN_OR_RETURN(rank_, Number("r", 1, kMaxRank));
    LULL_ASSIGN_OR_RETURN(alpha_, Number("lora_alpha", 1e-6, 1e6));
    const Json& rs = JsonField(config_, "use_rslora");
    rslora_ = rs.is_boolean() && rs.get<bool>();
    return Status();
  }

  // Names are read, regular expressions are not: one that matched nothing here would be lost.
  Status CheckPatterns(const char* key) const {
    const Json& entries = JsonField(config_, key);
    if (!entries.is_object()) return Status();
    for (const auto& [pattern, value] : entries.items()) {
      if (!value.is_number()) return Bad("a number is needed for each name", key);
      if (pattern.empty() || pattern.find_first_of("\\^$*+?()[]{}|") != std::string::npos)
        return Unsupported(
            GgufQuote(pattern) + " is a regular expression; names of modules are read", key);
    }
    return Status();
  }

  // Each entry names a module, and no two the same one.
  Status CheckUse(const char* key) const {
    const Json& entries = JsonField(config_, key);
    if (!entries.is_object()) return Status();
    std::map<std::string, std::string> named;  // module, by whom
    for (const auto& [pattern, value] : entries.items()) {
      bool used = false;
      for (const auto& [module, factors] : modules_) {
        if (!Names(pattern, module)) continue;
        used = true;
        if (!named.emplace(module, pattern).second)
          return Unsupported(GgufQuote(module) + " is named by two entries", key);
      }
      if (!used) return Unsupported(GgufQuote(pattern) + " names no module of the adapter", key);
    }
    return Status();
  }

  Result<double> Number(const char* key, double low, double high) const {
    const Json& value = JsonField(config_, key);
    if (value.is_number() && value.get<double>() >= low && value.get<double>() <= high)
      return value.get<double>();
    return Bad("a number in its range is needed there", key);
  }

  Status ReadBase() {
    LULL_ASSIGN_OR_RETURN(const std::string_view name, base_.GetString("general.architecture"));
    architecture_ = FindHfArchitectureOf(name);
    if (architecture_ == nullptr)
      return Status(ErrorCode::kUnsupported,
                    "PEFT adapters of " + GgufQuote(name) + " models are not converted", folder_,
                    "convert it with llama.cpp's convert_lora_to_gguf.py");
    const std::string prefix = std::string(name) + ".";
    LULL_ASSIGN_OR_RETURN(heads_, base_.GetUint(prefix + "attention.head_count"));
    kv_heads_ = heads_;
    if (const auto kv = base_.GetUint(prefix + "attention.head_count_kv"); kv.ok()) kv_heads_ = *kv;
    if (const auto dim = base_.GetUint(prefix + "attention.key_length"); dim.ok()) {
      head_dim_ = *dim;
    } else {
      LULL_ASSIGN_OR_RETURN(const uint64_t width, base_.GetUint(prefix + "embedding_length"));
      head_dim_ = heads_ == 0 ? 0 : width / heads_;
    }
    return Status();
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
      Factors& factors = modules_[name.substr(kPrefix.size(), at - kPrefix.size())];
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

  // The row of the table for a module's weight, and the tensor it becomes.
  const HfTensor* FindRow(const std::string& module, std::string* gguf) const {
    std::vector<uint64_t> numbers;
    for (const HfTensor& row : architecture_->tensors) {
      const bool plain = row.gguf != nullptr && row.values == HfValues::kSame &&
                         row.shape == HfTensor::Shape::kSame &&
                         (row.rows == Rows::kAsTheyAre || row.rows == Rows::kInterleavedQ ||
                          row.rows == Rows::kInterleavedK);
      if (!plain || !MatchHfName(row.name, module + ".weight", &numbers)) continue;
      if (numbers.size() > 1) continue;  // an expert's
      *gguf = row.gguf;
      if (const size_t hole = gguf->find("{}"); hole != std::string::npos)
        gguf->replace(hole, 2, std::to_string(numbers[0]));
      return &row;
    }
    return nullptr;
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
    std::string gguf;
    const HfTensor* row = FindRow(module, &gguf);
    if (row == nullptr)
      return BadTensor(ErrorCode::kUnsupported,
                       std::string("adapters of this module of ") + architecture_->model_type +
                           " are not converted",
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
    uint64_t head = 0;
    if (row->rows != Rows::kAsTheyAre) {
      head = head_dim_;
      const uint64_t heads = row->rows == Rows::kInterleavedQ ? heads_ : kv_heads_;
      if (b[0] != heads * head || head % 2 != 0)
        return BadTensor(ErrorCode::kInvalidModel, "not the rows of the model's heads", module);
    }
    LULL_RETURN_IF_ERROR(Add(gguf + ".lora_a", *factors.a, 1.0, 0));
    return Add(gguf + ".lora_b", *factors.b, wanted / (alpha_ / rank), head);
  }

  // head: rows of a head whose halves are interleaved; 0: as they are.
  Status Add(const std::string& name, const SafetensorsTensor& tensor, double factor,
             uint64_t head) {
    const FloatType* type = FindFloatType(tensor.dtype);
    if (type == nullptr)
      return BadTensor(ErrorCode::kUnsupported,
                       "weights of type " + tensor.dtype + " are not converted", tensor.name);
    const uint64_t rows = tensor.shape[0], width = tensor.shape[1];
    const auto source = [data = tensor.data, type = *type, width, factor, head](
                            uint64_t first, uint64_t count, uint8_t* out) {
      for (uint64_t r = first; r < first + count; ++r) {
        const uint64_t in_head = head == 0 ? 0 : r % head;
        const uint64_t from = r - in_head + in_head / 2 + (in_head % 2) * (head / 2);
        for (uint64_t i = 0; i < width; ++i, out += sizeof(float)) {
          const float given = LoadFloat(type, &data[(from * width + i) * type.bytes]);
          const auto value = static_cast<float>(static_cast<double>(given) * factor);
          memcpy(out, &value, sizeof(float));
        }
      }
    };
    writer_.AddTensor(name, 0, {width, rows}, source);
    return Status();
  }

  const std::string folder_;
  const GgufFile& base_;
  const ConvertOptions& options_;
  Json config_;
  const HfArchitecture* architecture_ = nullptr;
  uint64_t heads_ = 0, kv_heads_ = 0, head_dim_ = 0;
  double rank_ = 0.0, alpha_ = 0.0;
  bool rslora_ = false;
  std::map<std::string, Factors> modules_;
  GgufWriter writer_;
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
