// What sets the architectures apart that tiny models are written of: on purpose not taken from
// src/model/arch, which is what the models test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

class GgufWriter;
struct TinyModelSpec;

enum class TinyMixer { kNone, kShortConv, kMamba, kMamba2, kDelta };

// Widths of DeepSeek V2's attention: ranks of Q and of the latent, of a head of K and of V, and how
// much of K turns.
struct TinyLatent {
  uint64_t q_rank = 96, kv_rank = 64, key = 48, value = 32, rotated = 16;
};

struct TinyArch {
  const char* name;
  const char* file_name = nullptr;  // general.architecture, where there are several of one
  uint64_t layers = 2;
  uint64_t kv_heads = 2;
  double rope_base = 1e6;
  const char* tokenizer = "gpt2";
  bool sliding_window = false;   // the key is written
  TinyMixer recurrent = TinyMixer::kNone;  // what layers without KV heads are
  uint64_t attention_period = 3;  // every so many layers one has KV heads; 0: none has
  bool kv_heads_array = false;    // the file says which
  bool output_norm_of_embedding = false;  // its tensor is named token_embd_norm (LFM2)
  bool gated_attention = false;
  bool half_rotation = false;     // rope.dimension_count is half a head
  bool feed_forward = true;
  bool wide_heads = false;       // twice embd / heads
  bool head_dim_keys = false;    // key_length and value_length, also where they follow
  bool pre_norms = true;         // before the half-blocks
  bool layer_norm = false;       // norms subtract the mean; the key of epsilon is another
  bool parallel = false;         // one norm for both half-blocks
  bool post_norms = false;       // behind them, on what they add
  bool head_norms = false;       // of each head of Q and K
  bool whole_norms = false;      // of Q and K over all heads
  bool qkv_bias = false;
  bool o_bias = false;
  bool sinks = false;
  bool fused_qkv = false;        // Q, K and V in attn_qkv
  bool fused_gate_up = false;    // gate and up in ffn_up
  bool scaled_embedding = false; // by sqrt(embd): the table holds less
  bool experts = false;
  bool dense_lead = false;       // leading_dense_block_count is written
  bool router_selection_bias = false;  // exp_probs_b
  bool expert_biases = false;
  bool shared_expert = false;
  bool shared_expert_router = false;
  bool expert_ffn_key = true;    // else feed_forward_length is an expert's
  const char* ffn_norm = "ffn_norm.weight";
  bool always_untied = false;    // llama.cpp wants output.weight
  bool always_tied = false;      // there is no output.weight
  void (*add_keys)(const TinyModelSpec& spec, GgufWriter* writer) = nullptr;
  bool long_rope = false;        // tensors rope_factors_long and _short
  // Of Q and of K: scores spread enough that attention prefers some positions, and not so much that
  // rounding grows from layer to layer.
  float score_gain = 1.2f;
  float expert_gain = 1.0f;  // softer where a router's near-ties would be heard all over
  // Gemma 4's. Layers with a window have half as wide heads, which turn whole.
  bool narrow_windows = false;
  uint64_t shared_kv_layers = 0;
  bool per_layer_embedding = false;
  bool values_of_keys = false;    // full layers have no attn_v
  bool dense_beside_experts = false;
  bool out_scale = false;
  bool latent = false;            // DeepSeek V2's attention
  const char* title = nullptr;   // in general.name, where llama.cpp reads more than a name out of it
};

const std::vector<TinyArch>& TinyArchs();
// Whether a layer of an architecture with narrow_windows has one.
bool TinyLocal(const TinyArch& arch, uint64_t layer);
uint64_t TinyPerLayerValues();
const TinyArch* FindTinyArch(std::string_view name);

}  // namespace lull
