// Logits of Lull for given token ids:
//   logits_dump MODEL TOKENS_FILE OUT [--lines] [--isa I] [--threads N] [--chunk C] [--kv
//   f16|bf16|f32|q8_0]
//     [--activation-type q8_0|q8_k] [--lora ADAPTER]
//   logits_dump MODEL TOKENS_FILE OUT --reference     in double precision, by tests/support
//   logits_dump MODEL TOKENS_FILE - --time            speed of prefill and decode
// TOKENS_FILE holds decimal ids separated by white space; OUT gets f32 [tokens, vocab]. With
// --lines every line is a sequence of its own: the first position whose logits are wanted, then its
// ids.
// --reference also prints, per position, the least gap between a chosen and a rejected expert.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/os/os.h"
#include "base/thread_pool.h"
#include "formats/gguf.h"
#include "kernels/kernels.h"
#include "model/adapter.h"
#include "model/loaded_model.h"
#include "model/runner.h"
#include "tests/support/naive_forward.h"

namespace {

using namespace lull;

struct Options {
  std::string model, tokens, out, isa, lora;
  int threads = 1;
  int chunk = 512;
  KvType kv = KvType::kF16;
  bool q8_k = false;
  bool lines = false;
  bool reference = false;
  bool time = false;
};

// Logits are wanted from position `first` on.
struct TokenSequence {
  size_t first = 0;
  std::vector<int32_t> tokens;
};

int Fail(const Status& status) {
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 3;
}

bool Parse(int argc, char** argv, Options* o) {
  if (argc < 4) return false;
  o->model = argv[1];
  o->tokens = argv[2];
  o->out = argv[3];
  for (int i = 4; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--reference") {
      o->reference = true;
      continue;
    }
    if (arg == "--time") {
      o->time = true;
      continue;
    }
    if (arg == "--lines") {
      o->lines = true;
      continue;
    }
    if (++i >= argc) return false;
    if (arg == "--isa")
      o->isa = argv[i];
    else if (arg == "--lora")
      o->lora = argv[i];
    else if (arg == "--threads")
      o->threads = atoi(argv[i]);
    else if (arg == "--chunk")
      o->chunk = std::max(1, atoi(argv[i]));
    else if (arg == "--kv")
      o->kv = !strcmp(argv[i], "f32")    ? KvType::kF32
              : !strcmp(argv[i], "bf16") ? KvType::kBf16
              : !strcmp(argv[i], "q8_0") ? KvType::kI8
                                         : KvType::kF16;
    else if (arg == "--activation-type")
      o->q8_k = !strcmp(argv[i], "q8_k");
    else
      return false;
  }
  return true;
}

std::vector<TokenSequence> ReadSequences(const std::string& path, bool lines) {
  std::ifstream file(path);
  std::vector<TokenSequence> sequences;
  if (!lines) {
    sequences.emplace_back();
    for (int32_t id; file >> id;) sequences[0].tokens.push_back(id);
    return sequences;
  }
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    TokenSequence sequence;
    fields >> sequence.first;
    for (int32_t id; fields >> id;) sequence.tokens.push_back(id);
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

// Feeds tokens [begin, end) of one sequence; logits from position `first` on.
Status Feed(const ExecContext& ctx, Runner& runner, int sequence,
            const std::vector<int32_t>& tokens, size_t begin, size_t end, size_t first,
            float* logits) {
  std::vector<BatchRow> rows;
  std::vector<int32_t> wanted;
  for (size_t i = begin; i < end; ++i) {
    rows.push_back({sequence, static_cast<int32_t>(i), tokens[i]});
    if (i >= first) wanted.push_back(static_cast<int32_t>(i - begin));
  }
  return runner.Forward(ctx, rows, wanted, logits);
}

Status Time(const ExecContext& ctx, Runner& runner, const std::vector<int32_t>& tokens,
            size_t chunk) {
  std::vector<float> logits(static_cast<size_t>(runner.vocab_size()));
  for (int repeat = 0; repeat < 3; ++repeat) {
    LULL_ASSIGN_OR_RETURN(const int sequence, runner.OpenSequence());
    int64_t start = os::MonotonicNs();
    for (size_t i = 0; i < tokens.size(); i += chunk)
      LULL_RETURN_IF_ERROR(Feed(ctx, runner, sequence, tokens, i,
                                std::min(tokens.size(), i + chunk), tokens.size() - 1,
                                logits.data()));
    const double prefill_s = static_cast<double>(os::MonotonicNs() - start) * 1e-9;
    constexpr int kSteps = 64;
    start = os::MonotonicNs();
    const int64_t cpu_start = os::ProcessCpuNs();
    for (int i = 0; i < kSteps; ++i) {
      const BatchRow row{sequence, static_cast<int32_t>(tokens.size()) + i,
                         tokens[static_cast<size_t>(i) % tokens.size()]};
      const int32_t wanted = 0;
      LULL_RETURN_IF_ERROR(runner.Forward(ctx, {&row, 1}, {&wanted, 1}, logits.data()));
    }
    const double decode_s = static_cast<double>(os::MonotonicNs() - start) * 1e-9;
    const double cpu_ms = static_cast<double>(os::ProcessCpuNs() - cpu_start) * 1e-6 / kSteps;
    printf("prefill %.1f tok/s, decode %.1f tok/s, %.3f CPU ms a token\n",
           static_cast<double>(tokens.size()) / prefill_s, kSteps / decode_s, cpu_ms);
    runner.CloseSequence(sequence);
  }
  return Status::Ok();
}

Status Reference(const GgufFile& file, const std::vector<int32_t>& tokens, std::ofstream& out) {
  LULL_ASSIGN_OR_RETURN(const testing::NaiveResult result, testing::NaiveForward(file, tokens));
  const std::vector<float> logits(result.logits.begin(), result.logits.end());
  out.write(reinterpret_cast<const char*>(logits.data()),
            static_cast<std::streamsize>(logits.size() * sizeof(float)));
  for (double margin : result.router_margin) printf("%.9g\n", margin);
  return Status::Ok();
}

Result<std::vector<AdapterUse>> ReadAdapter(const ExecContext& ctx, const std::string& path,
                                            const LoadedModel& model) {
  if (path.empty()) return std::vector<AdapterUse>();
  LULL_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(path));
  const auto allow = [](int64_t) { return Result<std::shared_ptr<void>>(std::shared_ptr<void>()); };
  LULL_ASSIGN_OR_RETURN(auto rep, LoadAdapter(ctx, *file, model, allow));
  return std::vector<AdapterUse>{{std::make_shared<const Adapter>(std::move(rep)), 1.0}};
}

// Writes the wanted logits of one sequence, `chunk` tokens at a time.
Status Dump(const ExecContext& ctx, Runner& runner, const std::vector<AdapterUse>& adapters,
            const TokenSequence& input, size_t chunk, std::ofstream& out) {
  const std::vector<int32_t>& tokens = input.tokens;
  LULL_ASSIGN_OR_RETURN(const int sequence, runner.OpenSequence());
  LULL_RETURN_IF_ERROR(runner.SetAdapters(sequence, adapters));
  std::vector<float> logits(chunk * static_cast<size_t>(runner.vocab_size()));
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    const size_t end = std::min(tokens.size(), i + chunk);
    LULL_RETURN_IF_ERROR(Feed(ctx, runner, sequence, tokens, i, end, input.first, logits.data()));
    const size_t rows = end - std::min(end, std::max(i, input.first));
    out.write(reinterpret_cast<const char*>(logits.data()),
              static_cast<std::streamsize>(rows * static_cast<size_t>(runner.vocab_size()) *
                                           sizeof(float)));
  }
  runner.CloseSequence(sequence);
  return out.good() ? Status::Ok() : Status(ErrorCode::kIo, "cannot write", "OUT");
}

Status Run(const Options& o) {
  const std::vector<TokenSequence> sequences = ReadSequences(o.tokens, o.lines);
  size_t longest = 0;
  for (const TokenSequence& sequence : sequences)
    longest = std::max(longest, sequence.tokens.size());
  if (longest == 0) return Status(ErrorCode::kUsage, "no tokens", o.tokens, "give at least one");
  LULL_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(o.model));
  std::ofstream out(o.out == "-" ? "/dev/null" : o.out, std::ios::binary);
  if (o.reference) return Reference(*file, sequences[0].tokens, out);
  const Kernels* kernels = &BestKernels();
  if (!o.isa.empty()) {
    LULL_ASSIGN_OR_RETURN(kernels, FindKernels(o.isa.c_str()));
  }
  ThreadPool pool(o.threads);
  ExecContext ctx;
  ctx.pool = &pool;
  LULL_ASSIGN_OR_RETURN(const auto model, LoadedModel::Load(ctx, *file));
  fprintf(stderr, "%s: %s, loaded in %.3f s\n", kernels->name, model->info().file_type.c_str(),
          model->info().load_s);
  LULL_ASSIGN_OR_RETURN(const auto adapters, ReadAdapter(ctx, o.lora, *model));
  RunnerOptions options;
  options.kv_type = o.kv;
  options.wide_activations = o.q8_k;
  options.max_context_tokens = static_cast<int64_t>(longest) + 128;
  LULL_ASSIGN_OR_RETURN(const auto runner, MakeRunner(*model, *kernels, options));
  const size_t chunk = static_cast<size_t>(std::min(o.chunk, runner->max_batch_rows()));
  if (o.time) return Time(ctx, *runner, sequences[0].tokens, chunk);
  for (const TokenSequence& sequence : sequences)
    LULL_RETURN_IF_ERROR(Dump(ctx, *runner, adapters, sequence, chunk, out));
  return Status::Ok();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) {
    fprintf(
        stderr,
        "usage: logits_dump MODEL TOKENS_FILE OUT [--lines] [--isa I] [--threads N] [--chunk C] "
        "[--kv T] [--reference] [--time]\n");
    return 2;
  }
  const Status status = Run(options);
  return status.ok() ? 0 : Fail(status);
}
