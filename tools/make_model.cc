// Writes a random-weight GGUF model of a published model's shape, from a seed.
//   make_model SHAPE TYPE OUT.gguf [--seed N] [--layers N] [--vocab N]
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/model_shapes.h"

namespace {

volatile std::sig_atomic_t g_interrupted = 0;

struct Arguments {
  std::vector<std::string> positional;  // shape, type, path
  uint64_t seed = 1;
  uint64_t layers = 0;  // 0: the shape's
  uint64_t vocab = 0;
};

int Usage() {
  fprintf(stderr, "usage: make_model SHAPE TYPE OUT.gguf [--seed N] [--layers N] [--vocab N]\n  SHAPE:");
  for (const lull::ModelShape& shape : lull::ModelShapes()) fprintf(stderr, " %s", shape.name);
  fprintf(stderr, "\n  TYPE:");
  for (const std::string& type : lull::TinyModelMixes()) fprintf(stderr, " %s", type.c_str());
  for (const std::string& type : lull::TinyModelTypes()) fprintf(stderr, " %s", type.c_str());
  fprintf(stderr, "\n  --layers N: only the first N layers; --vocab N: another number of tokens\n");
  return 2;
}

bool ParseNumber(const char* text, uint64_t* out) {
  const char* end = text + strlen(text);
  const auto result = std::from_chars(text, end, *out);
  return result.ec == std::errc() && result.ptr == end;
}

bool Parse(int argc, char** argv, Arguments* out) {
  const struct {
    const char* name;
    uint64_t* value;
  } numbers[] = {{"--seed", &out->seed}, {"--layers", &out->layers}, {"--vocab", &out->vocab}};
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] != '-') {
      out->positional.push_back(argv[i]);
      continue;
    }
    bool taken = false;
    for (const auto& number : numbers) {
      if (strcmp(argv[i], number.name) != 0 || i + 1 >= argc) continue;
      if (!ParseNumber(argv[++i], number.value)) return false;
      taken = true;
      break;
    }
    if (!taken) return false;
  }
  return out->positional.size() == 3;
}

// A line that redraws itself, on terminals only.
bool ShowProgress(uint64_t written, uint64_t total) {
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  static uint64_t shown = ~uint64_t{0};
  const uint64_t percent = written * 100 / total;
  if (terminal && percent != shown) {
    const std::string bar(percent / 4, '#');
    fprintf(stderr, "\r[%-25s] %3u %%  %.2f of %.2f GB%s", bar.c_str(), static_cast<unsigned>(percent),
            static_cast<double>(written) / 1e9, static_cast<double>(total) / 1e9, written == total ? "\n" : "");
    shown = percent;
  }
  return g_interrupted == 0;
}

lull::Status Write(const Arguments& arguments) {
  LULL_ASSIGN_OR_RETURN(lull::TinyModelSpec spec, lull::SpecOfShape(arguments.positional[0], arguments.layers));
  spec.type = arguments.positional[1];
  spec.seed = arguments.seed;
  if (arguments.vocab > 0) spec.vocab = arguments.vocab;
  lull::GgufWriter writer;
  LULL_RETURN_IF_ERROR(lull::BuildTinyModel(spec, &writer));
  writer.AddString("general.name", arguments.positional[0] + " shape, random weights, seed " +
                                       std::to_string(arguments.seed));
  writer.set_progress(ShowProgress);
  return writer.Write(arguments.positional[2]);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, &arguments)) return Usage();
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { g_interrupted = 1; });
  const lull::Status status = Write(arguments);
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  if (status.code() == lull::ErrorCode::kUsage) return 2;
  return status.code() == lull::ErrorCode::kCancelled ? 130 : 3;
}
