// Random-weight GGUF models from a seed: small enough for a test unless the spec says otherwise
// (model_shapes.h), complete enough (tokenizer, chat template, every tensor) that any GGUF runtime
// loads them. The same spec gives the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"
#include "lull/status.h"

namespace lull {

// 0 and "" mean: the default of the architecture and type (see ResolveTinyModel).
struct TinyModelSpec {
  std::string arch = "llama";     // one of TinyModelArchitectures()
  // Of the weight matrices: a type, a mix of types as files have them (Q4_K_M, Q5_K_M), or "mixed":
  // another type for every tensor. K-quants give way to a type with blocks of 32 where rows need it.
  std::string type = "F32";
  std::string embedding_type{};   // token_embd; default `type`
  std::string output_type{};      // output head; default `type`
  uint64_t seed = 1;

  uint64_t vocab = 0;             // at least 300 for "llama" tokenizers, 259 for "gpt2"
  uint64_t embd = 0;
  uint64_t layers = 0;
  uint64_t heads = 0;
  uint64_t kv_heads = 0;
  uint64_t head_dim = 0;          // lfm2, lfm2moe: always embd / heads
  uint64_t ffn = 0;
  uint64_t ctx = 0;
  bool tied_head = false;         // no output.weight: token_embd serves as the head
  double rope_freq_base = 0;      // 0: 10000, or 1e6 where the architecture says so
  double rms_eps = 1e-5;

  bool llama3_rope = false;       // llama: rope_freqs.weight with factors from 1 to rope_factor
  double rope_factor = 8;
  uint64_t rope_original_ctx = 512;
  bool rope_dimension_count = true;  // write the (redundant) key
  uint64_t sliding_window = 0;    // gemma3: default 16. Other architectures: not written
  uint64_t conv_l_cache = 3;      // lfm2, lfm2moe
  std::vector<uint32_t> kv_heads_per_layer{};  // lfm2, lfm2moe: 0 is a convolution layer
  // State spaces and delta nets, where the architecture has them.
  uint64_t ssm_inner = 0;         // default 2 embd
  uint64_t ssm_state = 0;
  uint64_t ssm_heads = 0;         // mamba: rank of the widths
  uint64_t ssm_groups = 2;
  uint64_t experts = 4;           // lfm2moe
  uint64_t experts_used = 2;
  uint64_t expert_ffn = 0;
  uint64_t dense_lead = 1;
  float expert_gain = 1.0f;       // what experts add, relative to other branches

  std::string tokenizer{};        // "gpt2" or "llama"; gemma3: "llama"
  std::string pre = "smollm";     // of "gpt2"
  bool add_bos = false;
  bool full_vocab = false;        // every id a piece of text with its merge, as trained ones have
  bool chat_template = true;
};

// The spec with every default filled in; error where it cannot be built.
Result<TinyModelSpec> ResolveTinyModel(TinyModelSpec spec);

// Adds metadata, tokenizer and tensors. Rows are generated while the file is written, so real
// shapes need no memory.
Status BuildTinyModel(const TinyModelSpec& spec, GgufWriter* writer);
Status WriteTinyModel(const TinyModelSpec& spec, const std::string& path);

// The weight types that BuildTinyModel writes: those to loop over with every architecture; those that
// add nothing there, since a type is a type: for one dense and one expert architecture, kTypesSeenWith;
// and the mixes of types.
const std::vector<std::string>& TinyModelTypes();
const std::vector<std::string>& TinyModelSpecialTypes();
inline constexpr const char* kTypesSeenWith[] = {"llama", "lfm2moe"};
const std::vector<std::string>& TinyModelMixes();
const std::vector<std::string>& TinyModelArchitectures();
// An architecture's name as part of a test's: "gpt_oss".
std::string TestNameOf(std::string name);

}  // namespace lull
