// A folder of safetensors, converted, measured, quantised, measured again: and what lost more than
// was declared is not written.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "formats/gguf.h"
#include "quantize/importance.h"
#include "tests/cli/lull_process.h"
#include "tests/support/hf_folder_writer.h"
#include "tests/support/random_weights.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

class Quantize : public ::testing::Test {
 protected:
  Quantize() {
    EXPECT_TRUE(
        WriteTinyModel({.type = "BF16", .ctx = 256, .tokenizer = "gpt2"}, File("tiny.gguf")).ok());
    std::ofstream text(File("text"));
    TestRandom random(1);
    for (int i = 0; i < 600; ++i) text << static_cast<char>('a' + random.Below(26));
  }
  std::string File(const std::string& name) const { return directory_.File(name); }
  Output Lull(const std::string& args) const {
    return RunLull(args + " --json", "LULL_HOME='" + File("home") + "'");
  }
  double Perplexity(const std::string& name) const {
    const Output output = Lull("perplexity " + File(name) + " " + File("text") + " --ctx 32 -t 1");
    EXPECT_EQ(output.exit_code, 0) << output.text;
    return output.exit_code == 0 ? output.json()["perplexity"].get<double>() : 0.0;
  }
  // With the gate at this limit.
  Output Gated(const std::string& out, const std::string& type, const std::string& limit) const {
    return Lull("quantize " + File("model.gguf") + " " + File(out) + " --type " + type +
                " --max-perplexity-loss " + limit + " --text " + File("text") +
                " --ctx 32 -t 1 --imatrix " + File("im.gguf"));
  }
  size_t Files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(File("")), {}));
  }
  TemporaryDirectory directory_;
};

TEST_F(Quantize, FromAFolderToAFileWithinItsLimit) {
  {
    const auto gguf = GgufFile::Open(File("tiny.gguf"));
    fs::create_directory(File("Tiny"));
    ASSERT_TRUE(WriteHfFolder(**gguf, {}, File("Tiny")).ok());
  }
  ASSERT_EQ(Lull("convert " + File("Tiny") + " --out " + File("model.gguf")).exit_code, 0);
  const Output measured = Lull("imatrix " + File("model.gguf") + " --text " + File("text") +
                               " --out " + File("im.gguf") + " --ctx 32 -t 1");
  ASSERT_EQ(measured.exit_code, 0) << measured.text;
  EXPECT_GT(measured.json()["matrices"], 5);
  const double before = Perplexity("model.gguf");

  const size_t files = Files();
  const Output refused = Gated("bad.gguf", "Q1_0", "1%");
  EXPECT_EQ(refused.exit_code, 1) << refused.text;
  const auto loss = refused.json()["perplexity"];
  EXPECT_DOUBLE_EQ(loss["source"], before);
  EXPECT_GT(loss["loss_percent"], 1.0);
  EXPECT_DOUBLE_EQ(loss["limit_percent"], 1.0);
  EXPECT_EQ(Files(), files);  // neither the result nor a part of it

  const Output accepted = Gated("good.gguf", "Q8_0", "1.05");
  EXPECT_EQ(accepted.exit_code, 0) << accepted.text;
  const double after = Perplexity("good.gguf");
  EXPECT_DOUBLE_EQ(accepted.json()["perplexity"]["result"], after);
  EXPECT_LT(after, 1.05 * before);
  EXPECT_EQ(Files(), files + 1);
  const auto good = GgufFile::Open(File("good.gguf"));
  EXPECT_EQ((*good)->GetString("quantize.imatrix.dataset").value(), "text");
  EXPECT_STREQ(GgufTypeName((*good)->FindTensor("blk.0.attn_q.weight")->type_id), "Q8_0");
}

TEST_F(Quantize, AFullDiskIsFoundBeforeTheFirstByte) {
  const size_t files = Files();
  const Output output = RunLull(
      "quantize " + File("tiny.gguf") + " " + File("out.gguf") + " --type Q8_0 -t 1 --json",
      "trap '' XFSZ; ulimit -f 8; LULL_HOME='" + File("home") + "'");  // no file above 4 KiB
  EXPECT_EQ(output.exit_code, 3);
  EXPECT_EQ(output.json()["error"]["code"], "io") << output.text;
  EXPECT_EQ(Files(), files);
}

// The text is a pipe: the second time it is opened, the result lies there and waits to be measured.
TEST_F(Quantize, StoppedWhileItMeasuresItLeavesNothing) {
  const std::string text = ReadFileBytes(File("text"));
  fs::remove(File("text"));
  ASSERT_EQ(mkfifo(File("text").c_str(), 0600), 0);
  const size_t files = Files();
  FILE* pipe = popen((std::string(LULL_BINARY) + " quantize " + File("tiny.gguf") + " " +
                      File("out.gguf") + " --type Q8_0 --max-perplexity-loss 9% --ctx 32 -t 1 " +
                      "--text " + File("text") + " >/dev/null 2>&1 & echo $!; wait $!; echo $?")
                         .c_str(),
                     "r");
  ASSERT_NE(pipe, nullptr);
  int pid = 0, exit_code = 0;
  ASSERT_EQ(fscanf(pipe, "%d", &pid), 1);
  std::ofstream(File("text")) << text;
  {
    for (int i = 0; i < 60'000 && Files() == files; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::ofstream second(File("text"));  // opens when lull does
    EXPECT_EQ(Files(), files + 1);
    kill(pid, SIGTERM);
    second << text;
  }
  EXPECT_EQ(fscanf(pipe, "%d", &exit_code), 1);
  pclose(pipe);
  EXPECT_EQ(exit_code, 3);
  EXPECT_EQ(Files(), files);
}

TEST_F(Quantize, RefusesWhatItShould) {
  fs::rename(File("tiny.gguf"), File("model.gguf"));
  const std::string model = File("model.gguf"), out = File("out.gguf");
  const auto code = [&](const std::string& args) {
    return Lull("quantize " + args + " -t 1").exit_code;
  };
  const size_t files = Files();
  EXPECT_EQ(code(model + " " + model + " --type Q8_0 --force"), 2);  // its own source
  EXPECT_EQ(code(model + " " + File("text") + " --type Q8_0"), 2);   // is there
  EXPECT_EQ(code(model + " " + out), 2);
  EXPECT_EQ(code(model + " --type Q8_0"), 2);
  EXPECT_EQ(code(model + " " + out + " --type Q9_0"), 2);
  EXPECT_EQ(code(model + " " + out + " --type Q8_0 --tensor-type Q8_0"), 2);
  EXPECT_EQ(code(model + " " + out + " --type Q8_0 --max-perplexity-loss 2%"), 2);
  EXPECT_EQ(
      code(model + " " + out + " --type Q8_0 --max-perplexity-loss -2% --text " + File("text")), 2);
  EXPECT_EQ(
      code(model + " " + out + " --type Q8_0 --max-perplexity-loss 2% --text " + File("text")),
      2);  // too short for --ctx 512
  EXPECT_EQ(code(model + " " + out + " --type Q8_0 --imatrix " + File("text")), 3);
  EXPECT_EQ(code(model + " " + File("none/out.gguf") + " --type Q8_0"), 3);
  EXPECT_EQ(code(File("text") + " " + out + " --type Q8_0"), 3);
  EXPECT_EQ(code(model + " " + out + " --type Q8_0 --max-perplexity-loss 2 --text " + File("text")),
            2);  // per cent, or twice the perplexity?
  // Nothing that is read is written over.
  EXPECT_EQ(code(model + " " + File("text") +
                 " --type Q8_0 --force --max-perplexity-loss 2% --text " + File("text")),
            2);
  for (const std::string& input : {model, File("text")})
    EXPECT_EQ(
        Lull("imatrix " + model + " --text " + File("text") + " --ctx 32 --out " + input).exit_code,
        2);
  // A pattern that fits nothing is a slip of the pen, and the error names the flag.
  EXPECT_EQ(Lull("quantize " + model + " " + out + " --type Q8_0 --tensor-type ffn_dwn=Q6_K -t 1")
                .json()["error"]["where"],
            "--tensor-type");
  EXPECT_EQ(Lull("quantize " + model + " " + out + " --type Q9_0 -t 1").json()["error"]["where"],
            "--type");
  EXPECT_EQ(Files(), files);
  const Output dry = Lull("quantize " + model + " --type Q4_0 --dry-run");
  EXPECT_EQ(dry.exit_code, 0);
  EXPECT_LT(dry.json()["result_bytes"], dry.json()["source_bytes"]);
  EXPECT_EQ(code(model + " " + out + " --type Q8_0"), 0);
  EXPECT_EQ(code(model + " " + out + " --type Q4_0 --force --tensor-type 'ffn_down=q8_0'"), 0);
  const auto file = GgufFile::Open(out);
  EXPECT_STREQ(GgufTypeName((*file)->FindTensor("blk.0.ffn_down.weight")->type_id), "Q8_0");
  EXPECT_STREQ(GgufTypeName((*file)->FindTensor("blk.0.ffn_up.weight")->type_id), "Q4_0");
}

TEST_F(Quantize, OnlyModelsAreQuantised) {
  ASSERT_TRUE(WriteTinyAdapter(File("tiny.gguf"), {}, File("adapter.gguf")).ok());
  ImportanceMatrix matrix;
  matrix.tensors["blk.0.attn_q.weight"] = {{1.0f, 2.0f}, {3.0f}};
  ASSERT_TRUE(matrix.Write(File("im.gguf"), /*durable=*/false).ok());
  for (const char* name : {"adapter", "im"}) {
    const Output output = Lull("quantize " + File(name + std::string(".gguf")) + " " +
                               File("out.gguf") + " --type Q8_0 -t 1");
    EXPECT_EQ(output.exit_code, 3);
    EXPECT_EQ(output.json()["error"]["code"], "unsupported") << output.text;
  }
  EXPECT_FALSE(fs::exists(File("out.gguf")));
}

}  // namespace
}  // namespace lull
