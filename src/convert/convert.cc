#include "convert/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <vector>

#include "base/f16.h"
#include "base/json_text.h"
#include "convert/hf_architecture.h"
#include "convert/hf_folder.h"
#include "convert/hf_tokenizer.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace lull {
namespace {

using Json = nlohmann::json;

struct FloatType {
  const char* name;  // in both formats
  uint32_t type_id;
  uint32_t file_type;  // general.file_type
  size_t bytes;
};
constexpr FloatType kFloatTypes[] = {{"F32", 0, 0, 4}, {"F16", 1, 1, 2}, {"BF16", 30, 32, 2}};

const FloatType* FindFloatType(std::string_view name) {
  for (const FloatType& type : kFloatTypes)
    if (name == type.name) return &type;
  return nullptr;
}

float LoadFloat(const FloatType& type, const uint8_t* from) {
  if (type.bytes == 4) {
    float value = 0;
    memcpy(&value, from, 4);
    return value;
  }
  uint16_t bits = 0;
  memcpy(&bits, from, 2);
  return type.type_id == 1 ? F16ToF32(bits) : Bf16ToF32(bits);
}

void StoreFloat(const FloatType& type, float value, uint8_t* to) {
  if (type.bytes == 4) {
    memcpy(to, &value, 4);
    return;
  }
  const uint16_t bits = type.type_id == 1 ? F32ToF16(value) : F32ToBf16(value);
  memcpy(to, &bits, 2);
}

// One tensor on its way: where its rows lie and what they become.
struct Passage {
  std::span<const uint8_t> data;
  FloatType from, to;
  uint64_t row = 0;                // values that stay together
  uint64_t rows_each = 1;          // of these in a row of the GGUF file
  uint64_t head = 0;               // rows of a head whose halves are interleaved; 0: as they are
  std::shared_ptr<bool> overflow;  // a finite value became infinite

  uint64_t SourceRow(uint64_t row_index) const {
    if (head == 0) return row_index;
    const uint64_t in_head = row_index % head;
    return row_index - in_head + in_head / 2 + (in_head % 2) * (head / 2);
  }

  void Copy(uint64_t first, uint64_t count, uint8_t* out) const {
    for (uint64_t r = first * rows_each; r < (first + count) * rows_each; ++r) {
      const uint8_t* in = data.data() + SourceRow(r) * row * from.bytes;
      if (from.type_id == to.type_id) {
        memcpy(out, in, row * to.bytes);
      } else {
        for (uint64_t i = 0; i < row; ++i) {
          const float value = LoadFloat(from, in + i * from.bytes);
          StoreFloat(to, value, out + i * to.bytes);
          if (std::isfinite(value) && !std::isfinite(LoadFloat(to, out + i * to.bytes)))
            *overflow = true;
        }
      }
      out += row * to.bytes;
    }
  }
};

class Converter {
 public:
  Converter(const HfFolder& folder, const HfArchitecture& architecture,
            const ConvertOptions& options)
      : folder_(folder), architecture_(architecture), options_(options) {}

  Result<ConvertSummary> Convert(const std::string& path) {
    writer_.AddString("general.architecture", architecture_.gguf);
    writer_.AddString("general.type", "model");
    writer_.AddString("general.name", folder_.name);
    writer_.AddUint32("general.quantization_version", 2);
    LULL_RETURN_IF_ERROR(AddKeys(HfCommonKeys()));
    LULL_RETURN_IF_ERROR(AddKeys(architecture_.keys));
    LULL_RETURN_IF_ERROR(AddHeads());
    LULL_RETURN_IF_ERROR(AddRope());
    LULL_ASSIGN_OR_RETURN(const uint64_t vocab, Uint("vocab_size"));
    LULL_RETURN_IF_ERROR(CheckVocab(vocab));
    LULL_RETURN_IF_ERROR(AddHfTokenizer(folder_, vocab, &writer_));
    LULL_RETURN_IF_ERROR(AddTensors());
    const FloatType* main = FindFloatType(main_type_);
    if (main != nullptr) writer_.AddUint32("general.file_type", main->file_type);
    LULL_RETURN_IF_ERROR(Write(path));
    return ConvertSummary{architecture_.gguf, writer_.Tensors().size()};
  }

 private:
  std::string Key(const char* name) const { return std::string(architecture_.gguf) + "." + name; }
  Status Bad(const std::string& message, const std::string& key) const {
    return Status(ErrorCode::kInvalidInput, message, folder_.path + "/config.json: " + key);
  }
  Status BadTensor(ErrorCode code, const std::string& message, const std::string& name) const {
    return Status(code, message, folder_.path + ": tensor " + GgufQuote(name));
  }

  // Before a list of that many texts is made: what the file holds bounds it.
  Status CheckVocab(uint64_t vocab) const {
    const auto embedding = folder_.tensors.find("model.embed_tokens.weight");
    if (embedding == folder_.tensors.end())
      return BadTensor(ErrorCode::kInvalidModel, "it is missing", "model.embed_tokens.weight");
    const std::vector<uint64_t>& shape = embedding->second->shape;
    if (shape.size() != 2 || shape[0] != vocab || vocab == 0 || shape[1] == 0)
      return Bad("not the number of rows of the embedding", "vocab_size");
    return Status();
  }

  Result<uint64_t> Uint(const char* key) const {
    const Json& value = JsonField(folder_.config, key);
    if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT32_MAX)
      return Bad("a number from 0 to 4294967295 is needed there", key);
    return value.get<uint64_t>();
  }

  Status AddKeys(std::span<const HfKey> keys) {
    for (const HfKey& key : keys) {
      const Json& value = JsonField(folder_.config, key.config);
      if (value.is_null() && !key.required) continue;
      if (key.kind == HfKey::Kind::kUint) {
        LULL_ASSIGN_OR_RETURN(const uint64_t number, Uint(key.config));
        writer_.AddUint32(Key(key.gguf), static_cast<uint32_t>(number));
      } else {
        if (!value.is_number() || !(std::abs(value.get<double>()) <= 1e30))
          return Bad("a number is needed there", key.config);
        writer_.AddFloat32(Key(key.gguf), value.get<float>());
      }
    }
    return Status();
  }

  Status AddHeads() {
    LULL_ASSIGN_OR_RETURN(heads_, Uint("num_attention_heads"));
    LULL_ASSIGN_OR_RETURN(const uint64_t hidden, Uint("hidden_size"));
    kv_heads_ = heads_;
    if (!JsonField(folder_.config, "num_key_value_heads").is_null()) {
      LULL_ASSIGN_OR_RETURN(kv_heads_, Uint("num_key_value_heads"));
    } else {
      writer_.AddUint32(Key("attention.head_count_kv"), static_cast<uint32_t>(heads_));
    }
    if (heads_ == 0 || kv_heads_ == 0) return Bad("no heads", "num_attention_heads");
    head_dim_ = hidden / heads_;
    if (!JsonField(folder_.config, "head_dim").is_null()) {
      LULL_ASSIGN_OR_RETURN(head_dim_, Uint("head_dim"));
    } else if (hidden % heads_ != 0) {
      return Bad("it does not divide hidden_size, and head_dim is missing", "num_attention_heads");
    }
    if (head_dim_ == 0 || head_dim_ % 2 != 0) return Bad("heads of an odd width", "head_dim");
    writer_.AddUint32(Key("attention.key_length"), static_cast<uint32_t>(head_dim_));
    writer_.AddUint32(Key("attention.value_length"), static_cast<uint32_t>(head_dim_));
    writer_.AddUint32(Key("rope.dimension_count"), static_cast<uint32_t>(head_dim_));
    return Status();
  }

  // rope_theta and rope_scaling, or both in rope_parameters.
  Status AddRope() {
    const Json& both = JsonField(folder_.config, "rope_parameters");
    const Json& old = JsonField(folder_.config, "rope_scaling");
    const Json& scaling = old.is_object() ? old : both;
    const Json& theta = JsonField(folder_.config, "rope_theta");
    const Json& base = theta.is_null() ? JsonField(both, "rope_theta") : theta;
    if (!base.is_null() && !base.is_number()) return Bad("a number is needed there", "rope_theta");
    rope_base_ = base.is_null() ? 10000.0 : base.get<double>();
    if (!(rope_base_ >= 1.0 && rope_base_ <= 1e30)) return Bad("out of range", "rope_theta");
    writer_.AddFloat32(Key("rope.freq_base"), static_cast<float>(rope_base_));
    std::string type = JsonText(scaling, "rope_type");
    if (type.empty()) type = JsonText(scaling, "type");
    if (scaling.is_null() || type == "default") return Status();
    if (type == "linear") return AddLinearRope(scaling);
    if (type == "llama3") return AddLlama3Rope(scaling);
    return Status(ErrorCode::kUnsupported,
                  "rotary scaling " + GgufQuote(type) + " is not converted",
                  folder_.path + "/config.json: rope_scaling", "linear and llama3 are");
  }

  Result<double> Positive(const Json& object, const char* name) const {
    const Json& value = JsonField(object, name);
    if (!value.is_number() || !(value.get<double>() > 0.0))
      return Bad("a positive number is needed there", std::string("rope_scaling.") + name);
    return value.get<double>();
  }

  Status AddLinearRope(const Json& scaling) {
    LULL_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor"));
    writer_.AddString(Key("rope.scaling.type"), "linear");
    writer_.AddFloat32(Key("rope.scaling.factor"), static_cast<float>(factor));
    return Status();
  }

  // Long wavelengths are stretched by the factor, short ones not at all, and those between by a
  // blend: one divisor for each pair of a head, as a tensor.
  Status AddLlama3Rope(const Json& scaling) {
    LULL_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor"));
    LULL_ASSIGN_OR_RETURN(const double low, Positive(scaling, "low_freq_factor"));
    LULL_ASSIGN_OR_RETURN(const double high, Positive(scaling, "high_freq_factor"));
    LULL_ASSIGN_OR_RETURN(const double context,
                          Positive(scaling, "original_max_position_embeddings"));
    if (high <= low) return Bad("not above low_freq_factor", "rope_scaling.high_freq_factor");
    std::vector<uint8_t> bytes(head_dim_ / 2 * sizeof(float));
    for (uint64_t i = 0; i < head_dim_ / 2; ++i) {
      const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim_);
      const double wavelength = 2.0 * std::numbers::pi * std::pow(rope_base_, exponent);
      const double share = std::clamp((context / wavelength - low) / (high - low), 0.0, 1.0);
      const auto divisor = static_cast<float>(1.0 / ((1.0 - share) / factor + share));
      memcpy(&bytes[i * sizeof(float)], &divisor, sizeof(float));
    }
    writer_.AddTensor("rope_freqs.weight", 0, {head_dim_ / 2}, std::move(bytes));
    return Status();
  }

  // The row of the table that a name fits, and the layer in it, "" where it has none.
  const HfTensor* Find(const std::string& name, std::string* layer) const {
    for (const HfTensor& tensor : architecture_.tensors) {
      const std::string_view pattern = tensor.name;
      const size_t hole = pattern.find("{}");
      layer->clear();
      if (hole == std::string_view::npos) {
        if (name == pattern) return &tensor;
        continue;
      }
      const std::string_view before = pattern.substr(0, hole), after = pattern.substr(hole + 2);
      if (!name.starts_with(before) || !name.ends_with(after) ||
          name.size() <= before.size() + after.size())
        continue;
      *layer = name.substr(before.size(), name.size() - before.size() - after.size());
      const bool number =
          layer->size() <= 4 && layer->find_first_not_of("0123456789") == std::string::npos;
      if (number) return &tensor;
    }
    return nullptr;
  }

  Status AddTensors() {
    const Json& tied = JsonField(folder_.config, "tie_word_embeddings");
    const bool one_head = tied.is_boolean() && tied.get<bool>();
    if (!one_head && !folder_.tensors.contains("lm_head.weight"))
      return BadTensor(ErrorCode::kInvalidModel,
                       "it is missing, and tie_word_embeddings is not true", "lm_head.weight");
    for (const auto& [name, tensor] : folder_.tensors) {
      if (name.ends_with(".rotary_emb.inv_freq")) continue;  // follows from the config
      if (one_head && name == "lm_head.weight") continue;    // the embedding once more
      std::string layer;
      const HfTensor* row = Find(name, &layer);
      if (row == nullptr)
        return BadTensor(ErrorCode::kUnsupported,
                         std::string("no such tensor is known of ") + architecture_.model_type,
                         name);
      std::string gguf = row->gguf;
      if (const size_t hole = gguf.find("{}"); hole != std::string::npos)
        gguf.replace(hole, 2, layer);
      LULL_RETURN_IF_ERROR(AddTensor(*tensor, *row, gguf));
    }
    return Status();
  }

  Status AddTensor(const SafetensorsTensor& tensor, const HfTensor& row, const std::string& name) {
    const FloatType* from = FindFloatType(tensor.dtype);
    if (from == nullptr)
      return BadTensor(ErrorCode::kUnsupported,
                       "weights of type " + tensor.dtype + " are not converted", tensor.name);
    if (tensor.shape.empty() || tensor.shape.size() > 2 || tensor.data.empty())
      return BadTensor(ErrorCode::kInvalidModel, "neither a vector nor a matrix", tensor.name);
    const bool vector = tensor.shape.size() == 1;
    const FloatType* to = vector                  ? FindFloatType("F32")
                          : options_.type.empty() ? from
                                                  : FindFloatType(options_.type);
    Passage passage{
        tensor.data, *from,    *to, vector ? 1 : tensor.shape[1], vector ? tensor.shape[0] : 1,
        0,           overflow_};
    if (row.rows != HfTensor::Rows::kAsTheyAre) {
      const uint64_t heads = row.rows == HfTensor::Rows::kInterleavedQ ? heads_ : kv_heads_;
      if (tensor.shape[0] != heads * head_dim_)
        return BadTensor(ErrorCode::kInvalidModel,
                         std::to_string(tensor.shape[0]) + " rows for " + std::to_string(heads) +
                             " heads of " + std::to_string(head_dim_),
                         tensor.name);
      passage.head = head_dim_;
    }
    if (!vector && main_type_.empty()) main_type_ = to->name;
    std::vector<uint64_t> dims(tensor.shape.rbegin(), tensor.shape.rend());
    writer_.AddTensor(name, to->type_id, std::move(dims),
                      [passage](uint64_t first, uint64_t count, uint8_t* out) {
                        passage.Copy(first, count, out);
                      });
    return Status();
  }

  Status Write(const std::string& path) {
    writer_.set_durable(options_.durable);
    writer_.set_progress([this](uint64_t done, uint64_t total) {
      if (*overflow_) return false;
      return !options_.progress || options_.progress(done, total);
    });
    const Status status = writer_.Write(path);
    if (*overflow_)
      return Status(ErrorCode::kInvalidModel, "a weight is too large for " + options_.type,
                    folder_.path, "convert to BF16 or F32");
    return status;
  }

  const HfFolder& folder_;
  const HfArchitecture& architecture_;
  const ConvertOptions& options_;
  GgufWriter writer_;
  uint64_t heads_ = 0, kv_heads_ = 0, head_dim_ = 0;
  double rope_base_ = 0.0;
  std::string main_type_;
  std::shared_ptr<bool> overflow_ = std::make_shared<bool>(false);
};

}  // namespace

Result<ConvertSummary> ConvertHfFolder(const std::string& folder, const std::string& path,
                                       const ConvertOptions& options) {
  if (!options.type.empty() && FindFloatType(options.type) == nullptr)
    return Status(ErrorCode::kUsage, "no type " + GgufQuote(options.type), "type",
                  "F32, F16 or BF16");
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<HfFolder> opened, HfFolder::Open(folder));
  LULL_ASSIGN_OR_RETURN(const HfArchitecture* architecture, FindHfArchitecture(*opened));
  return Converter(*opened, *architecture, options).Convert(path);
}

}  // namespace lull
