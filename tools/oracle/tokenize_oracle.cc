// tokenize_oracle MODEL.gguf [--no-special] [--ends] [--repeat N] < strings > ids
//
// Input: strings, each a little-endian uint32 byte count and the bytes. Output for each: an int32
// count and the int32 token ids by llama.cpp; count -1 where llama.cpp throws. --ends: with what it
// puts first and last (BOS, EOS, [CLS], [SEP]), else without.
// --repeat tokenizes everything N times and prints the processor seconds of each pass to stderr.
// --end prints the ids that end a generation, as one list, and reads nothing.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <string>
#include <vector>

#include "llama.h"

static std::vector<std::string> ReadStrings() {
  std::vector<std::string> strings;
  uint32_t size = 0;
  while (fread(&size, sizeof(size), 1, stdin) == 1) {
    std::string text(size, '\0');
    if (fread(text.data(), 1, size, stdin) != size) break;
    strings.push_back(text);
  }
  return strings;
}

static void WriteIds(const std::vector<int32_t>& ids, int32_t count) {
  fwrite(&count, sizeof(count), 1, stdout);
  if (count > 0) fwrite(ids.data(), sizeof(int32_t), static_cast<size_t>(count), stdout);
}

static int32_t Tokenize(const llama_vocab* vocab, const std::string& text, bool parse_special,
                        bool ends, std::vector<int32_t>* ids) {
  ids->resize(text.size() * 4 + 16);
  try {
    return llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), ids->data(),
                          static_cast<int32_t>(ids->size()), ends, parse_special);
  } catch (const std::exception&) {
    return -1;
  }
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  bool parse_special = true, ends = false, list_end = false;
  int repeat = 1;
  for (int i = 2; i < argc; ++i) {
    if (!strcmp(argv[i], "--no-special")) parse_special = false;
    if (!strcmp(argv[i], "--ends")) ends = true;
    if (!strcmp(argv[i], "--end")) list_end = true;
    if (!strcmp(argv[i], "--repeat") && i + 1 < argc) repeat = atoi(argv[++i]);
  }
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
      },
      nullptr);
  llama_backend_init();
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* model = llama_model_load_from_file(argv[1], params);
  if (model == nullptr) return 3;
  const llama_vocab* vocab = llama_model_get_vocab(model);
  std::vector<int32_t> ids;
  if (list_end) {
    for (int32_t id = 0; id < llama_vocab_n_tokens(vocab); ++id) {
      if (llama_vocab_is_eog(vocab, id)) ids.push_back(id);
    }
    WriteIds(ids, static_cast<int32_t>(ids.size()));
    return 0;
  }
  const std::vector<std::string> strings = ReadStrings();
  for (int pass = 0; pass < repeat; ++pass) {
    const std::clock_t start = std::clock();
    for (const std::string& text : strings) {
      const int32_t count = Tokenize(vocab, text, parse_special, ends, &ids);
      if (pass == 0) WriteIds(ids, count);
    }
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    if (repeat > 1) fprintf(stderr, "%.6f\n", seconds);
  }
  llama_model_free(model);
  return 0;
}
