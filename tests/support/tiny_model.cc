#include "tests/support/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "tests/support/random_weights.h"
#include "tests/support/tiny_arch.h"
#include "tests/support/tiny_vocab.h"

namespace lull {
namespace {

constexpr uint32_t kF32 = 0;
constexpr uint32_t kNoType = ~uint32_t{0};
// Logits of a normed state against rows of the head spread over about +-3.
constexpr float kHeadGain = 3.0f;

uint32_t TypeIdByName(const std::string& name) {
  for (uint32_t id = 0; id < 64; ++id)
    if (name == GgufTypeName(id)) return id;
  return kNoType;
}

// How files of a type are made: the head and some matrices that matter more have a better one.
struct WeightType {
  const char* name;
  const char* base;
  const char* better;
  uint32_t file_type;  // general.file_type
  bool special = false;  // see TinyModelSpecialTypes
};

constexpr WeightType kWeightTypes[] = {
    {"F32", "F32", "F32", 0},         {"F16", "F16", "F16", 1},
    {"BF16", "BF16", "BF16", 32},     {"Q4_0", "Q4_0", "Q4_0", 2},
    {"Q4_1", "Q4_1", "Q4_1", 3},      {"Q5_0", "Q5_0", "Q5_0", 8},
    {"Q5_1", "Q5_1", "Q5_1", 9},      {"Q8_0", "Q8_0", "Q8_0", 7},
    {"Q4_K", "Q4_K", "Q4_K", 14},     {"Q5_K", "Q5_K", "Q5_K", 16},
    {"Q6_K", "Q6_K", "Q6_K", 18},     {"Q4_K_M", "Q4_K", "Q6_K", 15},
    {"Q5_K_M", "Q5_K", "Q6_K", 17},   {"Q3_K_M", "Q3_K", "Q5_K", 12},
    {"Q2_K", "Q2_K", "Q2_K", 10, true},       {"Q3_K", "Q3_K", "Q3_K", 11, true},
    {"IQ4_NL", "IQ4_NL", "IQ4_NL", 25, true}, {"IQ4_XS", "IQ4_XS", "IQ4_XS", 30, true},
    {"MXFP4", "MXFP4", "MXFP4", 38, true},    {"TQ1_0", "TQ1_0", "TQ1_0", 36, true},
    {"TQ2_0", "TQ2_0", "TQ2_0", 37, true},    {"Q1_0", "Q1_0", "Q1_0", 40, true},
    {"Q2_0", "Q2_0", "Q2_0", 41, true},
};

const WeightType* FindWeightType(const std::string& name) {
  for (const WeightType& type : kWeightTypes)
    if (name == type.name) return &type;
  return nullptr;
}

std::vector<std::string> WeightTypeNames(bool mixes, bool special = false) {
  std::vector<std::string> names;
  for (const WeightType& type : kWeightTypes)
    if ((std::string(type.base) != type.better) == mixes && type.special == special)
      names.push_back(type.name);
  return names;
}

// Of types whose blocks are longer than a narrow model's rows.
bool NeedsWideRows(const std::string& type) {
  const WeightType* found = FindWeightType(type);
  return found != nullptr && !GgufRowBytes(TypeIdByName(found->base), 64).ok();
}

template <typename T>
void SetDefault(T* field, T value) {
  if (*field == T{}) *field = value;
}

Status Impossible(const std::string& message) { return Status(ErrorCode::kUsage, message); }

// In Q4_K_M and Q5_K_M files: V and the down projection of the first and last eighth of the layers,
// and of every third between, have the better type.
bool IsRaised(uint64_t index, uint64_t count) {
  const uint64_t eighth = count / 8;
  return index < eighth || index >= 7 * count / 8 || (index - eighth) % 3 == 2;
}

// What quantizers take where a row is not whole blocks of a K-quant.
std::string FitRow(const std::string& type, uint64_t row) {
  if (GgufRowBytes(TypeIdByName(type), row).ok()) return type;
  if (type == "Q2_K" || type == "Q3_K" || type == "IQ4_XS") return "IQ4_NL";
  if (type == "TQ1_0" || type == "TQ2_0" || type == "Q2_0" || type == "Q1_0") return "Q4_0";
  return type == "Q4_K" ? "Q5_0" : type == "Q5_K" ? "Q5_1" : type == "Q6_K" ? "Q8_0" : type;
}

// What "mixed" deals out. Stays as it is when types are added: the committed hashes are of these.
const char* const kMixedTypes[] = {"F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",
                                   "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};

// "mixed" deals its types out over the tensor names; K-quants only where the row allows them.
uint32_t PickType(const std::string& type, bool better, const std::string& tensor, uint64_t row, uint64_t seed) {
  if (const WeightType* found = FindWeightType(type))
    return TypeIdByName(FitRow(better ? found->better : found->base, row));
  for (uint64_t i = HashText(tensor, seed);; ++i) {
    const uint32_t id = TypeIdByName(kMixedTypes[i % std::size(kMixedTypes)]);
    if (GgufRowBytes(id, row).ok()) return id;
  }
}

class Builder {
 public:
  Builder(const TinyModelSpec& spec, GgufWriter* writer)
      : spec_(spec), arch_(*FindTinyArch(spec.arch)), writer_(writer) {}

  void AddMetadata();
  void AddTensors();

 private:
  void AddAttentionMetadata();
  std::string Key(const char* name) const { return FileName() + "." + name; }
  std::string FileName() const { return arch_.file_name != nullptr ? arch_.file_name : arch_.name; }
  uint64_t HeadDim(uint64_t layer) const {
    return TinyLocal(arch_, layer) ? spec_.head_dim / 2 : spec_.head_dim;
  }
  std::string Name(uint64_t layer, const char* name) const { return "blk." + std::to_string(layer) + "." + name; }
  uint64_t Seed(const std::string& name) const { return HashText(name, spec_.seed); }
  uint64_t KvHeads(uint64_t layer) const {
    return spec_.kv_heads_per_layer.empty() ? spec_.kv_heads : spec_.kv_heads_per_layer[layer];
  }
  // Whether V of this layer has the better type of a mix: it counts among the layers that have a V.
  bool RaisedV(uint64_t layer) const {
    uint64_t before = 0;
    uint64_t all = 0;
    for (uint64_t i = 0; i < spec_.layers; ++i) {
      before += i < layer && KvHeads(i) != 0;
      all += KvHeads(i) != 0;
    }
    return IsRaised(before, all);
  }

  // A branch adds a quarter of what the embedding put into the residual stream, and attention more.
  // Larger branches make a network that amplifies the rounding of its activations from layer to
  // layer, and then two correct programs part.
  float EmbeddingRms() const {
    return arch_.scaled_embedding ? kHeadGain / std::sqrt(static_cast<float>(spec_.embd)) : 4.0f;
  }
  // Where what branches add is normed, the norm has the gain.
  float BranchGain() const { return arch_.post_norms ? 1.0f : 0.25f * EmbeddingRms(); }

  // [k, rows(, experts)]; values scaled so that a unit-variance input gives unit-variance output.
  void AddMatrix(const std::string& name, std::vector<uint64_t> dims, const std::string& type, float gain = 1.0f,
                 bool better_type = false);
  void AddF32(const std::string& name, std::vector<uint64_t> dims, float low, float high);
  void AddNorm(const std::string& name, uint64_t size) { AddF32(name, {size}, 0.8f, 1.2f); }
  void AddPostNorm(const std::string& name, float gain);
  void AddOutputNorm();
  void AddAttention(uint64_t layer);
  void AddConvolution(uint64_t layer);
  void AddLatentAttention(uint64_t layer);
  void AddMamba(uint64_t layer);
  void AddMamba2(uint64_t layer);
  void AddDeltaNet(uint64_t layer);
  void AddMixer(uint64_t layer);
  void AddFeedForward(uint64_t layer);
  void AddExperts(uint64_t layer);
  void AddExpertBiases(uint64_t layer);
  void AddSharedExpert(uint64_t layer);
  void AddDenseBesideExperts(uint64_t layer);
  void AddPerLayerEmbedding();
  void AddRopeFactors();
  uint64_t ExpertFfn() const { return arch_.expert_ffn_key ? spec_.expert_ffn : spec_.ffn; }

  const TinyModelSpec& spec_;
  const TinyArch& arch_;
  GgufWriter* writer_;
};

void Builder::AddMetadata() {
  const auto put = [&](const char* name, uint64_t value) {
    writer_->AddUint32(Key(name), static_cast<uint32_t>(value));
  };
  writer_->AddString("general.architecture", FileName());
  writer_->AddString("general.type", "model");
  const std::string title = arch_.title != nullptr ? arch_.title : spec_.arch;
  writer_->AddString("general.name", "Tiny " + title + " " + spec_.type + " seed " + std::to_string(spec_.seed));
  writer_->AddUint32("general.quantization_version", 2);
  if (const WeightType* type = FindWeightType(spec_.type)) writer_->AddUint32("general.file_type", type->file_type);
  put("block_count", spec_.layers);
  put("context_length", spec_.ctx);
  put("embedding_length", spec_.embd);
  if (arch_.feed_forward) put("feed_forward_length", spec_.ffn);
  if (arch_.attention_period > 0) AddAttentionMetadata();
  put("vocab_size", spec_.vocab);
  writer_->AddFloat32(Key(arch_.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"),
                      static_cast<float>(spec_.rms_eps));
  if (arch_.experts) {
    put("expert_count", spec_.experts);
    put("expert_used_count", spec_.experts_used);
    if (arch_.expert_ffn_key) put("expert_feed_forward_length", spec_.expert_ffn);
    if (arch_.dense_lead) put("leading_dense_block_count", spec_.dense_lead);
  }
  if (arch_.add_keys != nullptr) arch_.add_keys(spec_, writer_);
  if (spec_.tokenizer == "gpt2") AddByteLevelVocab(spec_, writer_);
  if (spec_.tokenizer == "llama") AddSentencePieceVocab(spec_, writer_);
}

void Builder::AddAttentionMetadata() {
  const auto put = [&](const char* name, uint64_t value) {
    writer_->AddUint32(Key(name), static_cast<uint32_t>(value));
  };
  put("attention.head_count", spec_.heads);
  if (!arch_.kv_heads_array) {
    put("attention.head_count_kv", spec_.kv_heads);
  } else {
    const std::vector<int32_t> per_layer(spec_.kv_heads_per_layer.begin(), spec_.kv_heads_per_layer.end());
    writer_->AddInt32Array(Key("attention.head_count_kv"), per_layer);
  }
  if (!arch_.latent && (spec_.head_dim * spec_.heads != spec_.embd || arch_.head_dim_keys)) {
    put("attention.key_length", spec_.head_dim);
    put("attention.value_length", spec_.head_dim);
  }
  writer_->AddFloat32(Key("rope.freq_base"), static_cast<float>(spec_.rope_freq_base));
  if (spec_.rope_dimension_count && spec_.arch == "llama") put("rope.dimension_count", spec_.head_dim);
  if (arch_.half_rotation) put("rope.dimension_count", spec_.head_dim / 2);
  if (arch_.sliding_window) put("attention.sliding_window", spec_.sliding_window);
}

void Builder::AddMatrix(const std::string& name, std::vector<uint64_t> dims, const std::string& type, float gain,
                        bool better_type) {
  const uint32_t id = PickType(type, better_type, name, dims[0], spec_.seed);
  const float deviation = gain / std::sqrt(static_cast<float>(dims[0]));
  const uint64_t row = dims[0];
  writer_->AddTensor(name, id, std::move(dims), RandomRows(id, row, deviation, Seed(name)));
}

void Builder::AddF32(const std::string& name, std::vector<uint64_t> dims, float low, float high) {
  const uint64_t row = dims[0];
  writer_->AddTensor(name, kF32, std::move(dims), RandomF32Rows(row, low, high, Seed(name)));
}

void Builder::AddAttention(uint64_t layer) {
  const uint64_t q = spec_.heads * HeadDim(layer);
  const uint64_t kv = KvHeads(layer) * HeadDim(layer);
  const bool own_kv = layer + arch_.shared_kv_layers < spec_.layers;
  const bool own_v = own_kv && (!arch_.values_of_keys || TinyLocal(arch_, layer));
  if (arch_.fused_qkv) {
    AddMatrix(Name(layer, "attn_qkv.weight"), {spec_.embd, q + 2 * kv}, spec_.type, arch_.score_gain, RaisedV(layer));
  } else {
    AddMatrix(Name(layer, "attn_q.weight"), {spec_.embd, arch_.gated_attention ? 2 * q : q}, spec_.type,
              arch_.score_gain);
    if (own_kv) AddMatrix(Name(layer, "attn_k.weight"), {spec_.embd, kv}, spec_.type, arch_.score_gain);
    if (own_v) AddMatrix(Name(layer, "attn_v.weight"), {spec_.embd, kv}, spec_.type, 1.0f, RaisedV(layer));
  }
  // Averages of V are small.
  AddMatrix(Name(layer, "attn_output.weight"), {q, spec_.embd}, spec_.type, 2.5f * BranchGain());
  if (arch_.qkv_bias) {
    AddF32(Name(layer, "attn_q.bias"), {q}, -0.5f, 0.5f);
    AddF32(Name(layer, "attn_k.bias"), {kv}, -0.5f, 0.5f);
    AddF32(Name(layer, "attn_v.bias"), {kv}, -0.5f, 0.5f);
  }
  if (arch_.o_bias) AddF32(Name(layer, "attn_output.bias"), {spec_.embd}, -0.5f, 0.5f);
  if (arch_.sinks) AddF32(Name(layer, "attn_sinks.weight"), {spec_.heads}, -1.0f, 2.0f);
  if (arch_.head_norms || arch_.whole_norms) {
    const uint64_t head = HeadDim(layer);
    // Gemma 4 does not divide scores by the root of the width: its norms do.
    const float norm_gain =
        arch_.narrow_windows ? arch_.score_gain / std::pow(static_cast<float>(head), 0.25f) : arch_.score_gain;
    AddF32(Name(layer, "attn_q_norm.weight"), {arch_.whole_norms ? q : head}, 0.8f * norm_gain, 1.2f * norm_gain);
    if (own_kv)
      AddF32(Name(layer, "attn_k_norm.weight"), {arch_.whole_norms ? kv : head}, 0.8f * norm_gain, 1.2f * norm_gain);
  }
  if (arch_.post_norms) AddPostNorm(Name(layer, "post_attention_norm.weight"), 1.0f);
}

// Behind a branch; where embeddings are large, so are the branches.
void Builder::AddPostNorm(const std::string& name, float gain) {
  if (!arch_.scaled_embedding) gain *= 0.25f * EmbeddingRms();
  AddF32(name, {spec_.embd}, 0.8f * gain, 1.2f * gain);
}

void Builder::AddLatentAttention(uint64_t layer) {
  const TinyLatent latent;
  const uint64_t heads = spec_.heads, still = latent.key - latent.rotated;
  AddMatrix(Name(layer, "attn_q_a.weight"), {spec_.embd, latent.q_rank}, spec_.type);
  AddNorm(Name(layer, "attn_q_a_norm.weight"), latent.q_rank);
  AddMatrix(Name(layer, "attn_q_b.weight"), {latent.q_rank, heads * latent.key}, spec_.type);
  AddMatrix(Name(layer, "attn_kv_a_mqa.weight"), {spec_.embd, latent.kv_rank + latent.rotated}, spec_.type);
  AddNorm(Name(layer, "attn_kv_a_norm.weight"), latent.kv_rank);
  AddMatrix(Name(layer, "attn_k_b.weight"), {still, latent.kv_rank, heads}, spec_.type);
  AddMatrix(Name(layer, "attn_v_b.weight"), {latent.kv_rank, latent.value, heads}, spec_.type);
  AddMatrix(Name(layer, "attn_output.weight"), {heads * latent.value, spec_.embd}, spec_.type, 2.0f * BranchGain());
}

void Builder::AddConvolution(uint64_t layer) {
  AddF32(Name(layer, "shortconv.conv.weight"), {spec_.conv_l_cache, spec_.embd}, -1.0f, 1.0f);
  AddMatrix(Name(layer, "shortconv.in_proj.weight"), {spec_.embd, 3 * spec_.embd}, spec_.type);
  // Its input is a product of three: long tails, which 8-bit blocks round coarsely.
  AddMatrix(Name(layer, "shortconv.out_proj.weight"), {spec_.embd, spec_.embd}, spec_.type,
            0.5f * BranchGain());
}

void Builder::AddMamba(uint64_t layer) {
  const uint64_t inner = spec_.ssm_inner, n = spec_.ssm_state, rank = spec_.ssm_heads;
  AddMatrix(Name(layer, "ssm_in.weight"), {spec_.embd, 2 * inner}, spec_.type);
  AddF32(Name(layer, "ssm_conv1d.weight"), {spec_.conv_l_cache + 1, inner}, -1.0f, 1.0f);
  AddF32(Name(layer, "ssm_conv1d.bias"), {inner}, -0.5f, 0.5f);
  AddMatrix(Name(layer, "ssm_x.weight"), {inner, rank + 2 * n}, "F32", 1.5f);
  AddMatrix(Name(layer, "ssm_dt.weight"), {rank, inner}, "F32");
  AddF32(Name(layer, "ssm_dt.bias"), {inner}, -3.0f, 0.0f);
  AddF32(Name(layer, "ssm_a"), {n, inner}, -4.0f, -0.2f);
  AddF32(Name(layer, "ssm_d"), {inner}, 0.5f, 1.5f);
  AddMatrix(Name(layer, "ssm_out.weight"), {inner, spec_.embd}, spec_.type, 0.5f * BranchGain());
}

void Builder::AddMamba2(uint64_t layer) {
  const uint64_t inner = spec_.ssm_inner, heads = spec_.ssm_heads, groups = spec_.ssm_groups;
  const uint64_t channels = inner + 2 * groups * spec_.ssm_state;
  AddMatrix(Name(layer, "ssm_in.weight"), {spec_.embd, inner + channels + heads}, spec_.type);
  AddF32(Name(layer, "ssm_conv1d.weight"), {spec_.conv_l_cache + 1, channels}, -1.0f, 1.0f);
  AddF32(Name(layer, "ssm_conv1d.bias"), {channels}, -0.5f, 0.5f);
  AddF32(Name(layer, "ssm_dt.bias"), {heads}, -3.0f, 0.0f);
  AddF32(Name(layer, "ssm_a"), {1, heads}, -4.0f, -0.2f);
  AddF32(Name(layer, "ssm_d"), {1, heads}, 0.5f, 1.5f);
  AddF32(Name(layer, "ssm_norm.weight"), {inner / groups, groups}, 0.8f, 1.2f);
  AddMatrix(Name(layer, "ssm_out.weight"), {inner, spec_.embd}, spec_.type, BranchGain());
}

void Builder::AddDeltaNet(uint64_t layer) {
  const uint64_t heads = spec_.ssm_heads, dim = spec_.ssm_state;
  const uint64_t channels = (2 * spec_.ssm_groups + heads) * dim;
  AddMatrix(Name(layer, "attn_qkv.weight"), {spec_.embd, channels}, spec_.type);
  AddMatrix(Name(layer, "attn_gate.weight"), {spec_.embd, heads * dim}, spec_.type);
  AddF32(Name(layer, "ssm_conv1d.weight"), {spec_.conv_l_cache + 1, channels}, -1.0f, 1.0f);
  AddF32(Name(layer, "ssm_dt.bias"), {heads}, -2.0f, 1.0f);
  AddF32(Name(layer, "ssm_a"), {heads}, -1.0f, -0.1f);
  AddMatrix(Name(layer, "ssm_beta.weight"), {spec_.embd, heads}, spec_.type);
  AddMatrix(Name(layer, "ssm_alpha.weight"), {spec_.embd, heads}, spec_.type);
  AddNorm(Name(layer, "ssm_norm.weight"), dim);
  AddMatrix(Name(layer, "ssm_out.weight"), {heads * dim, spec_.embd}, spec_.type, 0.5f * BranchGain());
}

void Builder::AddMixer(uint64_t layer) {
  if (arch_.latent) return AddLatentAttention(layer);
  if (KvHeads(layer) != 0) return AddAttention(layer);
  if (arch_.recurrent == TinyMixer::kShortConv) AddConvolution(layer);
  if (arch_.recurrent == TinyMixer::kMamba) AddMamba(layer);
  if (arch_.recurrent == TinyMixer::kMamba2) AddMamba2(layer);
  if (arch_.recurrent == TinyMixer::kDelta) AddDeltaNet(layer);
}

void Builder::AddFeedForward(uint64_t layer) {
  if (arch_.fused_gate_up) {
    AddMatrix(Name(layer, "ffn_up.weight"), {spec_.embd, 2 * spec_.ffn}, spec_.type, 1.25f);
  } else {
    AddMatrix(Name(layer, "ffn_gate.weight"), {spec_.embd, spec_.ffn}, spec_.type, 1.5f);
    AddMatrix(Name(layer, "ffn_up.weight"), {spec_.embd, spec_.ffn}, spec_.type);
  }
  AddMatrix(Name(layer, "ffn_down.weight"), {spec_.ffn, spec_.embd}, spec_.type, 1.5f * BranchGain(),
            IsRaised(layer, spec_.layers));
}

void Builder::AddExperts(uint64_t layer) {
  // Beyond 256 inputs scores would only saturate the router's sigmoid.
  const float router = std::min(0.3f, 4.8f / std::sqrt(static_cast<float>(spec_.embd)));
  AddF32(Name(layer, "ffn_gate_inp.weight"), {spec_.embd, spec_.experts}, -router, router);
  if (arch_.dense_beside_experts) AddDenseBesideExperts(layer);
  if (arch_.router_selection_bias) AddF32(Name(layer, "exp_probs_b.bias"), {spec_.experts}, -0.1f, 0.1f);
  const uint64_t ffn = ExpertFfn();
  AddMatrix(Name(layer, "ffn_gate_exps.weight"), {spec_.embd, ffn, spec_.experts}, spec_.type, 1.5f);
  AddMatrix(Name(layer, "ffn_up_exps.weight"), {spec_.embd, ffn, spec_.experts}, spec_.type);
  AddMatrix(Name(layer, "ffn_down_exps.weight"), {ffn, spec_.embd, spec_.experts}, spec_.type,
            1.5f * spec_.expert_gain * arch_.expert_gain * BranchGain(), IsRaised(layer, spec_.layers));
  if (arch_.expert_biases) AddExpertBiases(layer);
  if (arch_.shared_expert) AddSharedExpert(layer);
}

void Builder::AddExpertBiases(uint64_t layer) {
  const uint64_t experts = spec_.experts;
  AddF32(Name(layer, "ffn_gate_inp.bias"), {experts}, -0.3f, 0.3f);
  AddF32(Name(layer, "ffn_gate_exps.bias"), {ExpertFfn(), experts}, -0.5f, 0.5f);
  AddF32(Name(layer, "ffn_up_exps.bias"), {ExpertFfn(), experts}, -0.5f, 0.5f);
  AddF32(Name(layer, "ffn_down_exps.bias"), {spec_.embd, experts}, -0.5f, 0.5f);
}

void Builder::AddDenseBesideExperts(uint64_t layer) {
  AddFeedForward(layer);
  const float gain = std::sqrt(static_cast<float>(spec_.embd));
  AddF32(Name(layer, "ffn_gate_inp.scale"), {spec_.embd}, 0.5f * gain, gain);
  for (const char* name : {"pre_ffw_norm_2.weight", "post_ffw_norm_1.weight", "post_ffw_norm_2.weight"})
    AddNorm(Name(layer, name), spec_.embd);
  AddF32(Name(layer, "ffn_down_exps.scale"), {spec_.experts}, 0.5f, 1.5f);
}

void Builder::AddPerLayerEmbedding() {
  const uint64_t values = TinyPerLayerValues(), all = values * spec_.layers;
  AddMatrix("per_layer_token_embd.weight", {all, spec_.vocab}, spec_.embedding_type,
            std::sqrt(static_cast<float>(spec_.layers)));
  AddMatrix("per_layer_model_proj.weight", {spec_.embd, all}, spec_.type);
  AddNorm("per_layer_proj_norm.weight", values);
  for (uint64_t layer = 0; layer < spec_.layers; ++layer) {
    AddMatrix(Name(layer, "inp_gate.weight"), {spec_.embd, values}, spec_.type);
    AddMatrix(Name(layer, "proj.weight"), {values, spec_.embd}, spec_.type);
    AddPostNorm(Name(layer, "post_norm.weight"), 0.5f);
  }
}

void Builder::AddSharedExpert(uint64_t layer) {
  if (arch_.shared_expert_router)
    AddF32(Name(layer, "ffn_gate_inp_shexp.weight"), {spec_.embd}, -0.2f, 0.2f);
  // DeepSeek's are so many experts wide.
  const uint64_t ffn = arch_.latent ? 2 * spec_.expert_ffn : spec_.ffn;
  AddMatrix(Name(layer, "ffn_gate_shexp.weight"), {spec_.embd, ffn}, spec_.type, 1.5f);
  AddMatrix(Name(layer, "ffn_up_shexp.weight"), {spec_.embd, ffn}, spec_.type);
  AddMatrix(Name(layer, "ffn_down_shexp.weight"), {ffn, spec_.embd}, spec_.type, BranchGain());
}

// Llama 3.1's: wave lengths up to a quarter of the original context stay, those beyond it are
// stretched by the whole factor, and between the inverse factor goes from one to the other.
void Builder::AddRopeFactors() {
  const uint64_t pairs = spec_.head_dim / 2;
  std::vector<uint8_t> data(pairs * 4);
  for (uint64_t i = 0; i < pairs; ++i) {
    const double exponent = static_cast<double>(i) / static_cast<double>(pairs);
    const double wave = 2.0 * std::acos(-1.0) * std::pow(spec_.rope_freq_base, exponent);
    const double turns = static_cast<double>(spec_.rope_original_ctx) / wave;
    const double kept = std::clamp((turns - 1.0) / 3.0, 0.0, 1.0);
    const float factor = static_cast<float>(1.0 / (kept + (1.0 - kept) / spec_.rope_factor));
    memcpy(data.data() + 4 * i, &factor, 4);
  }
  writer_->AddTensor("rope_freqs.weight", kF32, {pairs}, std::move(data));
}

// Where the head is the embedding, its gain is here. Signs at random, or every state would point
// at the token that it came from and the model would repeat its input for ever.
void Builder::AddOutputNorm() {
  const std::string name = arch_.output_norm_of_embedding ? "token_embd_norm.weight" : "output_norm.weight";
  if (!spec_.tied_head) return AddNorm(name, spec_.embd);
  const float gain = kHeadGain / (std::sqrt(static_cast<float>(spec_.embd)) * EmbeddingRms());
  TestRandom random(Seed(name));
  std::vector<uint8_t> data(spec_.embd * 4);
  for (uint64_t i = 0; i < spec_.embd; ++i) {
    const float value = gain * random.Uniform(0.8f, 1.2f) * (random.Below(2) == 0 ? 1.0f : -1.0f);
    memcpy(data.data() + 4 * i, &value, 4);
  }
  writer_->AddTensor(name, kF32, {spec_.embd}, std::move(data));
}

void Builder::AddTensors() {
  const float embedding_gain = EmbeddingRms() * std::sqrt(static_cast<float>(spec_.embd));
  AddMatrix("token_embd.weight", {spec_.embd, spec_.vocab}, spec_.embedding_type, embedding_gain, spec_.tied_head);
  if (!spec_.tied_head)
    AddMatrix("output.weight", {spec_.embd, spec_.vocab}, spec_.output_type, kHeadGain, true);
  AddOutputNorm();
  if (spec_.llama3_rope) AddRopeFactors();
  if (arch_.per_layer_embedding) AddPerLayerEmbedding();
  if (arch_.narrow_windows) AddF32("rope_freqs.weight", {spec_.head_dim / 2}, 1.0f, 4.0f);
  if (arch_.long_rope) {
    AddF32("rope_factors_long.weight", {spec_.head_dim / 2}, 1.0f, 8.0f);
    AddF32("rope_factors_short.weight", {spec_.head_dim / 2}, 1.0f, 1.5f);
  }
  for (uint64_t layer = 0; layer < spec_.layers; ++layer) {
    if (arch_.pre_norms) AddNorm(Name(layer, "attn_norm.weight"), spec_.embd);
    AddMixer(layer);
    if (!arch_.feed_forward) continue;
    if (arch_.pre_norms && !arch_.parallel) AddNorm(Name(layer, arch_.ffn_norm), spec_.embd);
    if (arch_.experts && !(arch_.dense_lead && layer < spec_.dense_lead)) {
      AddExperts(layer);
    } else {
      AddFeedForward(layer);
    }
    // Softer than attention's: there are two sources of noise in it.
    if (arch_.post_norms) AddPostNorm(Name(layer, "post_ffw_norm.weight"), 0.5f);
    if (arch_.out_scale) AddF32(Name(layer, "layer_output_scale.weight"), {1}, 0.7f, 1.3f);
  }
}

Status CheckTypes(const TinyModelSpec& spec) {
  for (const std::string& type : {spec.type, spec.embedding_type, spec.output_type})
    if (type != "mixed" && FindWeightType(type) == nullptr) {
      std::string names = "mixed";
      for (const WeightType& known : kWeightTypes) names += std::string(", ") + known.name;
      return Impossible("type " + type + " is not one of those written: " + names);
    }
  return Status::Ok();
}

Status CheckShape(const TinyModelSpec& spec) {
  const uint64_t min_vocab = spec.tokenizer == "gpt2" ? kMinByteLevelVocab : kMinSentencePieceVocab;
  if (spec.tokenizer != "gpt2" && spec.tokenizer != "llama") return Impossible("tokenizer is gpt2 or llama");
  if (spec.vocab < min_vocab) return Impossible("vocab is at least " + std::to_string(min_vocab));
  if (spec.head_dim % 2 != 0) return Impossible("head_dim is even");
  const TinyArch& arch = *FindTinyArch(spec.arch);
  if ((arch.kv_heads_array || arch.whole_norms || arch.fused_qkv) && spec.head_dim * spec.heads != spec.embd)
    return Impossible(spec.arch + " has head_dim = embd / heads");
  if (!spec.kv_heads_per_layer.empty() && spec.kv_heads_per_layer.size() != spec.layers)
    return Impossible("kv_heads_per_layer has one entry per layer");
  for (const uint32_t kv : spec.kv_heads_per_layer)
    if (kv != 0 && spec.heads % kv != 0) return Impossible("heads is a multiple of kv_heads");
  if (spec.heads % spec.kv_heads != 0) return Impossible("heads is a multiple of kv_heads");
  if (arch.experts && (spec.experts_used < 1 || spec.experts_used > spec.experts))
    return Impossible("experts_used is 1 to experts");
  return Status::Ok();
}

}  // namespace

const std::vector<std::string>& TinyModelTypes() {
  static const std::vector<std::string> types = WeightTypeNames(false);
  return types;
}

const std::vector<std::string>& TinyModelSpecialTypes() {
  static const std::vector<std::string> types = WeightTypeNames(false, true);
  return types;
}

const std::vector<std::string>& TinyModelMixes() {
  static const std::vector<std::string> mixes = WeightTypeNames(true);
  return mixes;
}

const std::vector<std::string>& TinyModelArchitectures() {
  static const std::vector<std::string> architectures = [] {
    std::vector<std::string> names;
    for (const TinyArch& arch : TinyArchs()) names.push_back(arch.name);
    return names;
  }();
  return architectures;
}

std::string TestNameOf(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

namespace {

void SetStateDefaults(TinyMixer mixer, TinyModelSpec* spec) {
  if (mixer == TinyMixer::kDelta) {
    SetDefault<uint64_t>(&spec->ssm_state, 32);
    SetDefault<uint64_t>(&spec->ssm_heads, 2 * spec->embd / spec->ssm_state);
    SetDefault<uint64_t>(&spec->ssm_inner, spec->ssm_heads * spec->ssm_state);
    return;
  }
  SetDefault<uint64_t>(&spec->ssm_inner, 2 * spec->embd);
  SetDefault<uint64_t>(&spec->ssm_state, 16);
  SetDefault<uint64_t>(&spec->ssm_heads, mixer == TinyMixer::kMamba ? 12 : spec->ssm_inner / 32);
}

}  // namespace

Result<TinyModelSpec> ResolveTinyModel(TinyModelSpec spec) {
  const TinyArch* arch = FindTinyArch(spec.arch);
  if (arch == nullptr) return Impossible("architecture " + spec.arch + " is not one of those written");
  // What the architecture leaves no choice about.
  if (arch->always_tied) spec.tied_head = true;
  if (arch->always_untied) spec.tied_head = false;
  if (arch->latent) spec.kv_heads = 1;
  SetDefault(&spec.embedding_type, spec.type);
  SetDefault(&spec.output_type, spec.type);
  LULL_RETURN_IF_ERROR(CheckTypes(spec));
  const bool wide = NeedsWideRows(spec.type) || NeedsWideRows(spec.embedding_type) ||
                    NeedsWideRows(spec.output_type);
  SetDefault<uint64_t>(&spec.embd, wide ? 256 : 64);
  SetDefault<uint64_t>(&spec.layers, arch->layers);
  SetDefault<uint64_t>(&spec.heads, 4);
  SetDefault<uint64_t>(&spec.kv_heads, std::min<uint64_t>(arch->kv_heads, spec.heads));
  const uint64_t head_dim = std::max<uint64_t>(2, spec.embd / spec.heads);
  SetDefault<uint64_t>(&spec.head_dim, arch->wide_heads ? 2 * head_dim : head_dim);
  SetDefault<uint64_t>(&spec.ffn, spec.embd * 2);
  SetDefault<uint64_t>(&spec.expert_ffn, wide ? 256 : spec.embd);
  SetDefault<uint64_t>(&spec.ctx, 512);
  SetDefault<uint64_t>(&spec.sliding_window, 16);
  SetDefault(&spec.rope_freq_base, arch->rope_base);
  SetDefault(&spec.tokenizer, std::string(arch->tokenizer));
  SetDefault<uint64_t>(&spec.vocab, 320);
  if (spec.kv_heads_per_layer.empty() && arch->recurrent != TinyMixer::kNone)
    for (uint64_t layer = 0; layer < spec.layers; ++layer) {
      const bool attention = arch->attention_period > 0 && (layer + 1) % arch->attention_period == 0;
      spec.kv_heads_per_layer.push_back(attention ? static_cast<uint32_t>(spec.kv_heads) : 0);
    }
  SetStateDefaults(arch->recurrent, &spec);
  LULL_RETURN_IF_ERROR(CheckShape(spec));
  return spec;
}

Status BuildTinyModel(const TinyModelSpec& spec, GgufWriter* writer) {
  // The row sources copy what they need, so the resolved spec may go out of scope.
  LULL_ASSIGN_OR_RETURN(const TinyModelSpec resolved, ResolveTinyModel(spec));
  Builder builder(resolved, writer);
  builder.AddMetadata();
  builder.AddTensors();
  return Status::Ok();
}

Status WriteTinyModel(const TinyModelSpec& spec, const std::string& path) {
  GgufWriter writer;
  writer.set_durable(false);
  LULL_RETURN_IF_ERROR(BuildTinyModel(spec, &writer));
  return writer.Write(path);
}

}  // namespace lull
