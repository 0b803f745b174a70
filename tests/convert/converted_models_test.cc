// The kept conversions: one for each folder as it is, found, listed and removed.
#include "convert/converted_models.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "formats/gguf.h"
#include "tests/support/hf_folder_writer.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

struct World {
  World() {
    EXPECT_TRUE(WriteTinyModel({.tokenizer = "gpt2"}, directory.File("tiny.gguf")).ok());
    auto gguf = GgufFile::Open(directory.File("tiny.gguf"));
    EXPECT_TRUE(gguf.ok());
    for (const char* name : {"folders/A", "folders/B"}) {
      fs::create_directories(directory.File(name));
      EXPECT_TRUE(WriteHfFolder(**gguf, {.config = {}}, directory.File(name)).ok());
    }
  }
  std::string Get(const std::string& name) const {
    const Result<std::string> path = models.Get(directory.File("folders/" + name), "", {});
    EXPECT_TRUE(path.ok()) << path.status().ToString();
    return path.ok() ? *path : "";
  }
  TemporaryDirectory directory;
  ConvertedModels models{directory.File("root")};
};

TEST(ConvertedModels, KeepsOneForEachFolderAsItIs) {
  const World world;
  const std::string folder = world.directory.File("folders/A");
  EXPECT_EQ(world.models.Find(folder), "");
  const std::string first = world.Get("A");
  EXPECT_EQ(fs::path(first).filename(), "A.gguf");
  EXPECT_EQ(world.Get("A"), first);
  EXPECT_EQ(world.models.Find(folder + "/."), first);
  world.Get("B");
  EXPECT_EQ(world.models.List().size(), 2u);

  std::ofstream(folder + "/chat_template.jinja") << "other";
  EXPECT_EQ(world.models.Find(folder), "");
  const std::string second = world.Get("A");
  EXPECT_NE(second, first);
  EXPECT_FALSE(fs::exists(first));
  EXPECT_EQ(world.models.List().size(), 2u);
}

TEST(ConvertedModels, WhatAnEarlierVersionLeftGoes) {
  const World world;
  fs::create_directories(world.directory.File("root/0123"));
  std::ofstream(world.directory.File("root/0123/Old.gguf")) << "old";
  world.Get("A");
  EXPECT_FALSE(fs::exists(world.directory.File("root/0123")));
}

TEST(ConvertedModels, AreRemovedByFolderAndWithIt) {
  const World world;
  EXPECT_EQ(world.models.Remove(world.directory.File("folders/A")).value(), 0);
  world.Get("A");
  const std::string b = world.Get("B");
  EXPECT_EQ(world.models.Remove(world.directory.File("folders/A/")).value(), 1);
  ASSERT_EQ(world.models.List().size(), 1u);
  EXPECT_EQ(world.models.List()[0].path, b);
  EXPECT_GT(world.models.List()[0].bytes, fs::file_size(b));
  EXPECT_TRUE(world.models.RemoveGone(world.directory.File("folders")).ok());
  EXPECT_TRUE(fs::exists(b));
  fs::remove_all(world.directory.File("folders/B"));
  EXPECT_TRUE(world.models.RemoveGone(world.directory.File("elsewhere")).ok());
  EXPECT_TRUE(fs::exists(b));
  EXPECT_TRUE(world.models.RemoveGone(world.directory.File("folders")).ok());
  EXPECT_TRUE(world.models.List().empty());
}

TEST(ConvertedModels, AFolderThatDoesNotConvertLeavesNothing) {
  const World world;
  std::ofstream(world.directory.File("folders/A/config.json")) << "{}";
  EXPECT_FALSE(world.models.Get(world.directory.File("folders/A"), "", {}).ok());
  EXPECT_TRUE(world.models.List().empty());
  world.Get("B");
}

}  // namespace
}  // namespace lull
