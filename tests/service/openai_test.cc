// OpenAI's endpoints beyond a plain answer: several choices, echo, token ids, receipts, the log.
#include <gtest/gtest.h>

#include <set>

#include "service/metrics.h"
#include "service/receipt.h"
#include "tests/service/server_fixture.h"

namespace lull {
namespace {

class OpenAiTest : public ServiceTest {
 protected:
  Json Answer(const std::string& path, const Json& body) {
    const Reply reply = Post(path, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  std::string Text(const Json& body) {
    return Answer("/v1/completions", body)["choices"][0]["text"];
  }
};

Json Greedy(Json extra) {
  extra["temperature"] = 0;
  extra["ignore_eos"] = true;
  return extra;
}

std::string RequestIdOf(const Reply& reply) {
  const size_t at = reply.head.find("X-Request-Id: ");
  if (at == std::string::npos) return "";
  return reply.head.substr(at + 14, reply.head.find("\r\n", at) - at - 14);
}

TEST_F(OpenAiTest, EveryAnswerCarriesItsReceipt) {
  Json body = Greedy({{"messages", kMessages}, {"max_tokens", 4}});
  const Reply whole = Post("/v1/chat/completions", body);
  const Json receipt = whole.json()["lull"];
  for (const char* field : {"request_id", "queue_ms", "prefill_ms", "decode_ms", "throttled_ms",
                            "cpu_ms", "bytes_moved", "kv_bytes", "cached_tokens"})
    EXPECT_TRUE(receipt.contains(field)) << field << " in " << receipt;
  EXPECT_EQ(receipt["request_id"], whole.json()["id"]);
  EXPECT_EQ(RequestIdOf(whole), whole.json()["id"]);

  body["stream"] = true;
  for (const bool usage : {false, true}) {
    body["stream_options"] = {{"include_usage", usage}};
    const Reply streamed = Post("/v1/chat/completions", body);
    const std::vector<Json> chunks = Chunks(streamed);
    for (size_t i = 0; i + 1 < chunks.size(); ++i) EXPECT_FALSE(chunks[i].contains("lull"));
    EXPECT_EQ(chunks.back()["lull"]["request_id"], RequestIdOf(streamed));
    EXPECT_EQ(chunks.back()["choices"].empty(), usage);
  }
}

TEST_F(OpenAiTest, SeveralAnswersAreThoseOfTheirSeeds) {
  Json body = {{"prompt", "abc"},    {"max_tokens", 12}, {"temperature", 1.5},
               {"ignore_eos", true}, {"seed", 40},       {"n", 3}};
  const Json all = Answer("/v1/completions", body);
  ASSERT_EQ(all["choices"].size(), 3u);
  body["n"] = 1;
  std::set<std::string> different;
  for (int i = 0; i < 3; ++i) {
    body["seed"] = 40 + i;
    EXPECT_EQ(all["choices"][i]["index"], i);
    EXPECT_EQ(all["choices"][i]["text"], Text(body));
    different.insert(all["choices"][i]["text"].get<std::string>());
  }
  EXPECT_EQ(different.size(), 3u);
  const size_t prompt = Value(model_->TokenizePrompt("abc")).size();
  EXPECT_EQ(all["usage"]["prompt_tokens"], prompt);  // once, however many answers
  EXPECT_EQ(all["usage"]["completion_tokens"], 36);
}

TEST_F(OpenAiTest, StreamsOfSeveralAnswersAreToldApart) {
  Json body = {{"messages", kMessages}, {"max_tokens", 8}, {"temperature", 1.5},
               {"ignore_eos", true},    {"seed", 7},       {"n", 3}};
  const Json whole = Answer("/v1/chat/completions", body);
  body["stream"] = true;
  std::string texts[3];
  int finished = 0, opened = 0;
  for (const Json& chunk : Chunks(Post("/v1/chat/completions", body))) {
    ASSERT_EQ(chunk["choices"].size(), 1u);
    const Json& choice = chunk["choices"][0];
    const size_t index = choice["index"];
    opened += choice["delta"].contains("role");
    texts[index] += choice["delta"].value("content", "");
    finished += choice["finish_reason"] == "length";
  }
  EXPECT_EQ(opened, 3);
  EXPECT_EQ(finished, 3);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(texts[i], whole["choices"][i]["message"]["content"].get<std::string>());
}

TEST_F(OpenAiTest, ListsOfPromptsAreAnsweredInOrder) {
  const Json tokens = Value(model_->Tokenize("xyz w", {}));
  const Json prompts = Json::array({"abc def", tokens, "q"});
  const Json all = Answer("/v1/completions", Greedy({{"prompt", prompts}, {"max_tokens", 5}}));
  ASSERT_EQ(all["choices"].size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const Json alone = Greedy({{"prompt", prompts[i]}, {"max_tokens", 5}});
    EXPECT_EQ(all["choices"][i]["index"], i);
    EXPECT_EQ(all["choices"][i]["text"], Text(alone));
  }
  EXPECT_EQ(Post("/v1/completions", {{"prompt", Json::array({"a", 3})}}).status, 400);
  const Json many = {{"prompt", std::vector<std::string>(100, "a")}, {"n", 3}};
  const Reply refused = Post("/v1/completions", many);
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("prompts times n are 300"), std::string::npos) << refused.body;
  // Refused by their number, before one of them is looked at.
  Json wrong = std::vector<std::string>(256, "a");
  wrong.push_back(true);
  EXPECT_NE(Post("/v1/completions", {{"prompt", wrong}}).body.find("are 257"), std::string::npos);
}

TEST_F(OpenAiTest, MoreChoicesThanTheQueueHoldsAreRefusedWhole) {
  const Json body = {{"prompt", "abc"}, {"max_tokens", 500}, {"ignore_eos", true}, {"n", 60}};
  const Reply reply = Post("/v1/completions", body);
  EXPECT_EQ(reply.status, 429) << reply.body;
  EXPECT_NE(reply.head.find("Retry-After"), std::string::npos);
  EXPECT_TRUE(Soon([&] {
    const EngineStats stats = engine_->stats();
    return stats.running + stats.waiting == 0;
  }));
  EXPECT_EQ(engine_->stats().kv.pages_used, 0);
}

TEST_F(OpenAiTest, EchoPutsThePromptFirst) {
  Json body = Greedy({{"prompt", "abc def"}, {"max_tokens", 5}});
  const std::string plain = Text(body);
  body["echo"] = true;
  EXPECT_EQ(Text(body), "abc def" + plain);
  body["stream"] = true;
  std::string streamed;
  for (const Json& chunk : Chunks(Post("/v1/completions", body)))
    streamed += chunk["choices"][0]["text"];
  EXPECT_EQ(streamed, "abc def" + plain);
  body["logprobs"] = 1;
  const Reply refused = Post("/v1/completions", body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("echo"), std::string::npos);
}

TEST_F(OpenAiTest, LogprobsAreABooleanOrANumberInBoth) {
  Json chat = Greedy({{"messages", kMessages}, {"max_tokens", 3}});
  const auto tops = [&](const Json& logprobs) {
    chat["logprobs"] = logprobs;
    const Json choice = Answer("/v1/chat/completions", chat)["choices"][0];
    if (choice["logprobs"].is_null()) return -1;
    EXPECT_EQ(choice["logprobs"]["content"].size(), 3u);
    return static_cast<int>(choice["logprobs"]["content"][0]["top_logprobs"].size());
  };
  EXPECT_EQ(tops(false), -1);
  EXPECT_EQ(tops(true), 0);
  EXPECT_EQ(tops(2), 2);
  Json text = Greedy({{"prompt", "abc"}, {"max_tokens", 3}, {"logprobs", true}});
  const Json choice = Answer("/v1/completions", text)["choices"][0];
  EXPECT_EQ(choice["logprobs"]["token_logprobs"].size(), 3u);
}

TEST_F(OpenAiTest, TokenIdsAreThoseOfTheText) {
  const Json prompt = Value(model_->Tokenize("abc", {}));
  Json body = Greedy({{"prompt", prompt}, {"max_tokens", 6}, {"return_token_ids", true}});
  const Json choice = Answer("/v1/completions", body)["choices"][0];
  EXPECT_EQ(choice["prompt_token_ids"], prompt);
  ASSERT_EQ(choice["token_ids"].size(), 6u);
  EXPECT_EQ(model_->Detokenize(choice["token_ids"].get<std::vector<int32_t>>(), false),
            choice["text"].get<std::string>());
  body["stream"] = true;
  std::vector<int32_t> streamed;
  const std::vector<Json> chunks = Chunks(Post("/v1/completions", body));
  EXPECT_EQ(chunks[0]["choices"][0]["prompt_token_ids"], prompt);
  for (const Json& chunk : chunks)
    for (const Json& id : chunk["choices"][0].value("token_ids", Json::array()))
      streamed.push_back(id);
  EXPECT_EQ(Json(streamed), choice["token_ids"]);
  const Json chat =
      Answer("/v1/chat/completions",
             Greedy({{"messages", kMessages}, {"max_tokens", 2}, {"return_token_ids", true}}));
  EXPECT_EQ(chat["prompt_token_ids"].size(), chat["usage"]["prompt_tokens"]);
  EXPECT_EQ(chat["choices"][0]["token_ids"].size(), 2u);
}

TEST_F(OpenAiTest, TheLogKnowsWhatEnded) {
  Json body = Greedy({{"prompt", "abc"}, {"max_tokens", 4}, {"priority", "batch"}, {"user", "me"}});
  const std::string id = Answer("/v1/completions", body)["id"];
  const Json one = Ask(RequestText("GET", "/requests/" + id, "")).json();
  EXPECT_EQ(one["id"], id);
  EXPECT_EQ(one["endpoint"], "/v1/completions");
  EXPECT_EQ(one["model"], "tiny");
  EXPECT_EQ(one["account"], "me");
  EXPECT_EQ(one["priority"], "batch");
  EXPECT_EQ(one["finish_reason"], "length");
  EXPECT_EQ(one["new_tokens"], 4);
  EXPECT_EQ(one["lull"]["request_id"], id);
  EXPECT_GT(one["arrived_unix_ms"], int64_t{1600000000000});
  EXPECT_LE(one["first_token_ms"], one["total_ms"]);
  const Json all = Ask(RequestText("GET", "/requests", "")).json()["requests"];
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0], one);
  const Reply none = Ask(RequestText("GET", "/requests/none", ""));
  EXPECT_EQ(none.status, 404);
}

// Keeps what is sent.
class Kept : public Responder {
 public:
  void Send(HttpResponse response) override { sent = std::move(response); }
  void StartStream(const std::string&, HttpFields) override {}
  void Write(std::string) override {}
  void End() override {}
  void OnDisconnect(std::function<void()>) override {}
  HttpResponse sent;
};

TEST_F(OpenAiTest, AccountsSeeTheirOwnRequestsAndAdminsAll) {
  for (const char* account : {"mine", "mine", "theirs"}) {
    LoggedRequest logged;
    logged.id = account;
    logged.account = account;
    service_.request_log.Add(logged);
  }
  const auto ask = [&](const char* path, const char* account, bool admin) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.account = account;
    request.admin = admin;
    const auto kept = std::make_shared<Kept>();
    Route(service_, request, kept);
    return kept->sent;
  };
  const auto listed = [&](const char* path, const char* account, bool admin) {
    return Json::parse(ask(path, account, admin).body)["requests"].size();
  };
  for (const char* path : {"/requests", "/dash/stats"}) {
    EXPECT_EQ(listed(path, "mine", false), 2u) << path;
    EXPECT_EQ(listed(path, "mine", true), 3u) << path;
    EXPECT_EQ(listed(path, "", false), 3u) << path;  // no keys
  }
  EXPECT_EQ(ask("/requests/theirs", "mine", false).status, 404);
  EXPECT_EQ(ask("/requests/theirs", "mine", true).status, 200);
  EXPECT_EQ(ask("/requests/mine", "mine", false).status, 200);
}

TEST_F(OpenAiTest, PriorityComesFromAHeaderToo) {
  const std::string body = Greedy({{"prompt", "abc"}, {"max_tokens", 1}}).dump();
  const Reply reply =
      Ask("POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Lull-Priority: "
          "background\r\nContent-Length: " +
          std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(service_.request_log.Newest(1)[0].priority, Priority::kBackground);
}

TEST_F(OpenAiTest, MetricsCountTokensAndTimes) {
  Answer("/v1/completions", Greedy({{"prompt", "abc"}, {"max_tokens", 5}, {"n", 2}}));
  const std::string text = Ask(RequestText("GET", "/metrics", "")).body;
  for (const char* line :
       {"\nlull_time_to_first_token_seconds_count 2\n", "\nlull_inter_token_seconds_count 8\n",
        "\nlull_request_seconds_bucket{le=\"+Inf\"} 2\n", "\nlull_request_new_tokens_sum 10\n",
        "\nvllm:generation_tokens_total{model_name=\"tiny\"} 10\n",
        "\nvllm:request_success_total{model_name=\"tiny\",finished_reason=\"length\"} 2\n",
        "\nvllm:time_to_first_token_seconds_count 2\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  size_t types = 0;
  std::set<std::string> families;
  for (size_t at = 0; (at = text.find("# TYPE ", at)) != std::string::npos; ++at, ++types)
    families.insert(text.substr(at + 7, text.find(' ', at + 7) - at - 7));
  EXPECT_EQ(families.size(), types) << "a family twice";
}

TEST_F(OpenAiTest, ReadyUntilItDrains) {
  EXPECT_EQ(Ask(RequestText("GET", "/ready", "")).status, 200);
  service_.draining.store(true);
  const Reply draining = Ask(RequestText("GET", "/ready", ""));
  EXPECT_EQ(draining.status, 503);
  EXPECT_EQ(draining.json()["reason"], "draining");
}

TEST_F(OpenAiTest, TheBudgetIsReadAndSetWhileRunning) {
  const auto put = [&](const Json& body) {
    return Ask(RequestText("PUT", "/budget", body.dump()));
  };
  EXPECT_EQ(Ask(RequestText("GET", "/budget", "")).json()["declared"]["cpu"], nullptr);
  const Reply set = put({{"cpu", 0.5}, {"cpu_p99", "75%"}, {"mem_bw", "80GB/s"}, {"p95", 2.5}});
  ASSERT_EQ(set.status, 200) << set.body;
  EXPECT_DOUBLE_EQ(runtime_->budget().cpu.mean_share, 0.5);
  EXPECT_DOUBLE_EQ(runtime_->budget().mem_bw_bytes_per_s, 80e9);
  EXPECT_DOUBLE_EQ(runtime_->budget().p95_latency_s, 2.5);
  EXPECT_EQ(Ask(RequestText("GET", "/budget", "")).json()["declared"]["mem_bw"], "80GB/s");
  const Reply withdrawn = put({{"mem_bw", nullptr}});
  ASSERT_EQ(withdrawn.status, 200) << withdrawn.body;
  EXPECT_EQ(runtime_->budget().mem_bw_bytes_per_s, 0.0);
  EXPECT_DOUBLE_EQ(runtime_->budget().cpu.mean_share, 0.5) << "a line that was not named";

  const Reply impossible = put({{"cpu", "60%"}, {"cpu_p99", "50%"}});
  EXPECT_EQ(impossible.status, 409) << impossible.body;
  EXPECT_NE(impossible.body.find("60"), std::string::npos) << "without the arithmetic";
  for (const Json& wrong : {Json{{"cpu", "fast"}}, Json{{"cpu", -1}}, Json{{"gpu", "50%"}},
                            Json{{"ram", true}}, Json{{"ram", "12 parsecs"}}})
    EXPECT_EQ(put(wrong).status, 400) << wrong;
  EXPECT_DOUBLE_EQ(runtime_->budget().cpu.mean_share, 0.5) << "a refused change";
  const std::string metrics = Ask(RequestText("GET", "/metrics", "")).body;
  EXPECT_NE(metrics.find("\nlull_cpu_budget_share 0.5\n"), std::string::npos);
}

const Json kTool = {
    {"type", "function"},
    {"function",
     {{"name", "set_light"},
      {"description", "Turns a light on or off"},
      {"parameters",
       {{"type", "object"},
        {"properties",
         {{"on", {{"type", "boolean"}}},
          {"room", {{"type", "string"}, {"enum", Json::array({"hall", "attic"})}}}}},
        {"required", Json::array({"on", "room"})},
        {"additionalProperties", false}}}}}};

TEST_F(OpenAiTest, AnswersAreHeldToTheirGrammar) {
  const auto ask = [&](const Json& fields) {
    Json body = {{"messages", kMessages}, {"max_tokens", 200}, {"temperature", 1}, {"seed", 3}};
    body.update(fields);
    const Json choice = Answer("/v1/chat/completions", body)["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "stop") << fields;
    return choice["message"]["content"].get<std::string>();
  };
  const std::set<std::string> colours = {"red", "blue"};
  EXPECT_EQ(colours.count(ask({{"guided_choice", colours}})), 1u);
  EXPECT_EQ(colours.count(ask({{"structured_outputs", {{"choice", colours}}}})), 1u);
  EXPECT_EQ(ask({{"response_format", {{"type", "regex"}, {"pattern", "(ab){2}c"}}}}), "ababc");
  const Json schema = kTool["function"]["parameters"];
  const Json format = {{"type", "json_schema"},
                       {"json_schema", {{"name", "x"}, {"strict", true}, {"schema", schema}}}};
  const Json light = Json::parse(ask({{"response_format", format}}));
  EXPECT_TRUE(light["on"].is_boolean());
  EXPECT_EQ(light.size(), 2u);
  Json text = {{"prompt", "abc"}, {"max_tokens", 20}, {"guided_regex", "[0-9]{4}"}};
  EXPECT_EQ(Text(text).size(), 4u);
}

TEST_F(OpenAiTest, GrammarsThatCannotBeHeldAreRefused) {
  const Json schema = {{"type", "string"}, {"no_such_keyword", 1}};
  for (const Json& fields :
       {Json{{"response_format", {{"type", "json_schema"}}}},
        Json{{"response_format",
              {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}}}},
        Json{{"response_format", {{"type", "regex"}, {"pattern", "(a"}}}},
        Json{{"response_format", {{"type", "choice"}, {"choices", Json::array()}}}},
        Json{{"response_format", {{"type", "json_object"}, {"more", 1}}}}, Json{{"guided_json", 3}},
        Json{{"structured_outputs", {{"grammar", "x"}}}},
        Json{{"guided_regex", "a"}, {"guided_choice", Json::array({"b"})}}}) {
    Json body = {{"messages", kMessages}};
    body.update(fields);
    const Reply reply = Post("/v1/chat/completions", body);
    EXPECT_EQ(reply.status, 400) << fields << reply.body;
  }
}

TEST_F(OpenAiTest, RequiredToolsAreCalledWithFittingArguments) {
  Json body = {
      {"messages", kMessages},         {"max_tokens", 300},        {"temperature", 1}, {"seed", 5},
      {"tools", Json::array({kTool})}, {"tool_choice", "required"}};
  const Json choice = Answer("/v1/chat/completions", body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u) << choice;
  EXPECT_EQ(choice["message"]["content"], nullptr);
  const Json function = choice["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(function["name"], "set_light");
  EXPECT_TRUE(Json::parse(function["arguments"].get<std::string>())["on"].is_boolean());

  body["stream"] = true;
  std::string name, arguments;
  for (const Json& chunk : Chunks(Post("/v1/chat/completions", body))) {
    const Json& delta = chunk["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    name += delta["tool_calls"][0]["function"].value("name", "");
    arguments += delta["tool_calls"][0]["function"].value("arguments", "");
  }
  EXPECT_EQ(name, "set_light");
  EXPECT_EQ(arguments, function["arguments"].get<std::string>());
}

TEST_F(OpenAiTest, ToolsAndTheirResultsReachThePrompt) {
  const Json call = {{"id", "c"},
                     {"type", "function"},
                     {"function", {{"name", "set_light"}, {"arguments", "{\"on\": true}"}}}};
  const Json messages = Json::array(
      {{{"role", "user"}, {"content", "light!"}},
       {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Json::array({call})}},
       {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "it is on"}}});
  const std::string prompt = Answer(
      "/apply-template", {{"messages", messages}, {"tools", Json::array({kTool})}})["prompt"];
  for (const char* part : {"light!", "set_light", "Turns a light", "it is on", "\"on\""})
    EXPECT_NE(prompt.find(part), std::string::npos) << part << " in " << prompt;
}

TEST_F(OpenAiTest, MessagesWithoutContentAreRefused) {
  const Json user = {{"role", "user"}, {"content", "hi"}};
  const auto post = [&](const Json& message) {
    return Post("/v1/chat/completions",
                {{"messages", Json::array({user, message})}, {"max_tokens", 1}});
  };
  EXPECT_EQ(post({{"role", "assistant"}}).status, 200);
  for (const Json& message : {Json{{"role", "user"}}, Json{{"role", "user"}, {"content", nullptr}},
                              Json{{"role", "tool"}}}) {
    const Reply reply = post(message);
    EXPECT_EQ(reply.status, 400);
    EXPECT_NE(reply.body.find("messages[1].content"), std::string::npos) << reply.body;
  }
  const Json parts = Json::array({{{"type", "text"}, {"text", "a"}}, {{"type", "image_url"}}});
  const Reply image = post({{"role", "user"}, {"content", parts}});
  EXPECT_EQ(image.status, 400);
  EXPECT_NE(image.body.find("messages[1].content[1]"), std::string::npos) << image.body;
  const Reply empty = Ask(RequestText("POST", "/v1/chat/completions", ""));
  EXPECT_NE(empty.body.find("the body is empty"), std::string::npos) << empty.body;
}

TEST_F(OpenAiTest, ToolsThatMakeNoSenseAreRefused) {
  const Json none = {{"type", "function"}, {"function", {{"name", "none"}}}};
  for (const Json& fields :
       {Json{{"tool_choice", "required"}}, Json{{"tools", Json::array({kTool, kTool})}},
        Json{{"tools", Json::array({kTool})}, {"tool_choice", none}},
        Json{{"tools", Json::array({{{"type", "web_search"}}})}},
        Json{{"tools", Json::array({{{"type", "function"}, {"function", {{"name", "a b"}}}}})}},
        Json{{"tools", Json::array({kTool})}, {"response_format", {{"type", "json_object"}}}},
        Json{{"messages",
              Json::array(
                  {{{"role", "assistant"},
                    {"tool_calls",
                     Json::array({{{"function", {{"name", "f"}, {"arguments", "{"}}}}})}}})}}}) {
    Json body = {{"messages", kMessages}};
    body.update(fields);
    const Reply reply = Post("/v1/chat/completions", body);
    EXPECT_EQ(reply.status, 400) << fields << reply.body;
  }
}

TEST_F(OpenAiTest, ResponsesWholeAndAsEvents) {
  Json body = Greedy({{"input", "hello there"}, {"max_output_tokens", 8}});
  const Json whole = Answer("/v1/responses", body);
  EXPECT_EQ(whole["object"], "response");
  EXPECT_EQ(whole["status"], "incomplete");
  EXPECT_EQ(whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole["output"][0]["status"], "incomplete");
  EXPECT_EQ(whole["usage"]["output_tokens"], 8);
  EXPECT_EQ(whole["lull"]["request_id"], whole["id"]);
  const std::string text = whole["output"][0]["content"][0]["text"];
  const Json chat = Greedy({{"messages", kMessages}, {"max_tokens", 8}});
  EXPECT_EQ(text, Answer("/v1/chat/completions", chat)["choices"][0]["message"]["content"]);
  const Json items = Json::array(
      {{{"role", "user"},
        {"content", Json::array({{{"type", "input_text"}, {"text", "hello there"}}})}}});
  body["input"] = items;
  EXPECT_EQ(Answer("/v1/responses", body)["output"][0]["content"][0]["text"], text);

  body["stream"] = true;
  const std::vector<Json> events = Chunks(Post("/v1/responses", body));
  ASSERT_GE(events.size(), 8u);
  std::string streamed;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    if (events[i]["type"] == "response.output_text.delta")
      streamed += events[i]["delta"].get<std::string>();
  }
  EXPECT_EQ(streamed, text);
  EXPECT_EQ(events.front()["type"], "response.created");
  EXPECT_EQ(events.back()["type"], "response.incomplete");
  EXPECT_EQ(events.back()["response"]["output"][0]["content"][0]["text"], text);
}

TEST_F(OpenAiTest, ResponsesCallTools) {
  Json tool = kTool["function"];
  tool["type"] = "function";
  const Json body = {
      {"input", "light!"}, {"max_output_tokens", 300},     {"temperature", 1},
      {"seed", 5},         {"tools", Json::array({tool})}, {"tool_choice", "required"}};
  const Json call = Answer("/v1/responses", body)["output"][0];
  EXPECT_EQ(call["type"], "function_call");
  EXPECT_EQ(call["name"], "set_light");
  EXPECT_TRUE(Json::parse(call["arguments"].get<std::string>())["on"].is_boolean());
}

TEST_F(OpenAiTest, ResponsesRefuseWhatNeedsAStore) {
  for (const Json& fields :
       {Json{{"previous_response_id", "resp_1"}}, Json{{"store", true}}, Json{{"background", true}},
        Json{{"n", 2}}, Json{{"reasoning", {{"encrypted", true}}}}, Json{{"input", 3}},
        Json{{"return_token_ids", true}}, Json{{"input", Json::array({{{"type", "image"}}})}}}) {
    Json body = {{"input", "x"}};
    body.update(fields);
    EXPECT_EQ(Post("/v1/responses", body).status, 400) << fields;
  }
  EXPECT_EQ(Post("/v1/embeddings", {{"input", "x"}}).status, 501);
  const Json nothing = {{"input", "x"},
                        {"max_output_tokens", 1},
                        {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}}};
  EXPECT_EQ(Post("/v1/responses", nothing).status, 200);
}

TEST_F(OpenAiTest, TokenizeAndBack) {
  const Json ids = Value(model_->Tokenize("abc def", {}));
  EXPECT_EQ(Answer("/tokenize", {{"content", "abc def"}})["tokens"], ids);
  const Json pieces =
      Answer("/tokenize", {{"content", "abc def"}, {"with_pieces", true}})["tokens"];
  EXPECT_EQ(pieces[0]["id"], ids[0]);
  const Json vllm = Answer("/tokenize", {{"prompt", "abc def"}, {"return_token_strs", true}});
  EXPECT_EQ(vllm["count"], vllm["tokens"].size());
  EXPECT_EQ(vllm["token_strs"].size(), vllm["tokens"].size());
  EXPECT_EQ(Answer("/detokenize", {{"tokens", ids}})["content"], "abc def");
  const Json chat = Answer("/tokenize", {{"messages", kMessages}});
  EXPECT_GT(chat["count"], 2);
  EXPECT_NE(Answer("/apply-template", {{"messages", kMessages}})["prompt"].get<std::string>().find(
                "hello there"),
            std::string::npos);
  EXPECT_EQ(Post("/detokenize", {{"tokens", Json::array({UINT64_MAX})}}).status, 400);
  EXPECT_EQ(Post("/tokenize", {{"text", "x"}}).status, 400);
}

TEST(RequestLog, KeepsTheLast256) {
  RequestLog log;
  for (int i = 0; i < 300; ++i) {
    LoggedRequest request;
    request.id = std::to_string(i);
    log.Add(request);
  }
  EXPECT_EQ(log.Newest(1000).size(), RequestLog::kCapacity);
  EXPECT_EQ(log.Newest(2)[1].id, "298");
  EXPECT_FALSE(log.Find("43").has_value());
  EXPECT_TRUE(log.Find("44").has_value());
}

TEST(Histogram, CountsAtOrBelowItsBounds) {
  static constexpr double kBounds[] = {1, 2, 5};
  Histogram histogram(kBounds);
  for (const double value : {0.5, 1.0, 1.5, 4.0, 100.0}) histogram.Observe(value);
  EXPECT_EQ(histogram.count(0), 2);
  EXPECT_EQ(histogram.count(1), 1);
  EXPECT_EQ(histogram.count(2), 1);
  EXPECT_EQ(histogram.count(3), 1);
  EXPECT_DOUBLE_EQ(histogram.sum(), 107.0);
  EXPECT_EQ(histogram.Quantile(0.5), 2);
  EXPECT_EQ(histogram.Quantile(0.2), 1);
}

TEST(Receipt, TimesOverlapAndCostsAddUp) {
  RequestStats a, b;
  a.queue_ms = 3, a.decode_ms = 10, a.cpu_ms = 5, a.bytes_moved = 100, a.new_tokens = 2;
  b.queue_ms = 4, b.decode_ms = 8, b.cpu_ms = 6, b.bytes_moved = 50, b.new_tokens = 3;
  const RequestStats total = TotalOf({a, b});
  EXPECT_EQ(total.queue_ms, 4);
  EXPECT_EQ(total.decode_ms, 10);
  EXPECT_EQ(total.cpu_ms, 11);
  EXPECT_EQ(total.bytes_moved, 150);
  EXPECT_EQ(total.new_tokens, 5);
}

}  // namespace
}  // namespace lull
