// What the logits programs share: token files and a llama.cpp model with a context.
#pragma once

#include <llama.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace oracle {

// Logits are wanted from position `first` on.
struct Sequence {
  int first = 0;
  std::vector<llama_token> tokens;
};

// The whole file is one sequence of ids; with `lines` each line is one, after its `first`.
inline std::vector<Sequence> ReadSequences(const std::string& path, bool lines) {
  std::vector<Sequence> sequences;
  std::ifstream file(path);
  if (!lines) {
    Sequence sequence;
    for (llama_token id; file >> id;) sequence.tokens.push_back(id);
    if (!sequence.tokens.empty()) sequences.push_back(std::move(sequence));
    return sequences;
  }
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Sequence sequence;
    fields >> sequence.first;
    for (llama_token id; fields >> id;) sequence.tokens.push_back(id);
    if (!sequence.tokens.empty()) sequences.push_back(std::move(sequence));
  }
  return sequences;
}

enum class Mode {
  kPlain,     // no repacked weights: those kernels change with the machine
  kDefaults,  // as llama.cpp runs when nothing is set
  kExact,     // F32 keys and values, no flash attention, no repacking: for an F32 file
};

struct Session {
  llama_model* model = nullptr;
  llama_context* context = nullptr;
  size_t vocab = 0;

  ~Session() {
    llama_free(context);
    llama_model_free(model);
  }

  bool Open(const char* path, Mode mode, size_t max_tokens, int threads) {
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
          if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
        },
        nullptr);
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.use_extra_bufts = mode == Mode::kDefaults;
    model = llama_model_load_from_file(path, model_params);
    if (model == nullptr) return false;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(max_tokens + 8);
    params.n_batch = static_cast<uint32_t>(std::max<size_t>(max_tokens, 1));
    params.n_threads = params.n_threads_batch = threads;
    if (mode == Mode::kExact) {
      params.type_k = params.type_v = GGML_TYPE_F32;
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    context = llama_init_from_model(model, params);
    if (context == nullptr) return false;
    vocab = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
    fprintf(stderr, "system: %s\n", llama_print_system_info());
    return true;
  }

  // Appends tokens[begin, end) at their positions; logits from position `first` on.
  bool Feed(const std::vector<llama_token>& tokens, size_t begin, size_t end, size_t first) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(end - begin), 0, 1);
    batch.n_tokens = static_cast<int32_t>(end - begin);
    for (size_t i = begin; i < end; ++i) {
      const size_t row = i - begin;
      batch.token[row] = tokens[i];
      batch.pos[row] = static_cast<llama_pos>(i);
      batch.n_seq_id[row] = 1;
      batch.seq_id[row][0] = 0;
      batch.logits[row] = i >= first;
    }
    const bool ok = llama_decode(context, batch) == 0;
    llama_batch_free(batch);
    return ok;
  }

  // A low-rank adapter for all that follows.
  bool Adapt(const char* path, float scale) {
    llama_adapter_lora* adapter = llama_adapter_lora_init(model, path);
    return adapter != nullptr && llama_set_adapters_lora(context, &adapter, 1, &scale) == 0;
  }

  void Forget() { llama_memory_clear(llama_get_memory(context), true); }
};

// Options after the fixed arguments; false where one is unknown.
struct Options {
  bool lines = false;
  Mode mode = Mode::kPlain;
  int threads = 2;
  int new_tokens = 64;
  std::string lora;
  float lora_scale = 1.0f;

  bool Parse(int argc, char** argv, int first) {
    for (int i = first; i < argc; ++i) {
      const std::string arg = argv[i];
      if (arg == "--lines") lines = true;
      else if (arg == "--defaults") mode = Mode::kDefaults;
      else if (arg == "--exact") mode = Mode::kExact;
      else if (arg == "--threads" && i + 1 < argc) threads = std::stoi(argv[++i]);
      else if (arg == "--new" && i + 1 < argc) new_tokens = std::stoi(argv[++i]);
      else if (arg == "--lora" && i + 1 < argc) lora = argv[++i];
      else if (arg == "--lora-scale" && i + 1 < argc) lora_scale = std::stof(argv[++i]);
      else return false;
    }
    return true;
  }
};

inline size_t LongestOf(const std::vector<Sequence>& sequences) {
  size_t longest = 0;
  for (const Sequence& sequence : sequences) longest = std::max(longest, sequence.tokens.size());
  return longest;
}

}  // namespace oracle
