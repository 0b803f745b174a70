// The HTTP server and its endpoints, over real sockets, on a tiny model.
#include <gtest/gtest.h>

#include "tests/service/server_fixture.h"

namespace lull {
namespace {

TEST_F(ServiceTest, HealthModelsAndMetrics) {
  EXPECT_EQ(Ask(RequestText("GET", "/health", "")).json()["status"], "ok");
  EXPECT_EQ(Ask(RequestText("GET", "/v1/models", "")).json()["data"][0]["id"], "tiny");
  const Reply metrics = Ask(RequestText("GET", "/metrics", ""));
  EXPECT_EQ(metrics.status, 200);
  EXPECT_NE(metrics.body.find("lull_kv_pages_total"), std::string::npos);
}

TEST_F(ServiceTest, WholeAndStreamedAnswersAgree) {
  Json body = {
      {"messages", kMessages}, {"max_tokens", 12}, {"temperature", 0}, {"ignore_eos", true}};
  const Reply whole = Post("/v1/chat/completions", body);
  ASSERT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(whole.json()["usage"]["completion_tokens"], 12);
  EXPECT_EQ(whole.json()["choices"][0]["finish_reason"], "length");
  const std::string want = whole.json()["choices"][0]["message"]["content"];

  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const Reply streamed = Post("/v1/chat/completions", body);
  ASSERT_EQ(streamed.status, 200);
  std::string got;
  int finished = 0, usages = 0;
  for (size_t at = 0; (at = streamed.body.find("data: {", at)) != std::string::npos; ++at) {
    const size_t end = streamed.body.find("\n\n", at);
    const Json chunk = Json::parse(streamed.body.substr(at + 6, end - at - 6));
    if (chunk["choices"].empty()) {
      usages += chunk["usage"]["completion_tokens"] == 12;
      continue;
    }
    const Json& choice = chunk["choices"][0];
    got += choice["delta"].value("content", "");
    finished += choice["finish_reason"] == "length";
  }
  EXPECT_EQ(got, want);
  EXPECT_EQ(finished, 1);
  EXPECT_EQ(usages, 1);
  EXPECT_NE(streamed.body.find("data: [DONE]"), std::string::npos);
}

TEST_F(ServiceTest, CompletionsTakeTextAndTokens) {
  const Json common = {
      {"max_tokens", 6}, {"temperature", 0}, {"ignore_eos", true}, {"logprobs", 2}};
  Json by_text = common, by_tokens = common;
  by_text["prompt"] = "abc def";
  by_tokens["prompt"] = Value(model_->Tokenize("abc def", {}));
  const Json a = Post("/v1/completions", by_text).json(),
             b = Post("/v1/completions", by_tokens).json();
  EXPECT_EQ(a["choices"][0]["text"], b["choices"][0]["text"]);
  EXPECT_EQ(a["choices"][0]["logprobs"]["token_logprobs"].size(), 6u);
  EXPECT_EQ(a["choices"][0]["logprobs"]["text_offset"].size(), 6u);
  EXPECT_EQ(a["choices"][0]["logprobs"]["text_offset"][0], 0);
  EXPECT_EQ(a["choices"][0]["logprobs"], b["choices"][0]["logprobs"]);
}

// The whole answer of each endpoint, but for what changes from run to run: clients are built on it.
TEST_F(ServiceTest, WireFormOfAnswers) {
  const auto normal = [](Json json) {
    for (const char* field : {"id", "created", "lull"}) json.erase(field);
    return json.dump();
  };
  const auto text = [&](const Json& prompt, int tokens) {
    Json body = {
        {"prompt", prompt}, {"max_tokens", tokens}, {"temperature", 0}, {"ignore_eos", true}};
    return Post("/v1/completions", body).json()["choices"][0]["text"];
  };
  const Json answer = text("abc", 2);
  Json body = {{"model", "any"},     {"prompt", Json::array({"abc"})},
               {"max_tokens", 2},    {"temperature", 0},
               {"ignore_eos", true}, {"n", 1},
               {"best_of", 1},       {"echo", false},
               {"user", "u"}};
  const size_t prompt_tokens = Value(model_->TokenizePrompt("abc")).size();
  const Json usage = {{"prompt_tokens", prompt_tokens},
                      {"completion_tokens", 2},
                      {"total_tokens", prompt_tokens + 2},
                      {"prompt_tokens_details", {{"cached_tokens", 0}}}};
  EXPECT_EQ(normal(Post("/v1/completions", body).json()),
            Json({{"object", "text_completion"},
                  {"model", "tiny"},
                  {"choices", Json::array({{{"index", 0},
                                            {"text", answer},
                                            {"logprobs", nullptr},
                                            {"finish_reason", "length"}}})},
                  {"usage", usage}})
                .dump());

  Json chat = {{"messages", kMessages},  {"max_completion_tokens", 2},
               {"temperature", 0},       {"ignore_eos", true},
               {"tools", Json::array()}, {"response_format", {{"type", "text"}}},
               {"store", false},         {"seed", 7}};
  const Json whole = Post("/v1/chat/completions", chat).json();
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(whole["id"].get<std::string>().starts_with("chatcmpl-"));

  chat["logprobs"] = true;
  const Json entry =
      Post("/v1/chat/completions", chat).json()["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(entry["top_logprobs"], Json::array());
  for (const char* field : {"token", "logprob", "bytes"})
    EXPECT_TRUE(entry.contains(field)) << field;

  chat.erase("logprobs");
  chat["stream"] = true;
  const Reply streamed = Post("/v1/chat/completions", chat);
  EXPECT_NE(streamed.head.find("Content-Type: text/event-stream"), std::string::npos);
  std::vector<Json> chunks;
  for (size_t at = 0; (at = streamed.body.find("data: {", at)) != std::string::npos; ++at)
    chunks.push_back(
        Json::parse(streamed.body.substr(at + 6, streamed.body.find("\n\n", at) - at - 6)));
  ASSERT_GE(chunks.size(), 2u);
  EXPECT_EQ(normal(chunks.front()), R"({"object":"chat.completion.chunk","model":"tiny","choices":)"
                                    R"([{"index":0,"delta":{"role":"assistant","content":""},)"
                                    R"("logprobs":null,"finish_reason":null}]})");
  EXPECT_EQ(normal(chunks.back()),
            R"({"object":"chat.completion.chunk","model":"tiny","choices":)"
            R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]})");
}

TEST_F(ServiceTest, OneModelByItsName) {
  EXPECT_EQ(Ask(RequestText("GET", "/v1/models/tiny", "")).json()["id"], "tiny");
  EXPECT_EQ(Ask(RequestText("GET", "/v1/models/t%69ny", "")).json()["id"], "tiny");
  const Reply other = Ask(RequestText("GET", "/v1/models/other", ""));
  EXPECT_EQ(other.status, 404);
  EXPECT_NE(other.body.find("tiny"), std::string::npos);
}

TEST_F(ServiceTest, SeedsMakeAnswersRepeatableAndNoneMakesThemDiffer) {
  const auto ask = [&](const Json& seed) {
    Json body = {{"prompt", "abc"}, {"max_tokens", 24}, {"temperature", 1.5}, {"ignore_eos", true}};
    if (!seed.is_null()) body["seed"] = seed;
    return Post("/v1/completions", body).json()["choices"][0]["text"].dump();
  };
  EXPECT_EQ(ask(1), ask(1));
  EXPECT_NE(ask(1), ask(2));
  EXPECT_NE(ask(nullptr), ask(nullptr));
}

TEST_F(ServiceTest, BadRequestsAreNamed) {
  struct Case {
    Json body;
    const char* says;
  };
  const Case cases[] = {
      {{{"messages", kMessages}, {"temperature", "hot"}}, "temperature"},
      {{{"messages", kMessages}, {"temperature", -1}}, "temperature"},
      {{{"messages", kMessages}, {"max_tokens", 0}}, "max_tokens"},
      {{{"messages", kMessages}, {"max_tokens", 1.5}}, "max_tokens"},
      {{{"messages", kMessages}, {"n", 0}}, "n:"},
      {{{"messages", kMessages}, {"n", 1000000000}}, "n:"},
      {{{"messages", kMessages}, {"n", 2}, {"best_of", 3}}, "best_of"},
      {{{"messages", kMessages}, {"priority", "first"}}, "priority"},
      {{{"messages", kMessages}, {"deadline_ms", -1}}, "deadline_ms"},
      {{{"messages", kMessages}, {"top_logprobs", 2}}, "top_logprobs"},
      {{{"messages", kMessages}, {"logprobs", 21}}, "logprobs"},
      {{{"messages", kMessages}, {"stream_options", {{"every", 3}}}}, "every"},
      {{{"messages", kMessages}, {"user", 3}}, "user"},
      {{{"messages", kMessages}, {"suffix", "x"}}, "suffix"},
      {{{"messages", kMessages}, {"tools", Json::array({1})}}, "tools"},
      {{{"messages", kMessages}, {"response_format", {{"type", "yaml"}}}}, "response_format"},
      {{{"messages", kMessages}, {"stop", 3}}, "stop"},
      {{{"messages", kMessages}, {"logit_bias", {{"x", 1}}}}, "logit_bias"},
      {{{"messages", kMessages}, {"logit_bias", {{"999999", 1}}}}, "999999"},
      {{{"messages", Json::array()}}, "messages"},
      {{{"messages", Json::array({{{"content", "x"}}})}}, "role"},
      {{{"messages",
         Json::array({{{"role", "user"}, {"content", Json::array({{{"type", "image_url"}}})}}})}},
       "text parts"},
      {Json::object(), "messages"},
      {{{"messages", Json::array({{{"role", "user"},
                                   {"content", Json::array({{{"type", 1}, {"text", "x"}}})}}})}},
       "text parts"},
      {{{"messages",
         Json::array({{{"role", "user"}, {"content", Json::array({{{"type", nullptr}}})}}})}},
       "text parts"},
  };
  for (const Case& c : cases) {
    const Reply reply = Post("/v1/chat/completions", c.body);
    EXPECT_EQ(reply.status, 400) << c.body;
    ASSERT_TRUE(reply.json().is_object()) << reply.body;
    EXPECT_NE(reply.json()["error"]["message"].get<std::string>().find(c.says), std::string::npos)
        << reply.body;
  }
  const Json long_prompt = {{"prompt", std::string(20000, 'x')}, {"max_tokens", 4}};
  const Reply overflow = Post("/v1/completions", long_prompt);
  EXPECT_EQ(overflow.status, 400);
  EXPECT_EQ(overflow.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(overflow.json()["error"]["param"], "prompt");
  const Reply beyond = Post("/v1/completions", {{"prompt", Json::array({UINT64_MAX})}});
  EXPECT_NE(beyond.body.find("18446744073709551615"), std::string::npos) << beyond.body;
}

TEST_F(ServiceTest, LimitsOfHttp) {
  EXPECT_EQ(Ask(RequestText("GET", "/nothing", "")).status, 404);
  const Reply method = Ask(RequestText("DELETE", "/health", ""));
  EXPECT_EQ(method.status, 405);
  EXPECT_NE(method.head.find("Allow: GET"), std::string::npos);
  EXPECT_EQ(Ask("GET /health HTTP/1.1\r\nX: " + std::string(40000, 'a') + "\r\n\r\n").status, 431);
  const Reply big = Ask(RequestText("POST", "/v1/completions", std::string(2 << 20, ' ')));
  EXPECT_EQ(big.status, 413);
  EXPECT_NE(big.json()["error"]["message"].get<std::string>().find("1048576 bytes"),
            std::string::npos);
  EXPECT_EQ(Ask("nonsense\r\n\r\n").status, 400);
  const Reply deep = Ask(RequestText("POST", "/v1/completions", std::string(200000, '[')));
  EXPECT_EQ(deep.status, 400);
  EXPECT_NE(deep.body.find("nested"), std::string::npos);
}

TEST_F(ServiceTest, ManyMembersAreRefusedQuickly) {
  std::string body = "{";
  for (int i = 0; i < 60000; ++i) body += "\"a" + std::to_string(i) + "\":0,";
  body += "\"b\":0}";
  const Reply reply = Ask(RequestText("POST", "/v1/completions", body));
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("members"), std::string::npos);
}

// A tree is many times its text.
TEST(JsonRequest, TreesThatOutgrowTheirTextAreRefused) {
  const auto body = [](const std::string& item, int count) {
    std::string text = "{\"prompt\":[";
    for (int i = 0; i < count; ++i) text += (i > 0 ? "," : "") + item;
    return text + "]}";
  };
  EXPECT_TRUE(ParseJson(body("0", 1 << 20)).ok());
  EXPECT_TRUE(ParseJson(body("[]", 60000)).ok());
  EXPECT_TRUE(ParseJson(body("\"[,]\"", 70000)).ok());
  for (const std::string& text : {body("0", (1 << 20) + 2), body("[]", 70000), body("{}", 70000)}) {
    const auto parsed = ParseJson(text);
    ASSERT_FALSE(parsed.ok());
    EXPECT_NE(parsed.error().message.find("values"), std::string::npos) << parsed.error().message;
  }
}

TEST_F(ServiceTest, KeptAliveConnectionAnswersABadSecondRequest) {
  Client client(port_);
  client.Send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  client.ReadUntil("\"pid\"");
  client.Send("nonsense\r\n\r\n");
  const std::string text = client.ReadAll();
  EXPECT_NE(text.find("HTTP/1.1 400"), std::string::npos) << text;
}

TEST_F(ServiceTest, HeadHasNoBody) {
  const Reply reply = Ask("HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
}

TEST_F(ServiceTest, SlowHeadersAreCut) {
  Client client(port_);
  client.Send("GET /health HT");
  const auto begin = std::chrono::steady_clock::now();
  client.ReadAll();  // returns when the server closes
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST_F(ServiceTest, DisconnectCancelsAndFreesKv) {
  const Json body = {
      {"prompt", "abc"}, {"max_tokens", 2000}, {"stream", true}, {"ignore_eos", true}};
  EXPECT_TRUE(LeavingCancels(RequestText("POST", "/v1/completions", body.dump())));
  EXPECT_EQ(engine_->stats().kv.pages_used, 0);
}

TEST_F(ServiceTest, DisconnectIsNoticedBehindAPipelinedRequest) {
  const Json body = {{"prompt", "abc"}, {"max_tokens", 2000}, {"ignore_eos", true}};
  EXPECT_TRUE(LeavingCancels("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                             std::to_string(body.dump().size()) + "\r\n\r\n" + body.dump() +
                             "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"));
}

TEST_F(ServiceTest, PipelinedRequestsAreAnsweredInOrder) {
  Client client(port_);
  const Json body = {{"prompt", "abc"}, {"max_tokens", 3}, {"ignore_eos", true}};
  std::string all;
  for (int i = 0; i < 3; ++i)
    all += "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: " +
           std::to_string(body.dump().size()) + "\r\n\r\n" + body.dump();
  client.Send(all + "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string text = client.ReadAll();
  size_t answers = 0, at = 0;
  for (; (at = text.find("text_completion", at)) != std::string::npos; ++at) ++answers;
  EXPECT_EQ(answers, 3u) << text;
  EXPECT_GT(text.find("\"pid\""), text.rfind("text_completion"));
}

TEST_F(ServiceTest, Http10StreamsEndWithTheConnection) {
  const Json body = {{"prompt", "abc"}, {"max_tokens", 4}, {"stream", true}, {"ignore_eos", true}};
  const Reply reply =
      Ask("POST /v1/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: " +
          std::to_string(body.dump().size()) + "\r\n\r\n" + body.dump());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.head.find("chunked"), std::string::npos) << reply.head;
  EXPECT_NE(reply.head.find("Connection: close"), std::string::npos);
  EXPECT_EQ(reply.body.find("data: {"), 0u) << reply.body;
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n")) << reply.body;
}

TEST_F(ServiceTest, SyntaxErrorsNameTheByte) {
  const Reply bad = Ask(RequestText("POST", "/v1/completions", R"({"prompt": "x", oops})"));
  EXPECT_EQ(bad.status, 400);
  EXPECT_NE(bad.body.find("not valid JSON at byte 16"), std::string::npos) << bad.body;
  const Reply cut = Ask(RequestText("POST", "/v1/completions", R"({"prompt": "x")"));
  EXPECT_NE(cut.body.find("ends before its JSON does, at byte 14"), std::string::npos) << cut.body;
}

TEST_F(ServiceTest, MetricsTellInvalidFromRefused) {
  EXPECT_EQ(Ask(RequestText("POST", "/v1/completions", "nonsense")).status, 400);
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "x"}, {"temperature", -1}}).status, 400);
  EXPECT_EQ(Post("/v1/completions", {{"prompt", std::string(20000, 'x')}}).status, 400);
  const std::string metrics = Ask(RequestText("GET", "/metrics", "")).body;
  EXPECT_NE(metrics.find("\nlull_requests_invalid_total 3\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("\nlull_requests_refused_total 0\n"), std::string::npos) << metrics;
}

TEST_F(ServiceTest, DrainingFinishesWhatRunsAndTakesNothingNew) {
  Client kept(port_);
  kept.Send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  kept.ReadUntil("\"pid\"");
  Client running(port_);
  const Json body = {{"prompt", "abc"}, {"max_tokens", 12}, {"stream", true}, {"ignore_eos", true}};
  running.Send(RequestText("POST", "/v1/completions", body.dump()));
  running.ReadUntil("data: ");
  server_->Drain();
  ASSERT_TRUE(Soon([&] { return service_.draining.load(); }));
  kept.Send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string text = running.ReadAll();
  EXPECT_NE(text.find("data: [DONE]"), std::string::npos) << text;
  EXPECT_TRUE(Soon([&] { return ended_.load(); }));
  EXPECT_THROW(Client late(port_), std::runtime_error) << "still accepts";
}

TEST_F(ServiceTest, WhileDrainingHealthAndRequestsSay503) {
  service_.draining.store(true);
  const Reply health = Ask(RequestText("GET", "/health", ""));
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.json()["status"], "draining");
  const Reply post = Post("/v1/completions", {{"prompt", "x"}});
  EXPECT_EQ(post.status, 503);
  EXPECT_NE(post.body.find("shutting down"), std::string::npos);
}

// Clients that leave at any moment, metrics beside them, and a drain in the middle: what the thread
// sanitizer is to look at.
TEST_F(ServiceTest, ClientsComeAndGoWhileItDrains) {
  std::atomic<int> rounds{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 6; ++c) {
    clients.emplace_back([&, c] {
      const Json body = {{"prompt", "abc"},
                         {"max_tokens", 40 + c},
                         {"stream", c % 2 == 0},
                         {"ignore_eos", true},
                         {"logprobs", c % 3}};
      for (int i = 0; i < 8; ++i, ++rounds) {
        try {
          Client client(port_);
          if (c == 5) {
            client.Send(RequestText("GET", i % 2 == 0 ? "/metrics" : "/health", ""));
            client.ReadAll();
            continue;
          }
          client.Send(RequestText("POST", "/v1/completions", body.dump()));
          if (i % 3 == 0)
            client.ReadUntil("data: ");
          else if (i % 3 == 1)
            client.ReadAll();
          client.Close();
        } catch (const std::runtime_error&) {  // the server accepts no more
        }
      }
    });
  }
  ASSERT_TRUE(Soon([&] { return rounds.load() >= 24; }));
  server_->Drain();
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(Soon([&] { return ended_.load(); }));
}

TEST_F(ServiceTest, ManyClientsGetTheAnswerOfOneAlone) {
  const Json body = {
      {"messages", kMessages}, {"max_tokens", 16}, {"temperature", 0}, {"ignore_eos", true}};
  const std::string want =
      Post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"];
  std::vector<std::thread> clients;
  std::atomic<int> equal{0}, refused{0}, other{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      const Reply reply = Post("/v1/chat/completions", body);
      if (reply.status == 429)
        ++refused;
      else if (reply.status == 200 && reply.json()["choices"][0]["message"]["content"] == want)
        ++equal;
      else
        ++other;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(other.load(), 0);
  EXPECT_GE(equal.load(), 4);
  EXPECT_EQ(equal.load() + refused.load(), 16);
  EXPECT_EQ(engine_->stats().requests_refused, refused.load());
}

TEST(HttpServer, DrainingEndsAtItsDeadline) {
  std::shared_ptr<Responder> held;  // a request that is never answered
  HttpServerOptions options;
  options.drain_timeout_s = 0.3;
  const auto created =
      HttpServer::Create(options, [&](const HttpRequest&, std::shared_ptr<Responder> responder) {
        held = std::move(responder);
      });
  ASSERT_TRUE(created.ok());
  HttpServer& server = **created;
  std::thread thread([&] { server.Run(false); });
  Client client(server.port());
  client.Send(RequestText("GET", "/", ""));
  EXPECT_TRUE(Soon([&] { return server.answering() == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  server.Drain();
  thread.join();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(300));
  EXPECT_EQ(server.cut_short(), 1);
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 503 ")) << "cut without a word";
  held.reset();
}

TEST(HttpServer, TakenPortIsAClearError) {
  const auto first = HttpServer::Create({}, [](const HttpRequest&, std::shared_ptr<Responder>) {});
  ASSERT_TRUE(first.ok());
  HttpServerOptions same;
  same.port = (*first)->port();
  const auto second =
      HttpServer::Create(same, [](const HttpRequest&, std::shared_ptr<Responder>) {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().where.find(std::to_string(same.port)), std::string::npos);
}

}  // namespace
}  // namespace lull
