// Tiny models for the tests of this folder: written, loaded, run.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "formats/gguf.h"
#include "model/loaded_model.h"
#include "model/runner.h"
#include "tests/support/random_weights.h"
#include "tests/support/tiny_model.h"

namespace lull::testing {

inline std::string TempPath(const std::string& name) {
  return ::testing::TempDir() + "lull_" + std::to_string(getpid()) + "_" + name;
}

struct TestModel {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<LoadedModel> model;
};

inline std::unique_ptr<GgufFile> WriteAndOpen(const GgufWriter& writer, const std::string& name) {
  const std::string path = TempPath(name + ".gguf");
  EXPECT_TRUE(writer.Write(path).ok());
  auto file = GgufFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  unlink(path.c_str());  // the mapping keeps it
  return file.ok() ? std::move(file).value() : nullptr;
}

// Of floats alone: rows that no block divides, heads of 18.
inline TinyModelSpec OddRowsSpec(const std::string& arch) {
  TinyModelSpec spec;
  spec.arch = arch;
  spec.embd = 90;
  spec.heads = 5;
  spec.kv_heads = 1;
  spec.ffn = 101;
  spec.expert_ffn = 37;
  return spec;
}

inline TestModel LoadTiny(const TinyModelSpec& spec) {
  GgufWriter writer;
  writer.set_durable(false);
  EXPECT_TRUE(BuildTinyModel(spec, &writer).ok());
  TestModel t;
  t.file = WriteAndOpen(writer, spec.arch + spec.type);
  auto model = LoadedModel::Load(ExecContext(), *t.file);
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  if (model.ok()) t.model = std::move(model).value();
  return t;
}

inline std::unique_ptr<Runner> NewRunner(const LoadedModel& model, const Kernels& kernels,
                                         int sequences = 1, int batch_rows = 512,
                                         KvType kv = KvType::kF16, int64_t pool_tokens = 0,
                                         bool wide_activations = false) {
  RunnerOptions options;
  options.kv_type = kv;
  options.wide_activations = wide_activations;
  options.max_sequences = sequences;
  options.max_batch_rows = batch_rows;
  options.kv_pool_tokens = pool_tokens != 0 ? pool_tokens : model.info().context_tokens * sequences;
  auto runner = MakeRunner(model, kernels, options);
  EXPECT_TRUE(runner.ok()) << runner.status().ToString();
  return std::move(runner).value();
}

inline std::vector<int32_t> RandomTokens(size_t n, int64_t vocab, uint64_t seed) {
  TestRandom random(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocab)));
  return tokens;
}

// Appends tokens [begin, end) to a sequence; logits of each row.
inline Status Feed(const ExecContext& ctx, Runner& runner, int sequence,
                   const std::vector<int32_t>& tokens, size_t begin, size_t end, float* logits) {
  std::vector<BatchRow> rows;
  std::vector<int32_t> wanted;
  for (size_t i = begin; i < end; ++i) {
    wanted.push_back(static_cast<int32_t>(rows.size()));
    rows.push_back({sequence, static_cast<int32_t>(i), tokens[i]});
  }
  return runner.Forward(ctx, rows, wanted, logits);
}

// All logits [tokens, vocab] of a new sequence, fed in chunks of the given sizes in turn.
inline std::vector<float> AllLogits(const ExecContext& ctx, Runner& runner,
                                    const std::vector<int32_t>& tokens,
                                    const std::vector<size_t>& chunks) {
  const auto vocab = static_cast<size_t>(runner.vocab_size());
  std::vector<float> logits(tokens.size() * vocab);
  const int sequence = runner.OpenSequence().value();
  for (size_t i = 0, c = 0; i < tokens.size(); ++c) {
    const size_t end = std::min(tokens.size(), i + chunks[c % chunks.size()]);
    const Status status = Feed(ctx, runner, sequence, tokens, i, end, logits.data() + i * vocab);
    EXPECT_TRUE(status.ok()) << status.ToString();
    i = end;
  }
  runner.CloseSequence(sequence);
  return logits;
}

// The kernels of every instruction set this machine has.
inline std::vector<const Kernels*> AllKernels() {
  std::vector<const Kernels*> all;
  for (const char* name : {"scalar", "avx2", "avx2vnni", "avx512", "amx"})
    if (auto kernels = FindKernels(name); kernels.ok()) all.push_back(kernels.value());
  return all;
}

}  // namespace lull::testing
