// --lora on the command line, and which files a client of a server may name.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/adapter_flags.h"
#include "tests/cli/lull_process.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

TEST(AdapterCli, ChangesTheAnswerByItsScale) {
  const TemporaryDirectory directory;
  const std::string base = directory.File("tiny.gguf"), adapter = directory.File("adapter.gguf");
  ASSERT_TRUE(WriteTinyModel({.type = "Q8_0", .ctx = 256}, base).ok());
  ASSERT_TRUE(WriteTinyAdapter(base, {}, adapter).ok());
  const auto tokens = [&](const std::string& flags) {
    const Output output = RunLull("run " + base + " --raw --json -n 12 --ignore-eog -t 1 " + flags +
                                  " -- 'the same text'");
    EXPECT_EQ(output.exit_code, 0) << output.text;
    return output.json()["tokens"];
  };
  const auto plain = tokens("");
  const auto adapted = tokens("--lora " + adapter);
  EXPECT_NE(plain, adapted);
  EXPECT_EQ(tokens("--lora-scaled " + adapter + ":0"), plain);
  EXPECT_EQ(tokens("--lora-scaled " + adapter + ":1"), adapted);
  EXPECT_EQ(tokens("--lora-scaled " + adapter + ":0.5 --lora-scaled " + adapter + ":-0.5 --lora " +
                   adapter),
            tokens("--lora " + adapter + " --lora-scaled " + adapter + ":0.5 --lora-scaled " +
                   adapter + ":-0.5"))
      << "plain ones come first";
}

TEST(AdapterCli, WhatIsRefused) {
  const TemporaryDirectory directory;
  const std::string base = directory.File("tiny.gguf");
  ASSERT_TRUE(WriteTinyModel({.ctx = 256}, base).ok());
  const auto fails = [&](const std::string& flags, const std::string& word) {
    const Output output = RunLull("run " + base + " --raw --json -n 1 " + flags + " -- text");
    EXPECT_NE(output.exit_code, 0);
    EXPECT_NE(output.text.find(word), std::string::npos) << output.text;
  };
  fails("--lora " + base, "general.type");
  fails("--lora " + directory.File("none.gguf"), "none.gguf");
  fails("--lora-scaled " + base, "PATH:SCALE");
  fails("--lora-scaled " + base + ":much", "PATH:SCALE");
}

TEST(AdapterCli, ServeRefusesByFlag) {
  const TemporaryDirectory directory;
  const std::string base = directory.File("tiny.gguf"), adapter = directory.File("adapter.gguf");
  ASSERT_TRUE(WriteTinyModel({.ctx = 256}, base).ok());
  ASSERT_TRUE(WriteTinyAdapter(base, {}, adapter).ok());
  const auto where = [&](const std::string& args) {
    const Output output = RunLull("serve " + args + " --port 0 --json -t 1");
    EXPECT_NE(output.exit_code, 0);
    return output.json()["error"].value("where", "");
  };
  EXPECT_EQ(where(base + " --lora-folder " + directory.File("none")), "--lora-folder");
  EXPECT_EQ(where(base + " --lora-folder " + adapter), "--lora-folder");
  EXPECT_EQ(where(base + " --lora-modules a=" + adapter + " --lora-modules a=" + adapter),
            "--lora-modules");
  EXPECT_EQ(where(base + " --lora " + adapter + " --lora " + adapter), "--lora");
  EXPECT_EQ(where("--lora " + adapter), "--lora");
  EXPECT_EQ(where("--lora-folder " + directory.File("")), "--lora-folder");
  EXPECT_EQ(where(base + " --lora-modules x:latest=" + adapter + " --lora-modules x=" + adapter),
            "--lora-modules");
}

TEST(AdapterCli, AFolderOfPeftsIsNoModel) {
  const TemporaryDirectory directory;
  const std::string folder = directory.File("peft");
  fs::create_directory(folder);
  std::ofstream(fs::path(folder) / "adapter_config.json") << "{}";
  for (const std::string& args :
       {"run " + folder + " hello", "inspect " + folder, "serve " + folder + " --port 0"}) {
    const auto error = RunLull(args + " --json").json()["error"];
    EXPECT_EQ(error["code"], "unsupported");
    EXPECT_NE(error["hint"].get<std::string>().find("--lora"), std::string::npos);
  }
}

TEST(AdapterCli, OnlyFilesBelowTheFolderAreFound) {
  const TemporaryDirectory directory;
  const fs::path folder = directory.File("adapters"), outside = directory.File("secret.gguf");
  fs::create_directories(folder / "inner");
  std::ofstream(folder / "inner" / "a.gguf") << "x";
  std::ofstream(outside) << "x";
  fs::create_symlink(outside, folder / "link.gguf");
  const std::string root = folder.string();
  EXPECT_TRUE(LocateBelow(root, "inner/a.gguf").ok());
  EXPECT_TRUE(LocateBelow(root, (folder / "inner" / "a.gguf").string()).ok());
  EXPECT_TRUE(LocateBelow(root, "inner/../inner/a.gguf").ok());
  // A folder of PEFT's whose weights lie elsewhere.
  fs::create_directories(folder / "peft");
  std::ofstream(folder / "peft" / "adapter_config.json") << "{}";
  std::ofstream(folder / "peft" / "adapter_model.safetensors") << "x";
  EXPECT_TRUE(LocateBelow(root, "peft").ok());
  fs::remove(folder / "peft" / "adapter_model.safetensors");
  fs::create_symlink(outside, folder / "peft" / "adapter_model.safetensors");
  EXPECT_EQ(LocateBelow(root, "peft").status().code(), ErrorCode::kNotFound);
  for (const std::string& path :
       {std::string("../secret.gguf"), outside.string(), std::string("link.gguf"),
        std::string("inner/../../secret.gguf"), std::string("none.gguf"), std::string(""),
        std::string("/etc/passwd")})
    EXPECT_EQ(LocateBelow(root, path).status().code(), ErrorCode::kNotFound) << path;
  EXPECT_FALSE(LocateBelow(directory.File("nowhere"), "a.gguf").ok());
}

}  // namespace
}  // namespace lull
