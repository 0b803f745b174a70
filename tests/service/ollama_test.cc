// Ollama's API over real sockets, on tiny models that load when they are asked for.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "service/adapters.h"
#include "service/endpoint.h"
#include "service/http/server.h"
#include "service/ollama/call_collector.h"
#include "service/on_demand_hub.h"
#include "tests/service/server_fixture.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

// Of a body of one JSON object a line.
std::vector<Json> Lines(const Reply& reply) {
  std::vector<Json> lines;
  std::istringstream body(reply.body);
  for (std::string line; std::getline(body, line);)
    lines.push_back(Json::parse(line, nullptr, false));
  return lines;
}

// The GGUF files of a folder; "far" can be pulled and appears as a copy of "tiny".
class FolderCatalog : public ModelCatalog {
 public:
  explicit FolderCatalog(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::vector<AvailableModel> List() const override {
    std::vector<AvailableModel> models;
    for (const char* name : {"tiny", "plain", "broken", "far", "handy"})
      if (std::filesystem::exists(PathOf(name))) models.push_back(Describe(name));
    return models;
  }
  Result<AvailableModel> Find(const std::string& name) const override {
    for (AvailableModel& model : List())
      if (model.name == CanonicalModelName(name)) return std::move(model);
    return Error{ErrorCode::kNotFound, "model '" + name + "' not found", "model", ""};
  }
  Result<AvailableModel> Offer(const std::string& name) const override {
    if (CanonicalModelName(name) != "far")
      return Error{ErrorCode::kNotFound, "no model '" + name + "' to pull", "model", ""};
    AvailableModel model = Describe("tiny");
    model.name = "far";
    return model;
  }
  Result<AvailableModel> Pull(const std::string& name, const ProgressFn& progress) override {
    LULL_RETURN_IF_ERROR(Offer(name).status());
    progress("locating", 0, 0);
    for (uint64_t done = 0; done <= 100; done += 50) {
      while (held && progress("fetching", done, 100))
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      if (!progress("fetching", done, 100)) {
        given_up = true;
        return Status(ErrorCode::kCancelled, "cancelled", name);
      }
    }
    if (fails) return Status(ErrorCode::kIo, "the network is down", name);
    std::filesystem::copy_file(PathOf("tiny"), PathOf("far"));
    return Describe("far");
  }
  Status Copy(const std::string& from, const std::string& to) override {
    if (std::filesystem::exists(PathOf(to))) return Status(ErrorCode::kUsage, "taken", to);
    std::filesystem::copy_file(PathOf(CanonicalModelName(from)), PathOf(to));
    return Status();
  }
  Status Remove(const std::string& name) override {
    LULL_RETURN_IF_ERROR(Find(name).status());
    std::filesystem::remove(PathOf(CanonicalModelName(name)));
    return Status();
  }
  std::string PathOf(const std::string& name) const {
    return (folder_ / (name + ".gguf")).string();
  }

  std::atomic<bool> held{false}, fails{false}, given_up{false};

 private:
  AvailableModel Describe(const std::string& name) const {
    AvailableModel model;
    model.name = name;
    model.path = PathOf(name);
    model.bytes = static_cast<int64_t>(std::filesystem::file_size(model.path));
    model.modified_unix_s = 1'700'000'000;
    model.sha256 = std::string(64, 'a');
    model.license = "free";
    return model;
  }
  const std::filesystem::path folder_;
};

// Of a model that was taught tools, as short as its context here.
constexpr char kToolTemplate[] =
    "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
    "{% if tools %}<tool_call>{% endif %}"
    "{% for message in messages %}{{ message.role }} {{ message.name }} {{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function.arguments | tojson }}{% endfor %}"
    "{{ '\n' }}{% endfor %}";

Status WriteToolModel(const std::string& path) {
  TinyModelSpec spec;
  spec.ctx = 1024;
  spec.chat_template = false;
  GgufWriter writer;
  LULL_RETURN_IF_ERROR(BuildTinyModel(spec, &writer));
  writer.AddString("tokenizer.chat_template", kToolTemplate);
  return writer.Write(path);
}

class OllamaTest : public ServerFixture {
 protected:
  void SetUp() override {
    folder_ = ScratchPath("ollama_");
    std::filesystem::create_directories(folder_);
    catalog_ = std::make_unique<FolderCatalog>(folder_);
    TinyModelSpec spec;
    spec.ctx = 512;
    ASSERT_TRUE(WriteTinyModel(spec, catalog_->PathOf("tiny")).ok());
    spec.chat_template = false;
    ASSERT_TRUE(WriteTinyModel(spec, catalog_->PathOf("plain")).ok());
    std::ofstream(catalog_->PathOf("broken")) << "no model";
    CreateServer();
    EngineOptions engine;
    engine.max_context_tokens = 256;
    engine.kv_pool_tokens = 1024;
    OnDemandOptions options;
    options.own = Own();
    hub_ = std::make_unique<OnDemandHub>(options, *catalog_, EngineLoader(*runtime_, engine));
    store_worker_ = std::make_unique<Worker>();
    service_.hub = hub_.get();
    service_.store_worker = store_worker_.get();
    service_.catalog = catalog_.get();
    RunServer();
  }
  void TearDown() override {
    StopServer();
    hub_->Drain();
    worker_.reset();
    store_worker_.reset();
    hub_.reset();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  virtual std::string Own() const { return ""; }
  void AddToolModel() { ASSERT_TRUE(WriteToolModel(catalog_->PathOf("handy")).ok()); }
  Reply Delete(const std::string& body) { return Ask(RequestText("DELETE", "/api/delete", body)); }

  std::filesystem::path folder_;
  std::unique_ptr<FolderCatalog> catalog_;
  std::unique_ptr<OnDemandHub> hub_;
  std::unique_ptr<Worker> store_worker_;
};

TEST_F(OllamaTest, LivenessAndVersion) {
  EXPECT_EQ(Get("/").body, "Lull is running");
  const Reply head = Ask(RequestText("HEAD", "/", ""));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_TRUE(Get("/api/version").json()["version"].is_string());
}

TEST_F(OllamaTest, TagsListWhatIsThere) {
  const Json models = Get("/api/tags").json()["models"];
  ASSERT_EQ(models.size(), 3u);
  const Json& tiny = models[0];
  EXPECT_EQ(tiny["name"], "tiny:latest");
  EXPECT_EQ(tiny["model"], "tiny:latest");
  EXPECT_EQ(tiny["modified_at"], "2023-11-14T22:13:20.000000000Z");
  EXPECT_GT(tiny["size"], 0);
  EXPECT_EQ(tiny["details"]["family"], "llama");
  EXPECT_EQ(tiny["details"]["quantization_level"], "F32");
  EXPECT_EQ(models[2]["details"]["family"], "");  // unreadable, and listed all the same
  const Json listed = Get("/v1/models").json()["data"];
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0]["id"], "tiny");
  EXPECT_EQ(Get("/v1/models/plain").json()["id"], "plain");
}

TEST_F(OllamaTest, ShowTellsWhatTheFileSays) {
  const Json shown = Post("/api/show", {{"model", "tiny:latest"}}).json();
  EXPECT_EQ(shown["model_info"]["general.architecture"], "llama");
  EXPECT_EQ(shown["model_info"]["llama.context_length"], 512);
  EXPECT_TRUE(shown["model_info"]["tokenizer.ggml.tokens"].is_null());
  EXPECT_NE(shown["template"], "");
  EXPECT_EQ(shown["license"], "free");
  EXPECT_EQ(shown["capabilities"][0], "completion");
  const Json verbose = Post("/api/show", {{"name", "tiny"}, {"verbose", true}}).json();
  EXPECT_GT(verbose["model_info"]["tokenizer.ggml.tokens"].size(), 200u);
  const Reply missing = Post("/api/show", {{"model", "none"}});
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.json()["error"], "model 'none' not found");
  EXPECT_EQ(Post("/api/show", Json::object()).status, 400);
}

// With a model of the server's own, and an adapter of it.
class OllamaAdapterTest : public OllamaTest {
 protected:
  std::string Own() const override { return "tiny"; }
  void SetUp() override {
    OllamaTest::SetUp();
    const std::string path = (folder_ / "sql.gguf").string();
    ASSERT_TRUE(WriteTinyAdapter(catalog_->PathOf("tiny"), {}, path).ok());
    adapters_ = std::make_unique<ServedAdapters>(
        [this](const std::string& file, const Model& model) {
          return Adapter::Load(file, model, *runtime_);
        },
        nullptr, nullptr);
    const auto model = Model::Load(catalog_->PathOf("tiny"), *runtime_);
    ASSERT_TRUE(model.ok());
    ASSERT_TRUE(adapters_->Add(**model, "sql", path, 0.0).ok());
    service_.adapters = adapters_.get();
  }
  std::unique_ptr<ServedAdapters> adapters_;
};

TEST_F(OllamaAdapterTest, AreListedWhetherTheModelIsLoadedOrNot) {
  const auto check = [&] {
    const Json models = Get("/v1/models").json()["data"];
    ASSERT_EQ(models.size(), 4u);
    EXPECT_EQ(models[0]["id"], "tiny");
    EXPECT_EQ(models[1]["id"], "sql");
    EXPECT_EQ(models[1]["root"], "sql.gguf");
    EXPECT_EQ(models[1]["parent"], "tiny");
    EXPECT_EQ(Get("/v1/models/sql").status, 200);
  };
  check();
  ASSERT_EQ(Post("/v1/completions", {{"model", "sql"}, {"prompt", "a"}}).status, 200);
  EXPECT_EQ(Get("/api/ps").json()["models"].size(), 1u);
  check();
}

TEST_F(OllamaAdapterTest, AreModelsForClientsOfOllama) {
  const Json models = Get("/api/tags").json()["models"];
  ASSERT_EQ(models.size(), 4u);
  EXPECT_EQ(models[1]["name"], "sql:latest");
  EXPECT_EQ(models[1]["details"]["parent_model"], "tiny:latest");
  EXPECT_LT(models[1]["size"], models[0]["size"]);
  EXPECT_EQ(models[1]["digest"].get<std::string>().size(), 64u);  // clients cut a piece off it
  EXPECT_NE(models[1]["digest"], models[0]["digest"]);
  EXPECT_EQ(models[0]["details"]["parent_model"], "");
  const Json shown = Post("/api/show", {{"model", "sql:latest"}}).json();
  EXPECT_EQ(shown["details"]["parent_model"], "tiny:latest");
  EXPECT_EQ(shown["modelfile"], "# served by lull\nFROM tiny\nADAPTER sql.gguf\n");
  EXPECT_EQ(shown["capabilities"][0], "completion");
}

TEST_F(OllamaAdapterTest, AreLetGoAndRemovedByTheirName) {
  const auto generate = [&](Json extra) {
    extra["model"] = "sql";
    return Post("/api/generate", extra);
  };
  ASSERT_EQ(generate(Json::object()).json()["done_reason"], "load");
  const Reply unloaded = generate({{"keep_alive", 0}});
  EXPECT_EQ(unloaded.status, 200) << unloaded.body;
  EXPECT_EQ(unloaded.json()["done_reason"], "unload");
  EXPECT_EQ(Post("/api/copy", {{"source", "tiny"}, {"destination", "sql"}}).status, 400);
  const Reply deleted = Delete(R"({"model": "sql"})");
  EXPECT_EQ(deleted.status, 400);
  EXPECT_NE(deleted.body.find("adapters"), std::string::npos) << "no --lora-folder: " << deleted.body;
  EXPECT_EQ(Post("/api/show", {{"model", "sql"}}).status, 200);
}

TEST_F(OllamaTest, PsShowsWhatIsLoaded) {
  EXPECT_EQ(Get("/api/ps").json()["models"].size(), 0u);
  ASSERT_EQ(Post("/v1/completions", {{"model", "tiny"}, {"prompt", "a"}}).status, 200);
  const Json models = Get("/api/ps").json()["models"];
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0]["name"], "tiny:latest");
  EXPECT_GT(models[0]["size"], 0);
  EXPECT_EQ(models[0]["context_length"], 256);
  EXPECT_TRUE(models[0]["expires_at"].is_string());
}

TEST_F(OllamaTest, OpenAiRequestsLoadByName) {
  EXPECT_EQ(Post("/v1/completions", {{"model", "plain"}, {"prompt", "a"}}).json()["model"],
            "plain");
  const Reply missing = Post("/v1/completions", {{"model", "none"}, {"prompt", "a"}});
  EXPECT_EQ(missing.status, 404);
  EXPECT_TRUE(missing.json()["error"].is_object()) << missing.body;
  const Reply broken = Post("/v1/completions", {{"model", "broken"}, {"prompt", "a"}});
  EXPECT_GE(broken.status, 400);
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "a"}}).status, 400);  // no model of its own
}

TEST_F(OllamaTest, PullTellsItsProgress) {
  const Reply reply = Post("/api/pull", {{"model", "far"}});
  ASSERT_EQ(reply.status, 200);
  EXPECT_NE(reply.head.find("application/x-ndjson"), std::string::npos);
  const std::vector<Json> lines = Lines(reply);
  ASSERT_GE(lines.size(), 5u);
  EXPECT_EQ(lines.front()["status"], "pulling manifest");
  EXPECT_EQ(lines.back(), Json({{"status", "success"}}));
  bool half = false;
  for (const Json& line : lines)
    half |= line.value("completed", 0) == 50 && line.value("total", 0) == 100;
  EXPECT_TRUE(half) << reply.body;
  EXPECT_EQ(Post("/api/show", {{"model", "far"}}).status, 200);
}

TEST_F(OllamaTest, PullWholeFailedAndUnknown) {
  catalog_->fails = true;
  const Reply failed = Post("/api/pull", {{"model", "far"}});
  EXPECT_EQ(failed.status, 200);  // the stream had begun
  EXPECT_NE(Lines(failed).back()["error"].get<std::string>().find("network"), std::string::npos);
  EXPECT_EQ(Post("/api/pull", {{"model", "far"}, {"stream", false}}).status, 500);
  catalog_->fails = false;
  EXPECT_EQ(Post("/api/pull", {{"model", "far"}, {"stream", false}}).json()["status"], "success");
  const Reply unknown = Post("/api/pull", {{"model", "none"}});
  EXPECT_EQ(unknown.status, 404);
  EXPECT_TRUE(unknown.json()["error"].is_string());
}

TEST_F(OllamaTest, APullEndsWithItsClientAndHoldsUpNobody) {
  catalog_->held = true;
  {
    Client client(port_);
    client.Send(RequestText("POST", "/api/pull", R"({"model":"far"})"));
    client.ReadUntil("fetching");
    EXPECT_EQ(Post("/v1/completions", {{"model", "tiny"}, {"prompt", "a"}}).status, 200);
    EXPECT_EQ(Get("/api/tags").status, 200);
  }
  EXPECT_TRUE(Soon([&] { return catalog_->given_up.load(); }));
}

TEST_F(OllamaTest, DeleteRemovesAndUnloads) {
  ASSERT_EQ(Post("/v1/completions", {{"model", "plain"}, {"prompt", "a"}}).status, 200);
  const Reply reply = Delete(R"({"model":"plain:latest"})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
  EXPECT_TRUE(Soon([&] { return hub_->Residents().empty(); }));
  EXPECT_EQ(Get("/api/tags").json()["models"].size(), 2u);
  EXPECT_EQ(Delete(R"({"model":"plain"})").status, 404);
}

TEST_F(OllamaTest, CopyGivesAnotherName) {
  const Json body = {{"source", "tiny:latest"}, {"destination", "handy"}};
  EXPECT_EQ(Post("/api/copy", body).status, 200);
  EXPECT_EQ(Post("/api/show", {{"model", "handy"}}).status, 200);
  EXPECT_EQ(Post("/api/copy", body).status, 400);  // taken by now
  EXPECT_EQ(Post("/api/copy", {{"source", "none"}, {"destination", "x"}}).status, 404);
  EXPECT_EQ(Post("/api/copy", {{"source", "tiny"}}).status, 400);
}

TEST_F(OllamaTest, WhatIsNotThereSaysSoInOllamasForm) {
  for (const char* path : {"/api/embed", "/api/embeddings", "/api/create", "/api/push"}) {
    const Reply reply = Post(path, {{"model", "tiny"}});
    EXPECT_EQ(reply.status, 501) << path;
    EXPECT_TRUE(reply.json()["error"].is_string()) << reply.body;
  }
  EXPECT_TRUE(Get("/api/nothing").json()["error"].is_string());
  EXPECT_TRUE(Ask(RequestText("POST", "/api/show", "{")).json()["error"].is_string());
  EXPECT_TRUE(Get("/v1/nothing").json()["error"].is_object());
}

const Json kGreedy = {{"temperature", 0}, {"num_predict", 8}};

Json ChatBody(const Json& more = Json::object()) {
  Json body = {{"model", "tiny"},
               {"messages", Json::array({{{"role", "user"}, {"content", "hello there"}}})},
               {"options", kGreedy}};
  body.update(more);
  return body;
}
Json GenerateBody(const Json& more = Json::object()) {
  Json body = {{"model", "tiny"}, {"prompt", "hello there"}, {"options", kGreedy}};
  body.update(more);
  return body;
}

TEST_F(OllamaTest, ChatWholeAndInPieces) {
  const Reply whole = Post("/api/chat", ChatBody({{"stream", false}}));
  ASSERT_EQ(whole.status, 200) << whole.body;
  const Json answer = whole.json();
  EXPECT_EQ(answer["model"], "tiny");
  EXPECT_EQ(answer["message"]["role"], "assistant");
  EXPECT_EQ(answer["done"], true);
  for (const char* field : {"total_duration", "load_duration", "prompt_eval_count",
                            "prompt_eval_duration", "eval_count", "eval_duration"})
    EXPECT_GT(answer[field], 0) << field;
  EXPECT_LE(answer["eval_count"], 8);
  EXPECT_TRUE(answer["lull"]["request_id"].is_string());
  EXPECT_NE(whole.head.find("X-Request-Id: "), std::string::npos);

  const Reply streamed = Post("/api/chat", ChatBody({{"model", "tiny:latest"}}));
  ASSERT_EQ(streamed.status, 200);
  EXPECT_NE(streamed.head.find("application/x-ndjson"), std::string::npos);
  const std::vector<Json> lines = Lines(streamed);
  std::string text;
  for (const Json& line : lines) {
    EXPECT_EQ(line["model"], "tiny:latest");
    EXPECT_EQ(line["done"], &line == &lines.back());
    text += line["message"]["content"].get<std::string>();
  }
  EXPECT_EQ(text, answer["message"]["content"]);
  EXPECT_EQ(lines.back()["done_reason"], answer["done_reason"]);
  EXPECT_TRUE(lines.back()["lull"].is_object());
}

TEST_F(OllamaTest, GenerateContextRawAndSystem) {
  const Json first = Post("/api/generate", GenerateBody({{"stream", false}})).json();
  ASSERT_TRUE(first["context"].is_array()) << first;
  EXPECT_EQ(first["context"].size(),
            first["prompt_eval_count"].get<size_t>() + first["eval_count"].get<size_t>());
  const Json second =
      Post("/api/generate", GenerateBody({{"stream", false}, {"context", first["context"]}}))
          .json();
  // All of it and the new turn, which has no second beginning-of-text token.
  const size_t both = first["context"].size() + first["prompt_eval_count"].get<size_t>();
  EXPECT_LE(second["prompt_eval_count"].get<size_t>(), both);
  EXPECT_GE(second["prompt_eval_count"].get<size_t>(), both - 1);
  const Json raw = Post("/api/generate", GenerateBody({{"stream", false}, {"raw", true}})).json();
  EXPECT_LT(raw["prompt_eval_count"], first["prompt_eval_count"]);
  EXPECT_FALSE(raw.contains("context"));
  const Json system =
      Post("/api/generate", GenerateBody({{"stream", false}, {"system", "Be brief."}})).json();
  EXPECT_GT(system["prompt_eval_count"], first["prompt_eval_count"]);
  // The same as a chat of one message.
  const Json chat = Post("/api/chat", ChatBody({{"stream", false}})).json();
  EXPECT_EQ(chat["message"]["content"], first["response"]);
  EXPECT_EQ(chat["prompt_eval_count"], first["prompt_eval_count"]);
  // A model without a template takes the prompt as it is.
  const Json plain =
      Post("/api/generate", GenerateBody({{"stream", false}, {"model", "plain"}})).json();
  EXPECT_EQ(plain["prompt_eval_count"], raw["prompt_eval_count"]);
}

TEST_F(OllamaTest, OptionsAreHonoured) {
  const auto ask = [&](const Json& options) {
    return Post("/api/generate",
                {{"model", "tiny"}, {"prompt", "abc"}, {"stream", false}, {"options", options}})
        .json();
  };
  const Json hot = {{"seed", 5}, {"temperature", 2.0}, {"num_predict", 24}};
  EXPECT_EQ(ask(hot)["response"], ask(hot)["response"]);
  Json other = hot;
  other["seed"] = 6;
  EXPECT_NE(ask(hot)["response"], ask(other)["response"]);
  other["seed"] = -1;
  EXPECT_NE(ask(other)["response"], ask(other)["response"]);
  EXPECT_EQ(ask({{"num_predict", 3}, {"temperature", 0}})["eval_count"], 3);
  // num_ctx bounds both together.
  const Json bounded = ask({{"num_ctx", 40}, {"temperature", 0}, {"repeat_penalty", 1.0}});
  EXPECT_LE(bounded["prompt_eval_count"].get<int>() + bounded["eval_count"].get<int>(), 40);
  EXPECT_EQ(ask({{"num_ctx", 1}})["error"].is_string(), true);
  // Ignored as Ollama ignores them.
  const Json ignored = {{"num_gpu", 99}, {"num_thread", 3},  {"mirostat", 2},   {"num_keep", 4},
                        {"x", "y"},      {"num_predict", 2}, {"temperature", 0}};
  EXPECT_EQ(ask(ignored)["eval_count"], 2);
  const Json top = Post("/api/generate",
                        GenerateBody({{"stream", false}, {"logprobs", true}, {"top_logprobs", 2}}))
                       .json();
  EXPECT_EQ(top["logprobs"].size(), top["eval_count"].get<size_t>());
  EXPECT_EQ(top["logprobs"][0]["top_logprobs"].size(), 2u);
}

TEST_F(OllamaTest, FormatIsKept) {
  const Json schema = {{"type", "object"},
                       {"properties", {{"ok", {{"type", "boolean"}}}}},
                       {"required", Json::array({"ok"})},
                       {"additionalProperties", false}};
  const Reply reply =
      Post("/api/chat",
           ChatBody({{"stream", false}, {"format", schema}, {"options", {{"temperature", 0}}}}));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json content =
      Json::parse(reply.json()["message"]["content"].get<std::string>(), nullptr, false);
  EXPECT_TRUE(content.is_object() && content["ok"].is_boolean()) << reply.body;
}

const Json kLightTool = Json::parse(R"({"function": {
    "name": "set_light", "description": "Turns a light on or off",
    "parameters": {"type": "object", "required": ["on", "room"], "additionalProperties": false,
                   "properties": {"on": {"type": "boolean"},
                                  "room": {"type": "string", "enum": ["hall", "attic"]}}}}})");

Json ToolBody(const Json& more = Json::object()) {
  Json body = ChatBody({{"model", "handy"},
                        {"tools", Json::array({kLightTool})},
                        {"options", {{"temperature", 1}, {"seed", 5}, {"num_predict", 150}}}});
  body.update(more);
  return body;
}

void ExpectLightCall(const Json& message) {
  ASSERT_EQ(message["tool_calls"].size(), 1u) << message;
  const Json function = message["tool_calls"][0]["function"];
  EXPECT_EQ(function["name"], "set_light");
  EXPECT_TRUE(function["arguments"].is_object());
  EXPECT_TRUE(function["arguments"]["on"].is_boolean());
  EXPECT_EQ(message["content"], "");
}

TEST_F(OllamaTest, ToolsAreCalled) {
  AddToolModel();
  // The call that the answer must be, and a format that is one.
  const Json call = {
      {"type", "object"},
      {"properties",
       {{"name", {{"const", "set_light"}}}, {"arguments", kLightTool["function"]["parameters"]}}},
      {"required", {"name", "arguments"}},
      {"additionalProperties", false}};
  for (const Json& forced : {Json{{"tool_choice", "required"}}, Json{{"format", call}}}) {
    Json body = ToolBody(forced);
    body["stream"] = false;
    const Reply whole = Post("/api/chat", body);
    ASSERT_EQ(whole.status, 200) << whole.body;
    EXPECT_EQ(whole.json()["done_reason"], "stop");
    ExpectLightCall(whole.json()["message"]);

    body["stream"] = true;
    Json calls = Json::array();
    const std::vector<Json> lines = Lines(Post("/api/chat", body));
    for (const Json& line : lines) {
      EXPECT_EQ(line["message"]["content"], "");
      for (const Json& one : line["message"].value("tool_calls", Json::array()))
        calls.push_back(one["function"]);
    }
    EXPECT_EQ(lines.back()["done"], true);
    EXPECT_FALSE(lines.back()["message"].contains("tool_calls"));  // clients look before it
    ASSERT_EQ(calls.size(), 1u);
    EXPECT_EQ(calls[0], whole.json()["message"]["tool_calls"][0]["function"]);
  }
}

TEST_F(OllamaTest, ToolResultsReachTheTemplate) {
  AddToolModel();
  const auto prompt_tokens = [&](const char* tool, const char* result) {
    const Json call = {
        {"function", {{"name", "set_light"}, {"arguments", {{"on", true}, {"room", "hall"}}}}}};
    const Json messages =
        Json::array({{{"role", "user"}, {"content", "light!"}},
                     {{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({call})}},
                     {{"role", "tool"}, {"tool_name", tool}, {"content", result}}});
    const Reply reply = Post("/api/chat", ToolBody({{"stream", false}, {"messages", messages}}));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json().value("prompt_eval_count", 0);
  };
  const int base = prompt_tokens("x", "y");
  EXPECT_GT(prompt_tokens("xqxqxqxq", "y"), base);
  EXPECT_GT(prompt_tokens("x", "yqyqyqyq"), base);
}

TEST_F(OllamaTest, ToolsNeedATemplateThatTakesThem) {
  AddToolModel();
  const auto capabilities = [&](const char* model) {
    return Post("/api/show", {{"model", model}}).json()["capabilities"];
  };
  EXPECT_EQ(capabilities("handy"), Json::array({"completion", "tools"}));
  EXPECT_EQ(capabilities("tiny"), Json::array({"completion"}));
  EXPECT_EQ(capabilities("plain"), Json::array({"completion"}));
  for (const char* model : {"tiny", "plain"}) {
    const Reply refused = Post("/api/chat", ToolBody({{"model", model}}));
    EXPECT_EQ(refused.status, 400);
    EXPECT_NE(refused.body.find("does not support tools"), std::string::npos) << refused.body;
  }
  const Json none = ToolBody({{"model", "tiny"}, {"tools", Json::array()}});
  EXPECT_EQ(Post("/api/chat", none).status, 200);
  const Json nameless = Json::array({{{"type", "function"}, {"function", Json::object()}}});
  EXPECT_EQ(Post("/api/chat", ToolBody({{"tools", nameless}})).status, 400);
  EXPECT_EQ(Post("/api/chat", ToolBody({{"tools", "set_light"}})).status, 400);
}

TEST(CallCollector, CallsComeWholeWhereverTheTextIsCut) {
  AnswerStyle style;
  style.tools.resize(2);
  style.tools[0].name = "f", style.tools[1].name = "g";
  style.max_calls = 100;
  const auto collect = [&](const std::string& text, size_t step) {
    CallCollector collector(style);
    OllamaText out;
    for (size_t at = 0; at < text.size(); at += step) collector.Push(text.substr(at, step), &out);
    collector.Finish(&out);
    for (Json& call : out.calls) {
      EXPECT_TRUE(call["id"].get<std::string>().starts_with("call_"));
      call.erase("id");
    }
    return Json({{"content", out.content}, {"calls", out.calls}});
  };
  const std::string text =
      "Well. <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": {\"b\": \"}\"}}}\n</tool_call>\n"
      "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  const Json expected = {
      {"content", "Well. "},
      {"calls",
       Json::array(
           {{{"function", {{"index", 0}, {"name", "f"}, {"arguments", {{"a", {{"b", "}"}}}}}}}},
            {{"function", {{"index", 1}, {"name", "g"}, {"arguments", Json::object()}}}}})}};
  for (const size_t step : {1, 2, 3, 7, 1000}) EXPECT_EQ(collect(text, step), expected) << step;
  // Ends in the midst of its arguments: text, and no call.
  const std::string cut = "{\"name\": \"f\", \"arguments\": {\"a\": {}";
  EXPECT_EQ(collect(cut, 1), Json({{"content", cut}, {"calls", Json::array()}}));
  style.tools.clear();
  EXPECT_EQ(collect(cut, 4)["content"], cut);
}

TEST(CallCollector, ThinkingHasItsOwnField) {
  AnswerStyle style;
  style.reasoning = {"<think>", "</think>"};
  CallCollector collector(style);
  OllamaText out;
  for (const char* piece : {"<thi", "nk>\nHm", "m.\n</think>\n", "\nYes."})
    collector.Push(piece, &out);
  collector.Finish(&out);
  EXPECT_EQ(out.thinking, "Hmm.");
  EXPECT_EQ(out.content, "Yes.");
}

TEST(CallCollector, MutatedTexts) {
  AnswerStyle style;
  style.tools.resize(1);
  style.tools[0].name = "f";
  style.max_calls = 100;
  const std::string seed =
      "x <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1, {\"b\": \"}\"}]}}</tool_call> y";
  const std::string alphabet = "<>{}[]\"\\,: \nf1";
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    std::string text = seed.substr(random() % 3 == 0 ? 13 : 0);
    for (int edits = 0; edits < 3; ++edits)
      text[random() % text.size()] = alphabet[random() % alphabet.size()];
    CallCollector collector(style);
    OllamaText out;
    for (size_t at = 0, step = 1 + random() % 9; at < text.size(); at += step)
      collector.Push(text.substr(at, step), &out);
    collector.Finish(&out);
    for (const Json& call : out.calls) {
      EXPECT_EQ(call["function"]["name"], "f") << text;
      EXPECT_TRUE(call["function"]["arguments"].is_object()) << text;
    }
  }
}

TEST_F(OllamaTest, OldMessagesMakeRoom) {
  Json messages = Json::array({{{"role", "system"}, {"content", "Be brief."}}});
  for (int i = 0; i < 40; ++i)
    messages.push_back(
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", "some words here"}});
  messages.push_back({{"role", "user"}, {"content", "and now?"}});
  const Reply fits = Post("/api/chat", ChatBody({{"stream", false}, {"messages", messages}}));
  ASSERT_EQ(fits.status, 200) << fits.body;
  EXPECT_LT(fits.json()["prompt_eval_count"], 256);
  EXPECT_GT(fits.json()["prompt_eval_count"], 150);  // no more goes than must
  const Reply refused =
      Post("/api/chat", ChatBody({{"stream", false}, {"messages", messages}, {"truncate", false}}));
  EXPECT_EQ(refused.status, 400);
  const Json alone = Json::array({{{"role", "user"}, {"content", std::string(3000, 'x')}}});
  EXPECT_EQ(Post("/api/chat", ChatBody({{"messages", alone}})).status, 400);
}

TEST_F(OllamaTest, LoadAndUnloadWithoutAPrompt) {
  const Json loaded = Post("/api/generate", {{"model", "tiny"}, {"keep_alive", "10m"}}).json();
  EXPECT_EQ(loaded["done_reason"], "load");
  EXPECT_EQ(loaded["response"], "");
  const auto residents = hub_->Residents();
  ASSERT_EQ(residents.size(), 1u);
  EXPECT_GT(residents[0].expires_in_ms, 500'000);
  const Json chat =
      Post("/api/chat", {{"model", "tiny"}, {"messages", Json::array()}, {"keep_alive", 0}}).json();
  EXPECT_EQ(chat["done_reason"], "unload");
  EXPECT_EQ(chat["message"]["content"], "");
  EXPECT_EQ(Post("/api/generate", {{"model", "none"}, {"keep_alive", 0}}).status, 404);
  EXPECT_EQ(Post("/api/generate", {{"model", "none"}}).status, 404);
}

TEST_F(OllamaTest, KeepAliveZeroUnloadsAfterTheAnswer) {
  ASSERT_EQ(Post("/api/chat", ChatBody({{"keep_alive", 0}})).status, 200);
  EXPECT_TRUE(Soon([&] { return hub_->Residents().empty(); }));
}

TEST_F(OllamaTest, BadChatsAreNamed) {
  struct Case {
    const char* path;
    Json body;
    int status;
    const char* says;
  };
  const Json image = Json::array({{{"role", "user"}, {"content", "x"}, {"images", {"aGk="}}}});
  const Case cases[] = {
      {"/api/chat", ChatBody({{"model", "none"}}), 404, "not found"},
      {"/api/chat", ChatBody({{"messages", image}}), 400, "images"},
      {"/api/chat", ChatBody({{"messages", Json::array({1})}}), 400, "object"},
      {"/api/chat", ChatBody({{"options", {{"temperature", "hot"}}}}), 400, "temperature"},
      {"/api/chat", ChatBody({{"options", 3}}), 400, "options"},
      {"/api/chat", ChatBody({{"keep_alive", "soon"}}), 400, "keep_alive"},
      {"/api/chat", ChatBody({{"format", "xml"}}), 400, "format"},
      {"/api/chat", ChatBody({{"think", true}}), 400, "think"},
      {"/api/chat", ChatBody({{"model", "plain"}}), 400, "template"},
      {"/api/generate", GenerateBody({{"suffix", "end"}}), 400, "suffix"},
      {"/api/generate", GenerateBody({{"template", "{{ .Prompt }}"}}), 400, "template"},
      {"/api/generate", GenerateBody({{"images", {"aGk="}}}), 400, "images"},
      {"/api/generate", GenerateBody({{"context", {999999}}}), 400, "context"},
      {"/api/generate", GenerateBody({{"prompt", std::string(3000, 'x')}}), 400, "context"},
      {"/api/generate", {{"prompt", "x"}}, 400, "model"},
      {"/api/generate", {{"model", "broken"}, {"prompt", "x"}}, 500, ""},
  };
  for (const Case& c : cases) {
    const Reply reply = Post(c.path, c.body);
    EXPECT_EQ(reply.status, c.status) << c.body << reply.body;
    ASSERT_TRUE(reply.json().is_object()) << reply.body;
    ASSERT_TRUE(reply.json()["error"].is_string()) << reply.body;
    EXPECT_NE(reply.json()["error"].get<std::string>().find(c.says), std::string::npos)
        << reply.body;
  }
}

}  // namespace
}  // namespace lull
