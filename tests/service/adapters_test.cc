// Adapters over HTTP: by name, by the field `lora`, by default; loaded and let go while answers
// run.
#include "service/adapters.h"

#include <gtest/gtest.h>

#include "tests/service/server_fixture.h"
#include "tests/support/tiny_adapter.h"

namespace lull {
namespace {

class AdaptersTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    for (const char* name : {"one", "two"}) {
      TinyAdapterSpec spec;
      spec.seed = static_cast<uint64_t>(name[0]);
      ASSERT_TRUE(WriteTinyAdapter(path_, spec, PathOf(name)).ok());
    }
    adapters_ = std::make_unique<ServedAdapters>(
        [this](const std::string& path, const Model& model) {
          return Adapter::Load(path, model, *runtime_);
        },
        [this](const std::string& path) -> Result<std::string> {
          if (path.find('/') != std::string::npos)
            return Status(ErrorCode::kNotFound, "no such file", "lora_path");
          return PathOf(path);
        },
        [](const std::string& name) { return name == "tiny" || name == "other"; });
    ASSERT_TRUE(adapters_->Add(*model_, "one", PathOf("one"), 0.0).ok());
    service_.adapters = adapters_.get();
  }
  void TearDown() override {
    ServiceTest::TearDown();
    for (const char* name : {"one", "two"}) std::filesystem::remove(PathOf(name));
  }
  std::string PathOf(const std::string& name) const { return path_ + "." + name + ".gguf"; }
  Json Body(const std::string& model, Json extra = Json::object()) const {
    extra.update({{"model", model},
                  {"prompt", "abc"},
                  {"max_tokens", 12},
                  {"temperature", 0},
                  {"ignore_eos", true},
                  {"return_token_ids", true}});
    return extra;
  }
  Json Tokens(const Json& body) {
    const Reply reply = Post("/v1/completions", body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.status == 200 ? reply.json()["choices"][0]["token_ids"] : Json();
  }
  Json Ids(const std::string& model, Json extra = Json::object()) {
    return Tokens(Body(model, std::move(extra)));
  }
  static Json Lora(const Json& entries) { return {{"lora", entries}}; }
  void ExpectRefused(const Reply& reply, int status, const std::string& word) {
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_NE(reply.body.find(word), std::string::npos) << reply.body;
  }
  std::unique_ptr<ServedAdapters> adapters_;
};

TEST_F(AdaptersTest, ByNameByFieldAndByDefault) {
  const Json base = Ids("tiny"), one = Ids("one");
  EXPECT_NE(base, one);
  EXPECT_EQ(Ids("tiny", Lora({{{"id", 0}, {"scale", 1.0}}})), one);
  EXPECT_EQ(Ids("tiny", Lora({{{"name", "one"}}})), one);
  EXPECT_EQ(Ids("one", Lora(Json::array())), base) << "the field says it all";
  EXPECT_EQ(Ids("tiny", Lora({{{"id", 0}, {"scale", 0}}})), base);
  EXPECT_NE(Ids("tiny", Lora({{{"id", 0}, {"scale", -3.5}}})), one);

  EXPECT_EQ(Post("/lora-adapters", Json::array({{{"id", 0}, {"scale", 1.0}}})).status, 200);
  EXPECT_EQ(Ids("tiny"), one);
  EXPECT_EQ(Get("/lora-adapters").json()[0]["scale"], 1.0);
  EXPECT_EQ(Post("/lora-adapters", Json::array()).status, 200);
  EXPECT_EQ(Ids("tiny"), base);
}

TEST_F(AdaptersTest, OllamaNamesThemAsModels) {
  const auto answer = [&](const char* model) {
    const Reply reply =
        Post("/api/generate", {{"model", model},
                               {"prompt", "abc"},
                               {"stream", false},
                               {"raw", true},
                               {"options", {{"temperature", 0}, {"num_predict", 12}}}});
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json().value("response", "");
  };
  EXPECT_NE(answer("one"), answer("tiny"));
  EXPECT_EQ(answer("one:latest"), answer("one"));
}

TEST_F(AdaptersTest, AreListedAsModelsWithAParent) {
  const Json models = Get("/v1/models").json()["data"];
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[1]["id"], "one");
  EXPECT_EQ(models[1]["parent"], "tiny");
  EXPECT_EQ(Get("/v1/models/one").status, 200);
  EXPECT_EQ(Post("/v1/completions", Body("one")).json()["model"], "one");
  EXPECT_EQ(Post("/v1/completions", Body("tiny")).json()["model"], "tiny");
  const Json list = Get("/lora-adapters").json();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["name"], "one");
  EXPECT_EQ(list[0]["rank"], 4);
  EXPECT_GT(list[0]["bytes"], 0);
}

TEST_F(AdaptersTest, ComeAndGoWhileTheServerRuns) {
  const Json base = Ids("tiny");
  EXPECT_EQ(Ids("two"), base) << "unknown names are the server's own model";
  EXPECT_EQ(Post("/v1/load_lora_adapter", {{"lora_name", "two"}, {"lora_path", "two"}}).status,
            200);
  const Json two = Ids("two");
  EXPECT_NE(two, base);
  EXPECT_NE(two, Ids("one"));
  ExpectRefused(Post("/v1/load_lora_adapter", {{"lora_name", "two"}, {"lora_path", "two"}}), 400,
                "two");
  EXPECT_EQ(Post("/v1/unload_lora_adapter", {{"lora_name", "one"}}).status, 200);
  EXPECT_EQ(Ids("one"), base);
  EXPECT_EQ(Ids("two"), two);
  // Under the same name another one: nothing of the old one's K and V may be found.
  EXPECT_EQ(Post("/v1/load_lora_adapter", {{"lora_name", "one"}, {"lora_path", "two"}}).status,
            200);
  EXPECT_EQ(Ids("one"), two);
  ExpectRefused(Post("/v1/unload_lora_adapter", {{"lora_name", "three"}}), 404, "three");
  EXPECT_EQ(Post("/v1/unload_lora_adapter", {{"lora_name", "one:latest"}}).status, 200);
}

TEST_F(AdaptersTest, SwappedUnderRequestsThatRun) {
  EXPECT_EQ(Post("/v1/load_lora_adapter", {{"lora_name", "two"}, {"lora_path", "two"}}).status,
            200);
  const Json base = Ids("tiny"), one = Ids("one"), two = Ids("two");
  std::atomic<bool> stop{false};
  std::thread swaps([&] {
    while (!stop) {
      Post("/v1/unload_lora_adapter", {{"lora_name", "two"}});
      Post("/v1/load_lora_adapter", {{"lora_name", "two"}, {"lora_path", "two"}});
    }
  });
  std::vector<std::thread> clients;
  for (const auto& [model, want] : {std::pair("tiny", base), std::pair("one", one)})
    clients.emplace_back([this, model = std::string(model), want = want] {
      for (int i = 0; i < 20; ++i) EXPECT_EQ(Ids(model), want) << model;
    });
  for (int i = 0; i < 20; ++i) {
    const Json got = Ids("two");
    EXPECT_TRUE(got == two || got == base) << got;  // there, or not at this moment
  }
  for (std::thread& client : clients) client.join();
  stop = true;
  swaps.join();
}

TEST_F(AdaptersTest, WhatIsRefused) {
  const auto ask = [&](const Json& lora) {
    return Post("/v1/completions", Body("tiny", Lora(lora)));
  };
  ExpectRefused(ask("one"), 400, "lora");
  ExpectRefused(ask({{{"id", 7}}}), 400, "7");
  ExpectRefused(ask({{{"name", "seven"}}}), 400, "seven");
  ExpectRefused(ask({{{"id", 0}, {"scale", "much"}}}), 400, "scale");
  ExpectRefused(ask(Json::array({1})), 400, "lora");
  ExpectRefused(ask({{{"id", 0}}, {{"name", "one"}}}), 400, "twice");
  for (const char* name : {"tiny", "other", "one"})
    ExpectRefused(Post("/v1/load_lora_adapter", {{"lora_name", name}, {"lora_path", "two"}}), 400,
                  name);
  // A file that is no adapter: what is wrong with it, and not where it lies.
  std::filesystem::copy_file(path_, PathOf("model"));
  const Reply wrong = Post("/v1/load_lora_adapter", {{"lora_name", "x"}, {"lora_path", "model"}});
  ExpectRefused(wrong, 400, "general.type");
  EXPECT_EQ(wrong.body.find(path_), std::string::npos) << wrong.body;
  std::filesystem::remove(PathOf("model"));
  Json many = Json::array();
  for (size_t i = 0; i <= kMaxAdapters; ++i) many.push_back({{"id", 0}});
  ExpectRefused(ask(many), 400, "16");
  ExpectRefused(Post("/lora-adapters", Json::array({{{"id", 5}, {"scale", 1}}})), 400, "5");
  ExpectRefused(Post("/lora-adapters", {{"id", 0}}), 400, "list");
  for (const Json& body : {Json::object(), Json{{"lora_name", "x"}}, Json{{"lora_path", "x"}},
                           Json{{"lora_name", "x"}, {"lora_path", ""}}, Json::array()})
    EXPECT_EQ(Post("/v1/load_lora_adapter", body).status, 400) << body;
  ExpectRefused(Post("/v1/load_lora_adapter", {{"lora_name", "x"}, {"lora_path", "/etc/passwd"}}),
                404, "lora_path");
  ExpectRefused(Post("/v1/load_lora_adapter", {{"lora_name", "a\nb"}, {"lora_path", "two"}}), 400,
                "name");
  EXPECT_EQ(adapters_->List().size(), 1u);
}

TEST_F(AdaptersTest, WithoutLeaveClientsLoadNothing) {
  ServedAdapters closed(
      [](const std::string&, const Model&) -> Result<std::shared_ptr<const Adapter>> {
        return Status(ErrorCode::kInternal, "opened");
      },
      nullptr, nullptr);
  EXPECT_EQ(closed.AddForClient(*model_, "x", "y").code(), ErrorCode::kUnsupported);
  EXPECT_EQ(closed.RemoveForClient("x").code(), ErrorCode::kUnsupported);
}

TEST_F(AdaptersTest, AModelLoadedAnewLoadsThemAnew) {
  const auto again = Value(Model::Load(path_, *runtime_));
  const auto uses = Value(adapters_->Choose(*again, adapters_->Find("one"), nullptr));
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_TRUE(uses[0].adapter->Fits(*again));
  EXPECT_FALSE(uses[0].adapter->Fits(*model_));
}

}  // namespace
}  // namespace lull
