#include "tests/support/hf_folder_writer.h"

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

std::string HubName(const std::string& name) {
  if (!name.starts_with("blk.")) return kNames.at(name);
  const size_t dot = name.find('.', 4);
  return "model.layers." + name.substr(4, dot - 4) + "." + kNames.at(name.substr(dot + 1));
}

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

  Json Config() const {
    Json config = {
        {"model_type", arch_},
        {"architectures", {"Tiny"}},
        {"torch_dtype", "bfloat16"},
        {"hidden_act", "silu"},
        {"num_hidden_layers", Uint("block_count")},
        {"max_position_embeddings", Uint("context_length")},
        {"hidden_size", Uint("embedding_length")},
        {"intermediate_size", Uint("feed_forward_length")},
        {"num_attention_heads", Uint("attention.head_count")},
        {"num_key_value_heads", Uint("attention.head_count_kv")},
        {"head_dim", HeadDim()},
        {"vocab_size", Uint("vocab_size")},
        {"rms_norm_eps", gguf_.GetFloat(arch_ + ".attention.layer_norm_rms_epsilon").value()},
        {"rope_theta", gguf_.GetFloat(arch_ + ".rope.freq_base").value()},
        {"rope_scaling", nullptr},
        {"tie_word_embeddings", gguf_.FindTensor("output.weight") == nullptr}};
    const std::pair<const char*, const char*> kScales[] = {
        {"embedding_multiplier", "embedding_scale"},
        {"residual_multiplier", "residual_scale"},
        {"attention_multiplier", "attention.scale"},
        {"logits_scaling", "logit_scale"}};
    for (const auto& [name, key] : kScales)
      if (arch_ == "granite") config[name] = gguf_.GetFloat(arch_ + "." + key).value();
    if (spec_.config.is_object()) config.merge_patch(spec_.config);
    return config;
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
    if ((arch_ != "llama" && arch_ != "granite") || !turned) return bytes;
    const uint64_t rows = tensor.dims.back(), row_bytes = bytes.size() / rows, head = HeadDim();
    for (uint64_t row = 0; row < rows; ++row) {
      const uint64_t in_head = row % head, half = head / 2;
      const uint64_t to = row - in_head + (in_head % 2 == 0 ? 0 : half) + in_head / 2;
      memcpy(&bytes[to * row_bytes], tensor.data.data() + row * row_bytes, row_bytes);
    }
    return bytes;
  }

  void WriteWeights() {
    const auto files = static_cast<size_t>(spec_.files);
    std::vector<Json> headers(files, Json{{"__metadata__", {{"format", "pt"}}}});
    std::vector<std::string> data(files);
    Json map;
    for (size_t i = 0; i < gguf_.tensors().size(); ++i) {
      const GgufTensor& tensor = gguf_.tensors()[i];
      const std::string name = HubName(tensor.name);
      const size_t begin = data[i % files].size();
      data[i % files] += Rows(tensor);
      headers[i % files][name] = {
          {"dtype", GgufTypeName(tensor.type_id)},
          {"shape", std::vector<uint64_t>(tensor.dims.rbegin(), tensor.dims.rend())},
          {"data_offsets", {begin, data[i % files].size()}}};
      map[name] = FileName(i % files);
    }
    for (size_t i = 0; i < files; ++i) {
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
