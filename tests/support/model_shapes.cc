#include "tests/support/model_shapes.h"

namespace lull {
namespace {

// Not in the configurations: which kind of vocabulary stands in for the real one. Its size is real.
std::vector<ModelShape> MakeShapes() {
  return {
      {"smollm2-135m",
       {.arch = "llama", .vocab = 49152, .embd = 576, .layers = 30, .heads = 9, .kv_heads = 3, .head_dim = 64,
        .ffn = 1536, .ctx = 8192, .tied_head = true, .rope_freq_base = 1e5, .rms_eps = 1e-5,
        .tokenizer = "gpt2", .pre = "smollm"}},
      {"gemma-3-270m",
       {.arch = "gemma3", .vocab = 262144, .embd = 640, .layers = 18, .heads = 4, .kv_heads = 1, .head_dim = 256,
        .ffn = 2048, .ctx = 32768, .tied_head = true, .rope_freq_base = 1e6, .rms_eps = 1e-6,
        .sliding_window = 512, .tokenizer = "llama", .add_bos = true}},
      {"gemma-3-1b",
       {.arch = "gemma3", .vocab = 262144, .embd = 1152, .layers = 26, .heads = 4, .kv_heads = 1, .head_dim = 256,
        .ffn = 6912, .ctx = 32768, .tied_head = true, .rope_freq_base = 1e6, .rms_eps = 1e-6,
        .sliding_window = 512, .tokenizer = "llama", .add_bos = true}},
      {"llama-3.2-1b",
       {.arch = "llama", .vocab = 128256, .embd = 2048, .layers = 16, .heads = 32, .kv_heads = 8, .head_dim = 64,
        .ffn = 8192, .ctx = 131072, .tied_head = true, .rope_freq_base = 5e5, .rms_eps = 1e-5,
        .llama3_rope = true, .rope_factor = 32, .rope_original_ctx = 8192,
        .tokenizer = "gpt2", .pre = "llama-bpe", .add_bos = true}},
      // Version 0.3: no sliding window.
      {"mistral-7b",
       {.arch = "llama", .vocab = 32768, .embd = 4096, .layers = 32, .heads = 32, .kv_heads = 8, .head_dim = 128,
        .ffn = 14336, .ctx = 32768, .rope_freq_base = 1e6, .rms_eps = 1e-5,
        .tokenizer = "llama", .add_bos = true}},
      {"qwen3-8b",
       {.arch = "qwen3", .vocab = 151936, .embd = 4096, .layers = 36, .heads = 32, .kv_heads = 8, .head_dim = 128,
        .ffn = 12288, .ctx = 40960, .rope_freq_base = 1e6, .rms_eps = 1e-6,
        .tokenizer = "gpt2", .pre = "qwen2"}},
      {"lfm2-8b-a1b",
       {.arch = "lfm2moe", .vocab = 65536, .embd = 2048, .layers = 24, .heads = 32, .kv_heads = 8, .head_dim = 64,
        .ffn = 7168, .ctx = 128000, .tied_head = true, .rope_freq_base = 1e6, .rms_eps = 1e-5, .conv_l_cache = 3,
        .kv_heads_per_layer = {0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 8, 0, 0},
        // In each of 22 routers rounding exchanges an expert now and then; louder experts would carry that
        // from layer to layer until two correct programs part.
        .experts = 32, .experts_used = 4, .expert_ffn = 1792, .dense_lead = 2, .expert_gain = 0.25f,
        .tokenizer = "gpt2", .pre = "lfm2", .add_bos = true}},
  };
}

Status NoSuchShape(const std::string& name) {
  std::string names;
  for (const ModelShape& shape : ModelShapes()) names += (names.empty() ? "" : ", ") + std::string(shape.name);
  return Status(ErrorCode::kUsage, "there is no shape \"" + name + "\"; there are " + names);
}

}  // namespace

const std::vector<ModelShape>& ModelShapes() {
  static const std::vector<ModelShape> shapes = MakeShapes();
  return shapes;
}

Result<TinyModelSpec> SpecOfShape(const std::string& name, uint64_t layers) {
  for (const ModelShape& shape : ModelShapes()) {
    if (name != shape.name) continue;
    TinyModelSpec spec = shape.spec;
    spec.full_vocab = true;
    if (layers > spec.layers)
      return Status(ErrorCode::kUsage, name + " has " + std::to_string(spec.layers) + " layers, not " +
                    std::to_string(layers));
    if (layers > 0) spec.layers = layers;
    if (!spec.kv_heads_per_layer.empty()) spec.kv_heads_per_layer.resize(spec.layers);
    return spec;
  }
  return NoSuchShape(name);
}

}  // namespace lull
