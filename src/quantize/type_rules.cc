#include "quantize/type_rules.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <regex>

#include "formats/file_type.h"

namespace lull {
namespace {

constexpr size_t kMaxMatchedName = 256;

// Layers whose sensitive matrices get more bits.
enum class Layers {
  kNone,
  kFirst,  // the first eighth
  kMany,   // the first and last eighth, and every third between them
};

struct TypeMix {
  const char* name;       // of a file type too
  const char* main;       // of every matrix for which nothing else stands here
  const char* sensitive;  // of value, attention output and down projections
  const char* chosen;     // of value and down projections in some layers
  Layers layers;
  const char* embedding;
  const char* head;
};

constexpr TypeMix kMixes[] = {
    {"F32", "F32", "F32", "F32", Layers::kNone, "F32", "F32"},
    {"F16", "F16", "F16", "F16", Layers::kNone, "F16", "F16"},
    {"BF16", "BF16", "BF16", "BF16", Layers::kNone, "BF16", "BF16"},
    {"Q8_0", "Q8_0", "Q8_0", "Q8_0", Layers::kNone, "Q8_0", "Q8_0"},
    {"Q6_K", "Q6_K", "Q6_K", "Q6_K", Layers::kNone, "Q6_K", "Q6_K"},
    {"Q5_K_M", "Q5_K", "Q5_K", "Q6_K", Layers::kMany, "Q5_K", "Q6_K"},
    {"Q5_K_S", "Q5_K", "Q5_K", "Q5_K", Layers::kNone, "Q5_K", "Q6_K"},
    {"Q5_1", "Q5_1", "Q5_1", "Q5_1", Layers::kNone, "Q5_1", "Q6_K"},
    {"Q5_0", "Q5_0", "Q5_0", "Q5_0", Layers::kNone, "Q5_0", "Q6_K"},
    {"Q4_K_M", "Q4_K", "Q4_K", "Q6_K", Layers::kMany, "Q4_K", "Q6_K"},
    {"Q4_K_S", "Q4_K", "Q4_K", "Q5_K", Layers::kFirst, "Q4_K", "Q6_K"},
    {"Q4_1", "Q4_1", "Q4_1", "Q4_1", Layers::kNone, "Q4_1", "Q6_K"},
    {"Q4_0", "Q4_0", "Q4_0", "Q4_0", Layers::kNone, "Q4_0", "Q6_K"},
    {"IQ4_NL", "IQ4_NL", "IQ4_NL", "Q5_K", Layers::kFirst, "IQ4_NL", "Q6_K"},
    {"IQ4_XS", "IQ4_XS", "IQ4_XS", "Q5_K", Layers::kFirst, "IQ4_XS", "Q6_K"},
    {"MXFP4", "MXFP4", "MXFP4", "MXFP4", Layers::kNone, "Q8_0", "Q8_0"},
    {"Q3_K_L", "Q3_K", "Q5_K", "Q5_K", Layers::kNone, "Q3_K", "Q6_K"},
    {"Q3_K_M", "Q3_K", "Q4_K", "Q5_K", Layers::kFirst, "Q3_K", "Q6_K"},
    {"Q3_K_S", "Q3_K", "Q3_K", "Q4_K", Layers::kFirst, "Q3_K", "Q6_K"},
    {"Q2_K", "Q2_K", "Q3_K", "Q4_K", Layers::kMany, "Q2_K", "Q6_K"},
    {"Q2_0", "Q2_0", "Q2_0", "Q2_0", Layers::kNone, "Q4_K", "Q6_K"},
    {"TQ2_0", "TQ2_0", "TQ2_0", "TQ2_0", Layers::kNone, "Q4_K", "Q6_K"},
    {"TQ1_0", "TQ1_0", "TQ1_0", "TQ1_0", Layers::kNone, "Q4_K", "Q6_K"},
    {"Q1_0", "Q1_0", "Q1_0", "Q1_0", Layers::kNone, "Q4_K", "Q6_K"},
};
constexpr struct {
  const char* name;
  const char* mix;
} kOtherNames[] = {{"Q5_K", "Q5_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q3_K", "Q3_K_M"}};

// What takes the place of a type whose blocks do not divide rows: about as many bits, or more.
constexpr struct {
  const char* type;
  const char* instead;
} kInstead[] = {
    {"Q2_K", "IQ4_NL"}, {"Q3_K", "IQ4_NL"}, {"IQ4_XS", "IQ4_NL"}, {"Q4_K", "Q5_0"},
    {"Q5_K", "Q5_1"},   {"Q6_K", "Q8_0"},   {"TQ1_0", "Q4_0"},    {"TQ2_0", "Q4_0"},
    {"Q1_0", "Q4_0"},   {"Q2_0", "Q4_0"},
};

bool SameName(std::string_view a, std::string_view b) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return upper(x) == upper(y); });
}

const TypeMix* FindMix(std::string_view name) {
  for (const auto& other : kOtherNames)
    if (SameName(name, other.name)) name = other.mix;
  for (const TypeMix& mix : kMixes)
    if (SameName(name, mix.name)) return &mix;
  return nullptr;
}

Result<const QuantFormat*> FindType(const std::string& name, const char* where) {
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  std::string names;
  for (size_t i = 0; i < count; ++i) {
    if (SameName(name, formats[i]->name)) return formats[i];
    names += (i > 0 ? ", " : "") + std::string(formats[i]->name);
  }
  return Status(ErrorCode::kUsage, "no type " + GgufQuote(name), where, "one of " + names);
}

bool Contains(const std::string& name, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return name.find(part) != std::string::npos; });
}

size_t NumDims(const GgufTensor& tensor) {
  size_t n = tensor.dims.size();
  while (n > 1 && tensor.dims[n - 1] == 1) --n;
  return n;
}

// Matrices that products read in blocks, and embeddings; what else there is costs few bytes and is
// read as floats.
bool IsQuantisable(const GgufTensor& tensor) {
  const size_t dims = NumDims(tensor);
  if (dims < 2 || dims > 3 || !tensor.name.ends_with(".weight")) return false;
  return !Contains(tensor.name,
                   {"_norm.", "ffn_gate_inp", "conv1d.", "shortconv.conv.", "position_embd",
                    "token_types", "altup", "laurel", "per_layer_model_proj", "rope_freqs",
                    "rope_factors", "attn_rel_b", "attn_sinks", "time_mix"});
}

// The layer that a name ("blk.7....") speaks of; -1: none.
int64_t LayerOf(const std::string& name) {
  return name.starts_with("blk.") ? strtoll(name.c_str() + 4, nullptr, 10) : -1;
}

bool IsChosen(Layers layers, int64_t layer, int64_t num_layers) {
  const int64_t eighth = std::max<int64_t>(1, num_layers / 8);
  if (layers == Layers::kNone || layer < 0) return false;
  if (layer < eighth) return true;
  if (layers == Layers::kFirst) return false;
  return layer >= num_layers - eighth || (layer - eighth) % 3 == 2;
}

// Bits of a thousand weights, to compare types by.
uint64_t Width(uint32_t type_id) {
  constexpr uint64_t kWeights = 256 * 125;
  const Result<uint64_t> bytes = GgufRowBytes(type_id, kWeights);
  return bytes.ok() ? *bytes : 0;
}

class Chooser {
 public:
  static Result<Chooser> Make(const GgufFile& file, const TypeRules& rules) {
    Chooser chooser;
    chooser.mix_ = FindMix(rules.type);
    if (chooser.mix_ == nullptr)
      return Status(ErrorCode::kUsage, "no type " + GgufQuote(rules.type), "type",
                    "one of " + TypeMixNames());
    chooser.pure_ = rules.pure;
    if (!rules.output_type.empty()) {
      LULL_ASSIGN_OR_RETURN(chooser.output_, FindType(rules.output_type, "output_type"));
    }
    if (!rules.embedding_type.empty()) {
      LULL_ASSIGN_OR_RETURN(chooser.embedding_, FindType(rules.embedding_type, "embedding_type"));
    }
    for (const TypeRules::ForNames& rule : rules.for_names)
      LULL_RETURN_IF_ERROR(chooser.AddPattern(rule, file));
    chooser.tied_head_ = file.FindTensor("output.weight") == nullptr;
    for (const GgufTensor& tensor : file.tensors()) {
      chooser.num_layers_ = std::max(chooser.num_layers_, LayerOf(tensor.name) + 1);
      chooser.has_experts_ |= Contains(tensor.name, {"_exps."});
    }
    return chooser;
  }

  uint32_t file_type() const { return FindFileType(mix_->name).value_or(0); }

  Result<TensorChoice> Choose(const GgufTensor& tensor) const {
    TensorChoice choice;
    choice.tensor = &tensor;
    choice.result_bytes = tensor.data.size();
    const Pattern* pattern = PatternOf(tensor.name);
    if (!IsQuantisable(tensor)) {
      if (pattern != nullptr) choice.note = "not a matrix that is quantised";
      return choice;
    }
    const QuantFormat* wanted = pattern != nullptr ? pattern->format : TypeOf(tensor);
    choice.format = Fitting(wanted, tensor.dims[0]);
    if (choice.format != wanted)
      choice.note = std::string("rows of ") + std::to_string(tensor.dims[0]) +
                    " do not divide into " + wanted->name + "'s blocks of " +
                    std::to_string(wanted->block_k);
    const bool gains =
        choice.format == wanted || Width(choice.format->gguf_type_id) <= Width(tensor.type_id);
    if (choice.format->gguf_type_id == tensor.type_id || !gains) {
      choice.format = nullptr;
      return choice;
    }
    if (FindQuantFormat(tensor.type_id) == nullptr)
      return Status(
          ErrorCode::kUnsupported,
          std::string("weights of type ") + GgufTypeName(tensor.type_id) + " cannot be read",
          tensor.name, "give a file of F32, F16 or BF16");
    LULL_ASSIGN_OR_RETURN(const uint64_t row_bytes,
                          GgufRowBytes(choice.format->gguf_type_id, tensor.dims[0]));
    choice.result_bytes = row_bytes;
    for (size_t i = 1; i < tensor.dims.size(); ++i) choice.result_bytes *= tensor.dims[i];
    return choice;
  }

 private:
  struct Pattern {
    std::regex regex;
    const QuantFormat* format;
  };

  Status AddPattern(const TypeRules::ForNames& rule, const GgufFile& file) {
    LULL_ASSIGN_OR_RETURN(const QuantFormat* format, FindType(rule.type, "tensor_type"));
    try {
      patterns_.push_back({std::regex(rule.pattern), format});
    } catch (const std::regex_error& error) {
      return Status(ErrorCode::kUsage,
                    "not a pattern: " + GgufQuote(rule.pattern) + ": " + error.what(),
                    "tensor_type", "for example ffn_down=Q6_K");
    }
    if (std::ranges::any_of(file.tensors(), [this](const GgufTensor& tensor) {
          return Fits(patterns_.back(), tensor.name);
        }))
      return Status();
    return Status(ErrorCode::kUsage, "no tensor's name fits " + GgufQuote(rule.pattern),
                  "tensor_type", "`lull inspect --tensors` lists the names");
  }

  static bool Fits(const Pattern& pattern, const std::string& name) {
    if (name.size() > kMaxMatchedName) return false;  // the matcher recurses
    return std::regex_search(name, pattern.regex);
  }

  const Pattern* PatternOf(const std::string& name) const {
    for (const Pattern& pattern : patterns_)
      if (Fits(pattern, name)) return &pattern;
    return nullptr;
  }

  const QuantFormat* TypeOf(const GgufTensor& tensor) const {
    const bool embedding = Contains(tensor.name, {"token_embd.", "per_layer_token_embd."});
    const bool head =
        tensor.name == "output.weight" || (tied_head_ && tensor.name == "token_embd.weight");
    if (head && output_ != nullptr) return output_;
    if (embedding && embedding_ != nullptr) return embedding_;
    const QuantFormat* main = FindQuantFormatByName(mix_->main);
    if (pure_) return main;
    const QuantFormat* better = FindQuantFormatByName(head        ? mix_->head
                                                      : embedding ? mix_->embedding
                                                                  : TypeInLayer(tensor.name));
    const bool wider = Width(better->gguf_type_id) > Width(main->gguf_type_id);
    return wider && Width(better->gguf_type_id) > Width(tensor.type_id) ? main : better;
  }

  const char* TypeInLayer(const std::string& name) const {
    // Beside experts the matrices that every token goes through cost next to nothing.
    if (has_experts_ && Contains(name, {".attn_v.", ".attn_k."})) return mix_->chosen;
    if (Contains(name, {".attn_output."})) return mix_->sensitive;
    if (!Contains(name, {".attn_v", ".attn_qkv.", ".attn_kv_b.", ".ffn_down"})) return mix_->main;
    return IsChosen(mix_->layers, LayerOf(name), num_layers_) ? mix_->chosen : mix_->sensitive;
  }

  static const QuantFormat* Fitting(const QuantFormat* format, uint64_t k) {
    if (k % format->block_k == 0) return format;
    for (const auto& entry : kInstead) {
      if (std::strcmp(entry.type, format->name) != 0) continue;
      const QuantFormat* instead = FindQuantFormatByName(entry.instead);
      if (k % instead->block_k == 0) return instead;
    }
    return FindQuantFormatByName("F16");
  }

  const TypeMix* mix_ = nullptr;
  bool pure_ = false, tied_head_ = false, has_experts_ = false;
  int64_t num_layers_ = 0;
  const QuantFormat* output_ = nullptr;
  const QuantFormat* embedding_ = nullptr;
  std::vector<Pattern> patterns_;
};

}  // namespace

Result<TypeChoices> ChooseTypes(const GgufFile& file, const TypeRules& rules) {
  LULL_ASSIGN_OR_RETURN(const Chooser chooser, Chooser::Make(file, rules));
  TypeChoices choices;
  choices.file_type = chooser.file_type();
  for (const GgufTensor& tensor : file.tensors()) {
    LULL_ASSIGN_OR_RETURN(TensorChoice choice, chooser.Choose(tensor));
    choices.tensors.push_back(std::move(choice));
  }
  return choices;
}

std::string TypeMixNames() {
  std::string names;
  for (const TypeMix& mix : kMixes) names += (names.empty() ? "" : ", ") + std::string(mix.name);
  return names;
}

}  // namespace lull
