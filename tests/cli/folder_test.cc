// A folder of safetensors as the MODEL argument: the answer of the GGUF file it was made of.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "formats/gguf.h"
#include "tests/cli/lull_process.h"
#include "tests/support/hf_folder_writer.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

struct World {
  World() {
    EXPECT_TRUE(WriteTinyModel({.type = "BF16", .ctx = 256, .tokenizer = "gpt2"},
                               directory.File("tiny.gguf"))
                    .ok());
    auto gguf = GgufFile::Open(directory.File("tiny.gguf"));
    EXPECT_TRUE(gguf.ok());
    fs::create_directory(directory.File("Tiny"));
    EXPECT_TRUE(WriteHfFolder(**gguf, {.files = 2, .config = {}}, directory.File("Tiny")).ok());
  }
  Output Lull(const std::string& args) const {
    return RunLull(args, "LULL_HOME='" + directory.File("home") + "'");
  }
  Output Answer(const std::string& name) const {
    return Lull("run " + directory.File(name) +
                " --raw --json -n 8 --temp 0 --logprobs 5 --ignore-eog -t 1 -- 'the same text'");
  }
  TemporaryDirectory directory;
};

TEST(Folder, RunsAsTheFileItWasMadeOf) {
  const World world;
  const Output want = world.Answer("tiny.gguf");
  ASSERT_EQ(want.exit_code, 0) << want.text;
  Output first, second;
  std::thread beside([&] { second = world.Answer("Tiny"); });  // both want to convert
  first = world.Answer("Tiny");
  beside.join();
  for (const Output& got : {first, second, world.Answer("Tiny")}) {
    ASSERT_EQ(got.exit_code, 0) << got.text;
    EXPECT_EQ(got.json()["tokens"], want.json()["tokens"]);
    EXPECT_EQ(got.json()["logprobs"], want.json()["logprobs"]);
    EXPECT_EQ(got.json()["text"], want.json()["text"]);
  }
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(world.directory.File("home")))
    files += entry.path().extension() == ".gguf";
  EXPECT_EQ(files, 1u);

  EXPECT_EQ(world.Lull("list --json").json()["converted"].size(), 1u);
  EXPECT_EQ(world.Lull("rm " + world.directory.File("Tiny")).exit_code, 0);
  EXPECT_EQ(world.Lull("list --json").json()["converted"].size(), 0u);
  EXPECT_TRUE(fs::exists(world.directory.File("Tiny/config.json")));
  EXPECT_NE(world.Lull("rm " + world.directory.File("Tiny")).exit_code, 0);
}

TEST(Folder, ConvertWritesAFileThatRuns) {
  const World world;
  const Output want = world.Answer("tiny.gguf");
  const Output converted = world.Lull("convert " + world.directory.File("Tiny") + " --json --out " +
                                      world.directory.File("out.gguf"));
  ASSERT_EQ(converted.exit_code, 0) << converted.text;
  EXPECT_EQ(converted.json()["architecture"], "llama");
  const Output got = world.Answer("out.gguf");
  ASSERT_EQ(got.exit_code, 0) << got.text;
  EXPECT_EQ(got.json()["logprobs"], want.json()["logprobs"]);
  const Output bad = world.Lull("convert " + world.directory.File("home") + " --json --out " +
                                world.directory.File("never.gguf"));
  EXPECT_EQ(bad.exit_code, 3);
  EXPECT_FALSE(fs::exists(world.directory.File("never.gguf")));
}

TEST(Folder, IsNotWrittenOver) {
  const World world;
  const std::string folder = world.directory.File("Tiny");
  for (const auto& entry : fs::directory_iterator(folder))
    EXPECT_EQ(world.Lull("convert " + folder + " --out " + entry.path().string()).exit_code, 2)
        << entry.path();
  EXPECT_EQ(world.Lull("convert " + folder + " --out " + folder + "/new.gguf").exit_code, 0);
}

TEST(Folder, ServesUnderItsName) {
  const World world;
  setenv("LULL_HOME", world.directory.File("home").c_str(), 1);
  const RunningServer server(world.directory.File("Tiny") + " -t 1");
  EXPECT_GT(server.port(), 0) << server.said();
  unsetenv("LULL_HOME");
}

}  // namespace
}  // namespace lull
