// Writes a random-weight GGUF model for tests and experiments.
//   make_tiny_model --arch llama --type Q4_1 --seed 7 --out x.gguf [--vocab N --embd N ...]
// Or a low-rank adapter for a model:
//   make_tiny_model --adapter-for x.gguf --rank 8 --seed 7 --out adapter.gguf
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace {

struct NumberOption {
  const char* name;
  uint64_t lull::TinyModelSpec::* field;
};
struct TextOption {
  const char* name;
  std::string lull::TinyModelSpec::* field;
};
struct FlagOption {
  const char* name;
  bool lull::TinyModelSpec::* field;
};

using Spec = lull::TinyModelSpec;

constexpr NumberOption kNumbers[] = {
    {"--seed", &Spec::seed},           {"--vocab", &Spec::vocab},
    {"--embd", &Spec::embd},           {"--layers", &Spec::layers},
    {"--heads", &Spec::heads},         {"--kv-heads", &Spec::kv_heads},
    {"--head-dim", &Spec::head_dim},   {"--ffn", &Spec::ffn},
    {"--ctx", &Spec::ctx},             {"--window", &Spec::sliding_window},
    {"--experts", &Spec::experts},     {"--experts-used", &Spec::experts_used},
    {"--expert-ffn", &Spec::expert_ffn}, {"--dense-lead", &Spec::dense_lead},
    {"--l-cache", &Spec::conv_l_cache},
};
constexpr TextOption kTexts[] = {
    {"--arch", &Spec::arch},           {"--type", &Spec::type},
    {"--embedding-type", &Spec::embedding_type}, {"--output-type", &Spec::output_type},
    {"--tokenizer", &Spec::tokenizer}, {"--pre", &Spec::pre},
};
constexpr FlagOption kFlags[] = {
    {"--tied", &Spec::tied_head}, {"--llama3-rope", &Spec::llama3_rope}, {"--add-bos", &Spec::add_bos},
};

int Usage() {
  fprintf(stderr, "usage: make_tiny_model --out FILE [--parts N] [--template FILE]");
  for (const TextOption& option : kTexts) fprintf(stderr, " [%s NAME]", option.name);
  for (const NumberOption& option : kNumbers) fprintf(stderr, " [%s N]", option.name);
  for (const FlagOption& option : kFlags) fprintf(stderr, " [%s]", option.name);
  fprintf(stderr, "\n       make_tiny_model --out FILE --adapter-for MODEL.gguf [--rank N] [--seed N]\n");
  return 2;
}

bool ParseNumber(const char* text, uint64_t* out) {
  const char* end = text + strlen(text);
  const auto result = std::from_chars(text, end, *out);
  return result.ec == std::errc() && result.ptr == end;
}

int Done(const lull::Status& status) {
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 3;
}

// Takes argv[i] (and its value) into the spec; false where it is not an option.
bool TakeOption(int argc, char** argv, int* i, Spec* spec) {
  for (const FlagOption& option : kFlags)
    if (strcmp(argv[*i], option.name) == 0) return spec->*option.field = true;
  if (*i + 1 >= argc) return false;
  const char* name = argv[(*i)++];
  for (const TextOption& option : kTexts) {
    if (strcmp(name, option.name) != 0) continue;
    spec->*option.field = argv[*i];
    return true;
  }
  for (const NumberOption& option : kNumbers)
    if (strcmp(name, option.name) == 0) return ParseNumber(argv[*i], &(spec->*option.field));
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Spec spec;
  std::string out, chat_template, adapter_for;
  lull::TinyAdapterSpec adapter;
  uint64_t parts = 1;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--out") == 0 && i + 1 < argc) {
      out = argv[++i];
    } else if (strcmp(argv[i], "--adapter-for") == 0 && i + 1 < argc) {
      adapter_for = argv[++i];
    } else if (strcmp(argv[i], "--rank") == 0 && i + 1 < argc) {
      if (!ParseNumber(argv[++i], &adapter.rank)) return Usage();
    } else if (strcmp(argv[i], "--template") == 0 && i + 1 < argc) {
      std::ifstream file(argv[++i]);
      chat_template.assign(std::istreambuf_iterator<char>(file), {});
      spec.chat_template = chat_template.empty();
    } else if (strcmp(argv[i], "--parts") == 0 && i + 1 < argc) {
      if (!ParseNumber(argv[++i], &parts)) return Usage();
    } else if (!TakeOption(argc, argv, &i, &spec)) {
      return Usage();
    }
  }
  if (out.empty()) return Usage();
  if (!adapter_for.empty()) {
    adapter.seed = spec.seed;
    return Done(lull::WriteTinyAdapter(adapter_for, adapter, out));
  }
  lull::GgufWriter writer;
  lull::Status status = lull::BuildTinyModel(spec, &writer);
  if (!chat_template.empty()) writer.AddString("tokenizer.chat_template", chat_template);
  if (status.ok()) status = parts > 1 ? writer.WriteSplit(out, static_cast<uint32_t>(parts)) : writer.Write(out);
  return Done(status);
}
