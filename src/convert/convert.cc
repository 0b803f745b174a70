#include "convert/convert.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "base/json_text.h"
#include "convert/float_type.h"
#include "convert/hf_architecture.h"
#include "convert/hf_config.h"
#include "convert/hf_folder.h"
#include "convert/hf_rope.h"
#include "convert/hf_rows.h"
#include "convert/hf_tokenizer.h"
#include "convert/passage.h"
#include "formats/file_type.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace lull {
namespace {

using Json = nlohmann::json;
using Rows = HfTensor::Rows;

// A tensor of the GGUF file, and what it is made of: by expert where there are several.
struct Target {
  const HfTensor* row = nullptr;
  std::map<uint64_t, const SafetensorsTensor*> sources;
};

class Converter {
 public:
  Converter(const HfFolder& folder, const HfArchitecture& architecture,
            const ConvertOptions& options)
      : folder_(folder),
        config_(folder),
        architecture_(architecture),
        options_(options),
        output_{architecture.gguf, writer_} {}

  Result<ConvertSummary> Convert(const std::string& path) {
    writer_.AddString("general.architecture", architecture_.gguf);
    writer_.AddString("general.type", "model");
    writer_.AddString("general.name", options_.name.empty() ? folder_.name : options_.name);
    writer_.AddUint32("general.quantization_version", 2);
    if (architecture_.attention) LULL_RETURN_IF_ERROR(AddKeys(HfCommonKeys()));
    LULL_RETURN_IF_ERROR(AddKeys(architecture_.keys));
    if (architecture_.attention) LULL_RETURN_IF_ERROR(AddHeads());
    if (architecture_.window_period > 0) LULL_RETURN_IF_ERROR(AddWindows());
    if (architecture_.more != nullptr) LULL_RETURN_IF_ERROR(architecture_.more(config_, &output_));
    LULL_ASSIGN_OR_RETURN(const uint64_t vocab, config_.Uint("vocab_size"));
    LULL_RETURN_IF_ERROR(FindTargets());
    LULL_RETURN_IF_ERROR(CheckVocab(vocab));
    LULL_RETURN_IF_ERROR(AddHfTokenizer(folder_, vocab, &writer_));
    for (const auto& [name, target] : targets_) LULL_RETURN_IF_ERROR(AddTarget(name, target));
    if (const auto type = FindFileType(main_type_); type.has_value())
      writer_.AddUint32("general.file_type", *type);
    LULL_RETURN_IF_ERROR(Write(path));
    return ConvertSummary{architecture_.gguf, writer_.Tensors().size()};
  }

 private:
  std::string Key(const char* name) const { return output_.Key(name); }
  Status BadTensor(ErrorCode code, const std::string& message, const std::string& name) const {
    return Status(code, message, folder_.path + ": tensor " + GgufQuote(name));
  }

  // Before a list of that many texts is made: what the file holds bounds it.
  Status CheckVocab(uint64_t vocab) const {
    const auto embedding = targets_.find("token_embd.weight");
    if (embedding == targets_.end())
      return BadTensor(ErrorCode::kInvalidModel, "it is missing", "the embedding");
    const std::vector<uint64_t>& shape = embedding->second.sources.begin()->second->shape;
    if (shape.size() != 2 || shape[0] != vocab || vocab == 0 || shape[1] == 0)
      return config_.Bad("not the number of rows of the embedding", "vocab_size");
    return Status();
  }

  Status AddKeys(std::span<const HfKey> keys) {
    for (const HfKey& key : keys) {
      if (!config_.Has(key.config) && !key.required) continue;
      if (key.kind == HfKey::Kind::kUint) {
        LULL_ASSIGN_OR_RETURN(const uint64_t number, config_.Uint(key.config));
        writer_.AddUint32(Key(key.gguf), static_cast<uint32_t>(number));
        continue;
      }
      LULL_ASSIGN_OR_RETURN(double number, config_.Number(key.config));
      if (key.kind == HfKey::Kind::kInverseRoot) {
        if (!(number > 0.0)) return config_.Bad("a positive number is needed there", key.config);
        number = 1.0 / std::sqrt(number);
      }
      writer_.AddFloat32(Key(key.gguf), static_cast<float>(number));
    }
    return Status();
  }

  Status AddHeads() {
    LULL_ASSIGN_OR_RETURN(heads_, config_.Uint("num_attention_heads"));
    LULL_ASSIGN_OR_RETURN(const uint64_t hidden, config_.Uint("hidden_size"));
    kv_heads_ = heads_;
    if (config_.Has("num_key_value_heads")) {
      LULL_ASSIGN_OR_RETURN(kv_heads_, config_.Uint("num_key_value_heads"));
    } else {
      writer_.AddUint32(Key("attention.head_count_kv"), static_cast<uint32_t>(heads_));
    }
    if (heads_ == 0 || kv_heads_ == 0) return config_.Bad("no heads", "num_attention_heads");
    head_dim_ = hidden / heads_;
    if (architecture_.rotated_width != nullptr) {
      LULL_ASSIGN_OR_RETURN(head_dim_, config_.Uint(architecture_.rotated_width));
    } else if (config_.Has("head_dim")) {
      LULL_ASSIGN_OR_RETURN(head_dim_, config_.Uint("head_dim"));
    } else if (hidden % heads_ != 0) {
      return config_.Bad("it does not divide hidden_size, and head_dim is missing",
                         "num_attention_heads");
    }
    if (head_dim_ == 0 || head_dim_ % 2 != 0)
      return config_.Bad("heads of an odd width", "head_dim");
    writer_.AddUint32(Key("attention.key_length"), static_cast<uint32_t>(head_dim_));
    writer_.AddUint32(Key("attention.value_length"), static_cast<uint32_t>(head_dim_));
    LULL_ASSIGN_OR_RETURN(rope_dims_,
                          AddHfRope(config_, head_dim_, architecture_.local_rope, &output_));
    return Status();
  }

  // Which layers have a window, where it is not all but every so many.
  Status AddWindows() {
    LULL_ASSIGN_OR_RETURN(const uint64_t window, config_.Uint("sliding_window"));
    LULL_ASSIGN_OR_RETURN(const uint64_t layers, config_.Uint("num_hidden_layers"));
    if (window == 0 || layers > 4096) return config_.Bad("out of range", "sliding_window");
    writer_.AddUint32(Key("attention.sliding_window"), static_cast<uint32_t>(window));
    uint64_t period = architecture_.window_period;
    constexpr char kPeriod[] = "sliding_window_pattern|_sliding_window_pattern";
    if (config_.Has(kPeriod)) {
      LULL_ASSIGN_OR_RETURN(period, config_.Uint(kPeriod));
    }
    if (period == 0) return config_.Bad("out of range", kPeriod);
    const Json& types = config_.Field("layer_types");
    if (types.is_array() && types.size() != layers)
      return config_.Bad("not one for each layer", "layer_types");
    std::vector<bool> windowed, usual;
    for (uint64_t i = 0; i < layers; ++i) {
      usual.push_back((i + 1) % architecture_.window_period != 0);
      windowed.push_back(types.is_array() ? types[i] == "sliding_attention"
                                          : (i + 1) % period != 0);
    }
    if (windowed != usual) writer_.AddBoolArray(Key("attention.sliding_window_pattern"), windowed);
    return Status();
  }

  // Which tensors of the folder go where.
  Status FindTargets() {
    const Json& tied = config_.Field("tie_embedding|tie_word_embeddings");
    const bool one_head = tied.is_boolean() && tied.get<bool>();
    if (!one_head && !folder_.tensors.contains("lm_head.weight"))
      return BadTensor(ErrorCode::kInvalidModel,
                       "it is missing, and tie_word_embeddings is not true", "lm_head.weight");
    std::vector<uint64_t> numbers;
    for (const auto& [name, tensor] : folder_.tensors) {
      if (name.ends_with(".rotary_emb.inv_freq")) continue;  // follows from the config
      if (one_head && name == "lm_head.weight") continue;    // the embedding once more
      bool found = false;
      for (const HfTensor& row : architecture_.tensors) {
        if (!MatchHfName(row.name, name, &numbers)) continue;
        found = true;
        if (row.gguf == nullptr) continue;
        const std::string gguf = HfTargetName(row, numbers);
        Target& target = targets_[gguf];
        target.row = &row;
        if (!target.sources.emplace(numbers.size() > 1 ? numbers[1] : 0, tensor).second)
          return BadTensor(ErrorCode::kInvalidModel, "another tensor is the same part of " + gguf,
                           name);
      }
      if (!found)
        return BadTensor(ErrorCode::kUnsupported,
                         std::string("no such tensor is known of ") + architecture_.model_type,
                         name);
    }
    return Status();
  }

  Status CheckSources(const std::string& name, const Target& target) const {
    const SafetensorsTensor& first = *target.sources.begin()->second;
    if (target.sources.rbegin()->first + 1 != target.sources.size())
      return BadTensor(ErrorCode::kInvalidModel, "an expert is missing", name);
    for (const auto& [expert, source] : target.sources)
      if (source->dtype != first.dtype || source->shape != first.shape)
        return BadTensor(ErrorCode::kInvalidModel, "not of the type or shape of the first expert",
                         source->name);
    if (FindFloatType(first.dtype) == nullptr)
      return BadTensor(ErrorCode::kUnsupported,
                       "weights of type " + first.dtype + " are not converted", first.name);
    const size_t most = target.sources.size() > 1 ? 2 : 3;
    if (first.shape.empty() || first.shape.size() > most || first.data.empty())
      return BadTensor(ErrorCode::kInvalidModel, "neither a vector nor a matrix", first.name);
    return Status();
  }

  // Each head's rows are those of K, without the rotated part, and then those of V.
  Status SetLatentRows(const SafetensorsTensor& source, Rows rows, Passage* passage) const {
    LULL_ASSIGN_OR_RETURN(const uint64_t key, config_.Uint("qk_nope_head_dim"));
    LULL_ASSIGN_OR_RETURN(const uint64_t value, config_.Uint("v_head_dim"));
    if (key == 0 || value == 0 || passage->units_all != heads_ * (key + value))
      return BadTensor(ErrorCode::kInvalidModel, "not the rows of K and V of every head",
                       source.name);
    passage->units_all = key + value;
    passage->units = rows == Rows::kLatentK ? key : value;
    passage->begin = rows == Rows::kLatentK ? 0 : key;
    passage->transposed = rows == Rows::kLatentK;
    return Status();
  }

  // Rows of several heads as a matrix for each: a row for each head.
  Status PartColumns(std::vector<uint64_t>* shape) const {
    LULL_ASSIGN_OR_RETURN(const uint64_t values, config_.Uint("linear_num_value_heads"));
    if (values == 0 || shape->back() % values != 0)
      return config_.Bad("no part of a row", "linear_num_value_heads");
    *shape = {shape->front(), values, shape->back() / values};
    return Status();
  }

  // Which units of a matrix, and in which order.
  Status SetRows(const SafetensorsTensor& source, Rows rows, Passage* passage) const {
    if (rows == Rows::kLatentK || rows == Rows::kLatentV)
      return SetLatentRows(source, rows, passage);
    HfHeads heads;
    heads.heads = heads_;
    heads.kv_heads = kv_heads_;
    heads.head_dim = head_dim_;
    if (rows == Rows::kTiledV || rows == Rows::kTiledBehindQk || rows == Rows::kTiledColumns) {
      LULL_ASSIGN_OR_RETURN(heads.delta_keys, config_.Uint("linear_num_key_heads"));
      LULL_ASSIGN_OR_RETURN(heads.delta_values, config_.Uint("linear_num_value_heads"));
      LULL_ASSIGN_OR_RETURN(heads.delta_key_width, config_.Uint("linear_key_head_dim"));
    }
    const Status status = SetHfRows(heads, rows, passage);
    if (!status.ok()) return BadTensor(status.code(), status.error().message, source.name);
    if (passage->head > 0 && rope_dims_ != head_dim_)
      return config_.Unsupported("heads that turn in part", "partial_rotary_factor");
    return Status();
  }

  Status AddTarget(const std::string& name, const Target& target) {
    const SafetensorsTensor& source = *target.sources.begin()->second;
    if (source.name.ends_with("_blocks")) return AddBlocks(name, target, source);
    LULL_RETURN_IF_ERROR(CheckSources(name, target));
    std::vector<uint64_t> shape = source.shape;
    if (shape.size() == 3 && shape[1] == 1) shape.erase(shape.begin() + 1);  // a convolution's taps
    const bool vector = shape.size() == 1;
    if (target.row->shape == HfTensor::Shape::kValues && shape.size() == 2) shape.push_back(1);
    const bool columns = target.row->rows == Rows::kTiledColumns && shape.size() == 2;
    if (columns) LULL_RETURN_IF_ERROR(PartColumns(&shape));
    Passage passage;
    for (const auto& [expert, part] : target.sources) passage.parts.push_back(part->data);
    passage.from = *FindFloatType(source.dtype);
    const std::string type = vector || target.row->f32 ? "F32" : options_.type;
    passage.to = type.empty() ? passage.from : *FindFloatType(type);
    passage.values = target.row->values;
    passage.overflow = overflow_;
    passage.width = vector ? 1 : shape.back();
    passage.units = passage.units_all = vector ? shape[0] : shape[shape.size() - 2];
    LULL_RETURN_IF_ERROR(SetRows(source, target.row->rows, &passage));
    uint64_t matrices = shape.size() == 3 ? shape[0] : 1;
    const bool latent = passage.units_all != 0 && !vector && shape.size() == 2 &&
                        (target.row->rows == Rows::kLatentK || target.row->rows == Rows::kLatentV);
    if (latent) matrices = heads_;
    passage.units_part = matrices * passage.units;
    passage.units_each = vector ? passage.units : 1;
    std::vector<uint64_t> dims{vector ? passage.units : passage.width};
    if (!vector) dims.push_back(passage.units);
    if (columns) {
      passage.units_each = passage.units;
      dims[0] = passage.width * passage.units;
      dims[1] = matrices;
    }
    if (passage.transposed) std::swap(dims[0], dims[1]);
    if (latent) dims.push_back(matrices);
    if (target.row->shape == HfTensor::Shape::kValues) {
      passage.units_each = passage.units;
      dims = {passage.units};
    }
    if (vector) LULL_RETURN_IF_ERROR(Reshape(source, target.row->shape, &passage, &dims));
    if ((shape.size() == 3 && !columns) || IsOfExperts(*target.row))
      dims.push_back(matrices * target.sources.size());
    if (!vector && !target.row->f32 && main_type_.empty()) main_type_ = passage.to.name;
    writer_.AddTensor(name, passage.to.type_id, std::move(dims),
                      [passage](uint64_t first, uint64_t count, uint8_t* out) {
                        passage.Copy(first, count, out);
                      });
    return Status();
  }

  // Blocks of four bits, [experts, rows, blocks, 16], and the scales beside them.
  Status AddBlocks(const std::string& name, const Target& target, const SafetensorsTensor& source) {
    std::string scales_name = source.name;
    scales_name.replace(scales_name.rfind("_blocks"), 7, "_scales");
    const auto scales = folder_.tensors.find(scales_name);
    if (scales == folder_.tensors.end())
      return BadTensor(ErrorCode::kInvalidModel, "it is missing", scales_name);
    const std::vector<uint64_t>& shape = source.shape;
    const bool sound = shape.size() == 4 && shape[3] == Mxfp4Passage::kNibbleBytes &&
                       source.dtype == "U8" && scales->second->dtype == "U8" &&
                       std::equal(scales->second->shape.begin(), scales->second->shape.end(),
                                  shape.begin(), shape.end() - 1) &&
                       !source.data.empty();
    if (!sound)
      return BadTensor(ErrorCode::kInvalidModel, "not blocks of 16 bytes and a scale for each",
                       source.name);
    Passage rows;
    rows.units = rows.units_all = shape[1];
    LULL_RETURN_IF_ERROR(SetRows(source, target.row->rows, &rows));
    const Mxfp4Passage passage{source.data,    scales->second->data, shape[2], rows.units,
                               rows.units_all, rows.begin,           rows.step};
    writer_.AddTensor(name, Mxfp4Passage::kTypeId,
                      {shape[2] * Mxfp4Passage::kValues, rows.units, shape[0]},
                      [passage](uint64_t first, uint64_t count, uint8_t* out) {
                        passage.Copy(first, count, out);
                      });
    return Status();
  }

  // A vector as a matrix.
  Status Reshape(const SafetensorsTensor& source, HfTensor::Shape shape, Passage* passage,
                 std::vector<uint64_t>* dims) const {
    if (shape == HfTensor::Shape::kSame) return Status();
    uint64_t rows = passage->units;
    if (shape == HfTensor::Shape::kGroups) {
      LULL_ASSIGN_OR_RETURN(rows, config_.Uint("n_groups|mamba_n_groups"));
      if (rows == 0 || passage->units % rows != 0)
        return BadTensor(ErrorCode::kInvalidModel, "groups do not divide it", source.name);
    }
    passage->units_each = passage->units / rows;
    *dims = {passage->units_each, rows};
    return Status();
  }

  static bool IsOfExperts(const HfTensor& row) {
    const std::string_view name = row.name;
    return name.find("{}") != name.rfind("{}");
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
  const HfConfig config_;
  const HfArchitecture& architecture_;
  const ConvertOptions& options_;
  GgufWriter writer_;
  HfOutput output_;
  uint64_t heads_ = 0, kv_heads_ = 0, head_dim_ = 0, rope_dims_ = 0;
  std::map<std::string, Target> targets_;  // by name
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
  LULL_ASSIGN_OR_RETURN(const HfArchitecture* architecture, FindHfArchitecture(opened.get()));
  return Converter(*opened, *architecture, options).Convert(path);
}

}  // namespace lull
