// Tiny models: every architecture and type opens, the same spec gives the same bytes, and, where
// LULL_LLAMA_CPP_DIR names a llama.cpp checkout with build/bin, that program evaluates each file.
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/raw_gguf.h"

namespace lull {
namespace {

TinyModelSpec Spec(const std::string& arch, const std::string& type) {
  TinyModelSpec spec;
  spec.arch = arch;
  spec.type = type;
  spec.seed = 7;
  return spec;
}

class TinyModel : public ::testing::TestWithParam<std::string> {
 protected:
  TemporaryDirectory directory_;
};

TEST_P(TinyModel, EveryTypeOpensAndHasTheStatedTensors) {
  for (const std::string& type : TinyModelTypes()) {
    const std::string path = directory_.File(type + ".gguf");
    ASSERT_TRUE(WriteTinyModel(Spec(GetParam(), type), path).ok()) << type;
    auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    // "gemma4-moe" is a gemma4.
    EXPECT_TRUE(GetParam().starts_with((*file)->GetString("general.architecture").value()));
    const GgufTensor* embedding = (*file)->FindTensor("token_embd.weight");
    ASSERT_NE(embedding, nullptr);
    EXPECT_EQ(GgufTypeName(embedding->type_id), type);
    EXPECT_EQ(embedding->dims[1], (*file)->ArraySize("tokenizer.ggml.tokens").value());
    EXPECT_EQ((*file)->ArraySize("tokenizer.ggml.token_type").value(), embedding->dims[1]);
  }
}

TEST_P(TinyModel, TheSeedDecidesTheBytes) {
  const std::string path = directory_.File("m.gguf");
  TinyModelSpec spec = Spec(GetParam(), "mixed");
  ASSERT_TRUE(WriteTinyModel(spec, path).ok());
  const std::string first = ReadFileBytes(path);
  ASSERT_TRUE(WriteTinyModel(spec, path).ok());
  EXPECT_EQ(ReadFileBytes(path), first);
  spec.seed = 8;
  ASSERT_TRUE(WriteTinyModel(spec, path).ok());
  EXPECT_NE(ReadFileBytes(path), first);
}

// Runs without a shell; true where it ends with status 0.
bool Runs(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "r", stdin) == nullptr || freopen("/dev/null", "w", stdout) == nullptr ||
        freopen("/dev/null", "w", stderr) == nullptr)
      _exit(126);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_P(TinyModel, LlamaCppEvaluatesEveryType) {
  const char* directory = getenv("LULL_LLAMA_CPP_DIR");
  if (directory == nullptr) GTEST_SKIP() << "LULL_LLAMA_CPP_DIR is not set";
  const std::string program = std::string(directory) + "/build/bin/llama-completion";
  std::vector<std::string> types = TinyModelTypes();
  types.push_back("mixed");
  for (const std::string& type : types) {
    const std::string path = directory_.File("m.gguf");
    ASSERT_TRUE(WriteTinyModel(Spec(GetParam(), type), path).ok()) << type;
    EXPECT_TRUE(Runs(program, {"-m", path, "-p", "the heron", "-n", "2", "-no-cnv", "-t", "1", "-c", "64", "--no-warmup", "--no-repack"}))
        << type;
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, TinyModel, ::testing::ValuesIn(TinyModelArchitectures()),
                         [](const auto& info) { return TestNameOf(info.param); });

TEST(TinyModelSpec, ImpossibleShapesAreRefused) {
  const auto refused = [](const auto& edit) {
    TinyModelSpec spec;
    edit(spec);
    return !ResolveTinyModel(spec).ok();
  };
  EXPECT_FALSE(refused([](TinyModelSpec&) {}));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.arch = "gpt5"; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.type = "IQ3_S"; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.vocab = 258; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.kv_heads = 3; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.head_dim = 15; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.arch = "lfm2", s.head_dim = 32; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.arch = "lfm2moe", s.experts_used = 5; }));
  EXPECT_TRUE(refused([](TinyModelSpec& s) { s.tokenizer = "wordpiece"; }));
}

}  // namespace
}  // namespace lull
