#include "tests/support/hf_folder_writer.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <vector>

namespace lull {
namespace {

using Json = nlohmann::json;

// Endings of names within a layer, and of names outside of layers.
const std::map<std::string, std::string> kNames = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},  // olmo2
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};

// Of single architectures, before those. {}: the expert.
const std::map<std::string, std::map<std::string, std::string>> kOwnNames = {
    {"qwen3moe",
     {{"ffn_gate_inp.weight", "mlp.gate.weight"},
      {"ffn_gate_exps.weight", "mlp.experts.{}.gate_proj.weight"},
      {"ffn_up_exps.weight", "mlp.experts.{}.up_proj.weight"},
      {"ffn_down_exps.weight", "mlp.experts.{}.down_proj.weight"}}},
    {"granitemoe",
     {{"ffn_gate_inp.weight", "block_sparse_moe.router.layer.weight"},
      {"ffn_gate_exps.weight", "block_sparse_moe.input_linear.weight"},
      {"ffn_down_exps.weight", "block_sparse_moe.output_linear.weight"},
      {"ffn_gate_shexp.weight", "shared_mlp.input_linear.weight"},
      {"ffn_down_shexp.weight", "shared_mlp.output_linear.weight"}}},
    {"lfm2moe",
     {{"token_embd_norm.weight", "model.embedding_norm.weight"},
      {"attn_norm.weight", "operator_norm.weight"},
      {"ffn_norm.weight", "ffn_norm.weight"},
      {"attn_output.weight", "self_attn.out_proj.weight"},
      {"attn_q_norm.weight", "self_attn.q_layernorm.weight"},
      {"attn_k_norm.weight", "self_attn.k_layernorm.weight"},
      {"shortconv.conv.weight", "conv.conv.weight"},
      {"shortconv.in_proj.weight", "conv.in_proj.weight"},
      {"shortconv.out_proj.weight", "conv.out_proj.weight"},
      {"ffn_gate.weight", "feed_forward.w1.weight"},
      {"ffn_down.weight", "feed_forward.w2.weight"},
      {"ffn_up.weight", "feed_forward.w3.weight"},
      {"ffn_gate_inp.weight", "feed_forward.gate.weight"},
      {"exp_probs_b.bias", "feed_forward.expert_bias"},
      {"ffn_gate_exps.weight", "feed_forward.experts.{}.w1.weight"},
      {"ffn_down_exps.weight", "feed_forward.experts.{}.w2.weight"},
      {"ffn_up_exps.weight", "feed_forward.experts.{}.w3.weight"}}},
    {"gemma2", {{"ffn_norm.weight", "pre_feedforward_layernorm.weight"}}},
    {"gemma3", {{"ffn_norm.weight", "pre_feedforward_layernorm.weight"}}},
    {"gemma4",
     {{"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
      {"layer_output_scale.weight", "layer_scalar"},
      {"per_layer_token_embd.weight", "model.embed_tokens_per_layer.weight"},
      {"per_layer_model_proj.weight", "model.per_layer_model_projection.weight"},
      {"per_layer_proj_norm.weight", "model.per_layer_projection_norm.weight"},
      {"inp_gate.weight", "per_layer_input_gate.weight"},
      {"proj.weight", "per_layer_projection.weight"},
      {"post_norm.weight", "post_per_layer_input_norm.weight"}}},
};
const std::map<std::string, std::string> kModelTypes = {{"qwen3moe", "qwen3_moe"},
                                                        {"granitemoe", "granitemoeshared"},
                                                        {"gemma3", "gemma3_text"},
                                                        {"gemma4", "gemma4_text"},
                                                        {"lfm2moe", "lfm2_moe"}};

// Keys of config.json and of GGUF, where a file has them.
const std::pair<const char*, const char*> kUintKeys[] = {
    {"num_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"shared_intermediate_size", "expert_shared_feed_forward_length"},
    {"conv_L_cache", "shortconv.l_cache"},
    {"num_dense_layers", "leading_dense_block_count"}};
const std::pair<const char*, const char*> kFloatKeys[] = {
    {"embedding_multiplier", "embedding_scale"},
    {"residual_multiplier", "residual_scale"},
    {"attention_multiplier", "attention.scale"},
    {"logits_scaling", "logit_scale"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"}};

std::string HubName(const std::string& arch, const std::string& name) {
  const auto own = kOwnNames.find(arch);
  const bool in_layer = name.starts_with("blk.");
  const size_t dot = in_layer ? name.find('.', 4) : 0;
  const std::string inner = in_layer ? name.substr(dot + 1) : name;
  const bool is_own = own != kOwnNames.end() && own->second.contains(inner);
  if (!in_layer) return is_own ? own->second.at(inner) : kNames.at(name);
  return "model.layers." + name.substr(4, dot - 4) + "." +
         (is_own ? own->second.at(inner) : kNames.at(inner));
}

struct HubTensor {
  std::string name, dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};

class FolderWriter {
 public:
  FolderWriter(const GgufFile& gguf, const HfFolderSpec& spec, const std::string& folder)
      : gguf_(gguf), spec_(spec), folder_(folder) {}

  Status Write() {
    arch_ = gguf_.GetString("general.architecture").value();
    Put("config.json", Config().dump());
    Put("tokenizer.json", Tokenizer().dump());
    const Json texts = {{"bos_token", Token("bos")},
                        {"eos_token", {{"content", Token("eos")}}},
                        {"unk_token", nullptr},
                        {"chat_template", gguf_.GetString("tokenizer.chat_template").value()}};
    Put("tokenizer_config.json", texts.dump());
    WriteWeights();
    return status_;
  }

 private:
  void Put(const std::string& name, const std::string& bytes) {
    std::ofstream out(folder_ + "/" + name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!out) status_ = Status(ErrorCode::kIo, "cannot write", name);
  }
  uint64_t Uint(const char* key) const { return gguf_.GetUint(arch_ + "." + key).value(); }
  std::string Token(const std::string& role) const {
    const uint64_t id = gguf_.GetUint("tokenizer.ggml." + role + "_token_id").value();
    return std::string(gguf_.GetStringArray("tokenizer.ggml.tokens").value()[id]);
  }
  uint64_t HeadDim() const {
    const std::string key = arch_ + ".attention.key_length";
    return gguf_.Has(key) ? gguf_.GetUint(key).value()
                          : Uint("embedding_length") / Uint("attention.head_count");
  }

  uint64_t KvHeads() const {
    const std::string key = arch_ + ".attention.head_count_kv";
    if (gguf_.TypeOf(key) != GgufValueType::kArray) return gguf_.GetUint(key).value();
    const auto heads = gguf_.GetIntArray(key).value();
    return static_cast<uint64_t>(*std::max_element(heads.begin(), heads.end()));
  }

  Json Config() const {
    Json config = {
        {"model_type", kModelTypes.contains(arch_) ? kModelTypes.at(arch_) : arch_},
        {"architectures", {"Tiny"}},
        {"torch_dtype", "bfloat16"},
        {"hidden_act", "silu"},
        {"num_hidden_layers", Uint("block_count")},
        {"max_position_embeddings", Uint("context_length")},
        {"hidden_size", Uint("embedding_length")},
        {"intermediate_size", Uint("feed_forward_length")},
        {"num_attention_heads", Uint("attention.head_count")},
        {"num_key_value_heads", KvHeads()},
        {"head_dim", HeadDim()},
        {"vocab_size", Uint("vocab_size")},
        {"rms_norm_eps", gguf_.GetFloat(arch_ + ".attention.layer_norm_rms_epsilon").value()},
        {"rope_theta", gguf_.GetFloat(arch_ + ".rope.freq_base").value()},
        {"rope_scaling", nullptr},
        {"tie_word_embeddings", gguf_.FindTensor("output.weight") == nullptr}};
    for (const auto& [name, key] : kFloatKeys)
      if (gguf_.Has(arch_ + "." + key)) config[name] = gguf_.GetFloat(arch_ + "." + key).value();
    for (const auto& [name, key] : kUintKeys)
      if (gguf_.Has(arch_ + "." + key)) config[name] = Uint(key);
    if (arch_ == "lfm2moe") {
      config["routed_scaling_factor"] = 1.0;
      const auto kv_heads = gguf_.GetIntArray(arch_ + ".attention.head_count_kv").value();
      for (const int64_t heads : kv_heads)
        config["layer_types"].push_back(heads > 0 ? "full_attention" : "conv");
    }
    if (arch_ == "qwen3moe") config["norm_topk_prob"] = true;
    if (arch_.starts_with("gemma")) {
      config["hidden_act"] = "gelu_pytorch_tanh";
      config["query_pre_attn_scalar"] = HeadDim();
      config["sliding_window"] = Uint("attention.sliding_window");
    }
    if (arch_ == "gemma4") AddGemma4(&config);
    if (spec_.config.is_object()) config.merge_patch(spec_.config);
    if (spec_.images)
      return {{"model_type", arch_}, {"text_config", config}, {"vision_config", {{"layers", 1}}}};
    return config;
  }

  void AddGemma4(Json* config) const {
    for (const char* key : {"hidden_act", "query_pre_attn_scalar", "rope_theta"})
      config->erase(key);
    config->update(Json{{"hidden_activation", "gelu_pytorch_tanh"},
                        {"head_dim", Uint("attention.key_length_swa")},
                        {"global_head_dim", Uint("attention.key_length")},
                        {"num_kv_shared_layers", Uint("attention.shared_kv_layers")},
                        {"hidden_size_per_layer_input", Uint("embedding_length_per_layer_input")}});
    const auto windows = gguf_.GetIntArray(arch_ + ".attention.sliding_window_pattern").value();
    for (const int64_t windowed : windows)
      (*config)["layer_types"].push_back(windowed != 0 ? "sliding_attention" : "full_attention");
    (*config)["rope_parameters"] = {
        {"full_attention",
         {{"rope_type", "proportional"},
          {"rope_theta", gguf_.GetFloat(arch_ + ".rope.freq_base").value()},
          {"partial_rotary_factor", 0.25}}},
        {"sliding_attention",
         {{"rope_type", "default"},
          {"rope_theta", gguf_.GetFloat(arch_ + ".rope.freq_base_swa").value()}}}};
  }

  Json Tokenizer() const {
    const auto tokens = gguf_.GetStringArray("tokenizer.ggml.tokens").value();
    const auto types = gguf_.GetIntArray("tokenizer.ggml.token_type").value();
    Json vocab = Json::object(), added = Json::array(), merges = Json::array();
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (types[id] == 3) added.push_back({{"id", id}, {"content", tokens[id]}, {"special", true}});
      if (types[id] == 1) vocab[std::string(tokens[id])] = id;
    }
    const auto pairs = gguf_.GetStringArray("tokenizer.ggml.merges").value();
    for (const std::string_view merge : pairs) {
      const size_t space = merge.find(' ');
      // Both forms in use.
      if (merges.size() % 2 == 0)
        merges.push_back(merge);
      else
        merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
    }
    const Json steps = {{{"type", "Digits"}, {"individual_digits", true}},
                        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}};
    return {{"added_tokens", added},
            {"normalizer", nullptr},
            {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
            {"model",
             {{"type", "BPE"}, {"byte_fallback", false}, {"vocab", vocab}, {"merges", merges}}}};
  }

  // Q and K of files that rotate neighbours have the two halves of a head interleaved.
  std::string Rows(const GgufTensor& tensor) const {
    std::string bytes(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
    const bool turned = tensor.name.find("attn_q.") != std::string::npos ||
                        tensor.name.find("attn_k.") != std::string::npos;
    if (arch_.starts_with("gemma") && arch_ != "gemma4" &&
        tensor.name.find("norm.") != std::string::npos)
      return LessOne(bytes);
    const bool neighbours = arch_ == "llama" || arch_ == "smollm3" || arch_.starts_with("granite");
    if (!neighbours || !turned) return bytes;
    const uint64_t rows = tensor.dims.back(), row_bytes = bytes.size() / rows, head = HeadDim();
    for (uint64_t row = 0; row < rows; ++row) {
      const uint64_t in_head = row % head, half = head / 2;
      const uint64_t to = row - in_head + (in_head % 2 == 0 ? 0 : half) + in_head / 2;
      memcpy(&bytes[to * row_bytes], tensor.data.data() + row * row_bytes, row_bytes);
    }
    return bytes;
  }

  static std::string LessOne(std::string bytes) {
    for (size_t i = 0; i < bytes.size(); i += sizeof(float)) {
      float value = 0;
      memcpy(&value, &bytes[i], sizeof(float));
      value -= 1.0f;
      memcpy(&bytes[i], &value, sizeof(float));
    }
    return bytes;
  }

  static HubTensor Split(const HubTensor& whole, uint64_t index) {
    HubTensor part = whole;
    part.name.replace(part.name.rfind("{}"), 2, std::to_string(index));
    part.shape.erase(part.shape.begin());
    const size_t size = whole.bytes.size() / whole.shape[0];
    part.bytes = whole.bytes.substr(index * size, size);
    return part;
  }

  // The rows of the gates and behind them those of the ups, for every expert.
  static void Join(HubTensor* gates, const std::string& ups) {
    const uint64_t experts = gates->shape.size() == 3 ? gates->shape[0] : 1;
    const size_t size = ups.size() / experts;
    std::string joined;
    for (uint64_t e = 0; e < experts; ++e)
      joined += gates->bytes.substr(e * size, size) + ups.substr(e * size, size);
    gates->bytes = std::move(joined);
    gates->shape[gates->shape.size() - 2] *= 2;
  }

  std::vector<HubTensor> HubTensors() const {
    std::vector<HubTensor> tensors;
    for (const GgufTensor& tensor : gguf_.tensors()) {
      const bool up_of_granite =
          arch_ == "granitemoe" && tensor.name.find("ffn_up_") != std::string::npos;
      if (up_of_granite || tensor.name == "rope_freqs.weight") continue;
      HubTensor hub{HubName(arch_, tensor.name),
                    GgufTypeName(tensor.type_id),
                    {tensor.dims.rbegin(), tensor.dims.rend()},
                    Rows(tensor)};
      if (hub.name.ends_with("conv.conv.weight")) hub.shape.insert(hub.shape.begin() + 1, 1);
      if (const size_t gate = tensor.name.find("ffn_gate_");
          arch_ == "granitemoe" && hub.name.ends_with("input_linear.weight")) {
        std::string up = tensor.name;
        Join(&hub, Rows(*gguf_.FindTensor(up.replace(gate, 9, "ffn_up_"))));
      }
      if (hub.name.find("{}") == std::string::npos) {
        tensors.push_back(std::move(hub));
        continue;
      }
      for (uint64_t e = 0; e < hub.shape[0]; ++e) tensors.push_back(Split(hub, e));
    }
    return tensors;
  }

  void WriteWeights() {
    const auto files = static_cast<size_t>(spec_.files);
    std::vector<Json> headers(files, Json{{"__metadata__", {{"format", "pt"}}}});
    std::vector<std::string> data(files);
    Json map;
    size_t i = 0;
    std::vector<HubTensor> tensors = HubTensors();
    if (spec_.images) {
      for (HubTensor& tensor : tensors) tensor.name = "language_model." + tensor.name;
      tensors.push_back({"vision_tower.layers.0.weight", "F32", {1}, std::string(4, '\0')});
    }
    for (const HubTensor& tensor : tensors) {
      const size_t begin = data[i % files].size();
      data[i % files] += tensor.bytes;
      headers[i % files][tensor.name] = {{"dtype", tensor.dtype},
                                         {"shape", tensor.shape},
                                         {"data_offsets", {begin, data[i % files].size()}}};
      map[tensor.name] = FileName(i % files);
      ++i;
    }
    for (i = 0; i < files; ++i) {
      const std::string header = headers[i].dump();
      const uint64_t length = header.size();
      Put(FileName(i), std::string(reinterpret_cast<const char*>(&length), 8) + header + data[i]);
    }
    if (files > 1) Put("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  }
  std::string FileName(size_t i) const {
    return spec_.files == 1 ? "model.safetensors"
                            : "model-" + std::to_string(i + 1) + ".safetensors";
  }

  const GgufFile& gguf_;
  const HfFolderSpec& spec_;
  const std::string folder_;
  std::string arch_;
  Status status_;
};

}  // namespace

Status WriteHfFolder(const GgufFile& gguf, const HfFolderSpec& spec, const std::string& folder) {
  return FolderWriter(gguf, spec, folder).Write();
}

}  // namespace lull
