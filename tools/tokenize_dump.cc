// tokenize_dump MODEL.gguf [--no-special] [--ends] [--end] [--repeat N] [--decode] < strings > ids
//
// Lull's side of tools/oracle/tokenize_oracle.cc, same input and output.
// --repeat prints processor seconds of loading and of each pass to stderr.
// --decode checks that decoding gives back each string that is valid UTF-8 and counts, on stderr,
// those that differ.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

namespace {

std::vector<std::string> ReadStrings() {
  std::vector<std::string> strings;
  uint32_t size = 0;
  while (fread(&size, sizeof(size), 1, stdin) == 1) {
    std::string text(size, '\0');
    if (fread(text.data(), 1, size, stdin) != size) break;
    strings.push_back(text);
  }
  return strings;
}

void WriteIds(const std::vector<int32_t>& ids) {
  const int32_t count = static_cast<int32_t>(ids.size());
  fwrite(&count, sizeof(count), 1, stdout);
  fwrite(ids.data(), sizeof(int32_t), ids.size(), stdout);
}

// Processor time, so that other work on the machine does not count.
double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  lull::TokenizeOptions options;
  bool list_end = false, decode = false;
  int repeat = 1;
  for (int i = 2; i < argc; ++i) {
    if (!strcmp(argv[i], "--no-special")) options.parse_special = false;
    if (!strcmp(argv[i], "--ends")) options.add_bos = options.add_end = true;
    if (!strcmp(argv[i], "--end")) list_end = true;
    if (!strcmp(argv[i], "--decode")) decode = true;
    if (!strcmp(argv[i], "--repeat") && i + 1 < argc) repeat = atoi(argv[++i]);
  }
  auto file = lull::GgufFile::Open(argv[1]);
  if (!file.ok()) {
    fprintf(stderr, "%s\n", file.status().ToString().c_str());
    return 3;
  }
  const double start = CpuSeconds();
  auto created = lull::Tokenizer::Create(**file);
  if (!created.ok()) {
    fprintf(stderr, "%s\n", created.status().ToString().c_str());
    return 3;
  }
  if (repeat > 1) fprintf(stderr, "load %.6f\n", CpuSeconds() - start);
  const lull::Tokenizer& tokenizer = **created;
  if (list_end) {
    std::vector<int32_t> ids;
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      if (tokenizer.IsEndOfGeneration(id)) ids.push_back(id);
    }
    WriteIds(ids);
    return 0;
  }
  const std::vector<std::string> strings = ReadStrings();
  const lull::ExecContext ctx;
  int64_t different = 0;
  for (int pass = 0; pass < repeat; ++pass) {
    const double pass_start = CpuSeconds();
    for (const std::string& text : strings) {
      const auto ids = tokenizer.Encode(ctx, text, options);
      if (!ids.ok()) {
        fprintf(stderr, "%s\n", ids.status().ToString().c_str());
        return 3;
      }
      if (pass == 0) WriteIds(*ids);
      if (decode && tokenizer.Decode(lull::ExecContext(), *ids, true) != text) ++different;
    }
    if (repeat > 1) fprintf(stderr, "%.6f\n", CpuSeconds() - pass_start);
  }
  if (decode) fprintf(stderr, "%lld decode differently\n", static_cast<long long>(different));
  return 0;
}
