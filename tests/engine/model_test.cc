#include "lull/model.h"

#include <gtest/gtest.h>

#include "engine/model_rep.h"
#include "tests/engine/world.h"

namespace lull {
namespace {

using testing::World;

TEST(Model, SaysWhatItIs) {
  const World world({}, {.type = "Q8_0"});
  const ModelInfo& info = world.model->info();
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.file_type, "Q8_0");
  EXPECT_EQ(info.vocab_size, 320);
  EXPECT_EQ(info.context_tokens, 512);
  EXPECT_EQ(info.path, world.directory.File("tiny.gguf"));
  EXPECT_GT(info.load_s, 0.0);
  EXPECT_GT(info.weight_bytes, 0);
}

TEST(Model, TextThereAndBack) {
  const World world;
  const std::string text = "Hello, world! \xc3\xa9";
  const auto tokens = world.model->Tokenize(text, {});
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(world.model->Detokenize(*tokens, false), text);
}

TEST(Model, RendersItsTemplate) {
  const World world;
  ASSERT_TRUE(world.model->has_chat_template());
  const auto prompt = world.model->RenderChat(R"([{"role":"user","content":"marker"}])", "", true);
  ASSERT_TRUE(prompt.ok()) << prompt.status().ToString();
  EXPECT_NE(prompt->find("marker"), std::string::npos);
}

TEST(Model, WithoutTemplateSaysSoAndNamesRaw) {
  const World world({}, {.chat_template = false});
  EXPECT_FALSE(world.model->has_chat_template());
  const auto prompt = world.model->RenderChat(R"([{"role":"user","content":"x"}])", "", true);
  ASSERT_FALSE(prompt.ok());
  EXPECT_EQ(prompt.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(prompt.error().message.find("no chat template"), std::string::npos);
  EXPECT_NE(prompt.error().hint.find("--raw"), std::string::npos);
}

std::string WriteWithTemplate(const TemporaryDirectory& directory, const std::string& source) {
  GgufWriter writer;
  writer.set_durable(false);
  EXPECT_TRUE(BuildTinyModel({.chat_template = false}, &writer).ok());
  writer.AddString("tokenizer.chat_template", source);
  const std::string path = directory.File("model.gguf");
  EXPECT_TRUE(writer.Write(path).ok());
  return path;
}

TEST(Model, TheClockIsInjected) {
  const TemporaryDirectory directory;
  const std::string path = WriteWithTemplate(directory, "{{ strftime_now('%Y-%m-%d') }}");
  const auto model = Model::Rep::Load(path, nullptr, {}, [] { return int64_t{86400}; });
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const auto prompt = (*model)->RenderChat("[]", "", false);
  ASSERT_TRUE(prompt.ok()) << prompt.status().ToString();
  EXPECT_EQ(*prompt, "1970-01-02");
  const auto now = LoadVocabularyOnly(path);
  ASSERT_TRUE(now.ok());
  EXPECT_GT(*(*now)->RenderChat("[]", "", false), "2020-01-01");
}

TEST(Model, ABrokenTemplateLeavesTheRestUsable) {
  const TemporaryDirectory directory;
  const auto model = LoadVocabularyOnly(WriteWithTemplate(directory, "{% if %}"));
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE((*model)->has_chat_template());
  EXPECT_FALSE((*model)->RenderChat("[]", "", false).ok());
  EXPECT_TRUE((*model)->Tokenize("abc", {}).ok());
}

TEST(Model, VocabularyOnlyComputesNothing) {
  const World world;
  const auto vocabulary = LoadVocabularyOnly(world.directory.File("tiny.gguf"));
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status().ToString();
  EXPECT_EQ((*vocabulary)->info().vocab_size, 320);
  EXPECT_EQ((*vocabulary)->info().architecture, "llama");
  EXPECT_EQ(*(*vocabulary)->Tokenize("some text", {}), *world.model->Tokenize("some text", {}));
  const auto engine = Engine::Create(**vocabulary, *world.runtime, {});
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code, ErrorCode::kUsage);
  EXPECT_FALSE(Decoder::Create(**vocabulary, *world.runtime, {}).ok());
}

TEST(Model, MissingFile) {
  const auto runtime = Runtime::Create({});
  const auto model = Model::Load("/nonexistent/model.gguf", **runtime);
  ASSERT_FALSE(model.ok());
  EXPECT_FALSE(model.error().message.empty());
}

}  // namespace
}  // namespace lull
