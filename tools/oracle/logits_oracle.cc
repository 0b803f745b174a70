// Logits of llama.cpp for given token ids: logits_oracle MODEL TOKENS_FILE OUT
// TOKENS_FILE holds decimal ids separated by white space; OUT gets f32 [tokens, vocab].
#include <llama.h>

#include <cstdio>
#include <fstream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: logits_oracle MODEL TOKENS_FILE OUT\n");
    return 2;
  }
  std::vector<llama_token> tokens;
  std::ifstream in(argv[2]);
  for (llama_token id; in >> id;) tokens.push_back(id);
  if (tokens.empty()) return 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
      },
      nullptr);
  llama_backend_init();
  llama_model_params model_params = llama_model_default_params();
  // Repacked (and AMX) kernels change with the machine; the plain ones are the reference.
  model_params.use_extra_bufts = false;
  llama_model* model = llama_model_load_from_file(argv[1], model_params);
  if (model == nullptr) return 3;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(tokens.size() + 8);
  params.n_batch = static_cast<uint32_t>(tokens.size());
  params.n_threads = 2;
  params.n_threads_batch = 2;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 3;
  const size_t vocab = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
  batch.n_tokens = static_cast<int32_t>(tokens.size());
  for (int i = 0; i < batch.n_tokens; ++i) {
    batch.token[i] = tokens[static_cast<size_t>(i)];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  if (llama_decode(context, batch) != 0) return 3;
  std::ofstream out(argv[3], std::ios::binary);
  for (int i = 0; i < batch.n_tokens; ++i)
    out.write(reinterpret_cast<const char*>(llama_get_logits_ith(context, i)),
              static_cast<std::streamsize>(vocab * sizeof(float)));
  llama_batch_free(batch);
  llama_free(context);
  llama_model_free(model);
  return out.good() ? 0 : 3;
}
