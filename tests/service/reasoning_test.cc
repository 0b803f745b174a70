// Reasoning on every surface, with a model whose template opens it: what its random weights write
// is all reasoning, since they never close it, unless thinking is turned off.
#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "tests/service/server_fixture.h"

namespace lull {
namespace {

constexpr char kThinkingTemplate[] =
    "{% for message in messages %}{{ message.role }}: {{ message.content }}"
    "{{ message.reasoning_content or '' }}{{ message.thinking or '' }}\n{% endfor %}"
    "{{ reasoning_effort or '' }}{% if add_generation_prompt %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}";

class ReasoningTest : public ServiceTest {
 protected:
  Status WriteModel(const std::string& path) override {
    TinyModelSpec spec;
    spec.ctx = 2048;
    spec.chat_template = false;
    GgufWriter writer;
    writer.set_durable(false);
    LULL_RETURN_IF_ERROR(BuildTinyModel(spec, &writer));
    writer.AddString("tokenizer.chat_template", kThinkingTemplate);
    return writer.Write(path);
  }
  Json Body(const Json& extra) {
    Json body = {
        {"messages", kMessages}, {"max_tokens", 8}, {"temperature", 0}, {"ignore_eos", true}};
    body.update(extra);
    return body;
  }
  Json Message(const Json& extra) {
    const Reply reply = Post("/v1/chat/completions", Body(extra));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json()["choices"][0]["message"];
  }
  std::string Prompt(const Json& extra) {
    Json body = {{"messages", kMessages}};
    body.update(extra);
    return Post("/apply-template", body).json()["prompt"];
  }
};

TEST_F(ReasoningTest, StandsBesideTheContent) {
  const Json message = Message(Json::object());
  EXPECT_EQ(message["content"], "");
  const std::string reasoning = message["reasoning_content"];
  EXPECT_FALSE(reasoning.empty());
  std::string streamed, content;
  for (const Json& chunk : Chunks(Post("/v1/chat/completions", Body({{"stream", true}})))) {
    const Json& delta = chunk["choices"][0]["delta"];
    streamed += delta.value("reasoning_content", "");
    content += delta.value("content", "");
  }
  EXPECT_EQ(streamed, reasoning);
  EXPECT_EQ(content, "");
}

TEST_F(ReasoningTest, CanBeTurnedOffOrLeftInTheText) {
  for (const Json& off : {Json{{"chat_template_kwargs", {{"enable_thinking", false}}}},
                          Json{{"reasoning_effort", "none"}}, Json{{"reasoning_format", "none"}}}) {
    const Json message = Message(off);
    EXPECT_FALSE(message.contains("reasoning_content")) << off;
    EXPECT_NE(message["content"], "") << off;
  }
  EXPECT_EQ(Post("/v1/chat/completions", Body({{"reasoning_format", "odd"}})).status, 400);
}

TEST_F(ReasoningTest, AHeldAnswerIsNoReasoning) {
  const Json message =
      Message({{"response_format", {{"type", "json_object"}}}, {"max_tokens", 200}});
  EXPECT_FALSE(message.contains("reasoning_content"));
  EXPECT_TRUE(message["content"].get<std::string>().starts_with("{")) << message;
}

TEST_F(ReasoningTest, ReachesTheTemplate) {
  EXPECT_NE(Prompt({{"reasoning_effort", "high"}}).find("high"), std::string::npos);
  const Json messages =
      Json::array({{{"role", "assistant"}, {"content", "4"}, {"reasoning_content", "two and two"}},
                   {{"role", "user"}, {"content", "why?"}}});
  EXPECT_NE(Prompt({{"messages", messages}}).find("two and two"), std::string::npos);
}

TEST_F(ReasoningTest, OfResponses) {
  const Json body = {
      {"input", "hi"}, {"max_output_tokens", 8}, {"temperature", 0}, {"ignore_eos", true}};
  const Json whole = Post("/v1/responses", body).json();
  EXPECT_EQ(whole["output"][0]["type"], "reasoning");
  const std::string text = whole["output"][0]["content"][0]["text"];
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(whole["usage"]["output_tokens_details"]["reasoning_tokens"], 8);
  Json streaming = body;
  streaming["stream"] = true;
  std::string streamed;
  for (const Json& event : Chunks(Post("/v1/responses", streaming)))
    if (event["type"] == "response.reasoning_text.delta") streamed += event["delta"];
  EXPECT_EQ(streamed, text);
  Json off = body;
  off["reasoning"] = {{"effort", "none"}};
  EXPECT_EQ(Post("/v1/responses", off).json()["output"][0]["type"], "message");
  off["input"] = Json::array({whole["output"][0], {{"role", "user"}, {"content", "go on"}}});
  EXPECT_EQ(Post("/v1/responses", off).status, 200);
}

TEST_F(ReasoningTest, OfOllama) {
  const Json body = {{"model", "tiny"},
                     {"messages", kMessages},
                     {"stream", false},
                     {"options", {{"num_predict", 8}, {"temperature", 0}}}};
  const Json message = Post("/api/chat", body).json()["message"];
  EXPECT_EQ(message["content"], "");
  EXPECT_NE(message["thinking"], "");
  for (const Json& think : {Json(true), Json("low")}) {
    Json thinking = body;
    thinking["think"] = think;
    EXPECT_TRUE(Post("/api/chat", thinking).json()["message"].contains("thinking")) << think;
  }
  Json off = body;
  off["think"] = false;
  EXPECT_FALSE(Post("/api/chat", off).json()["message"].contains("thinking"));
  const Json generate = {{"model", "tiny"},
                         {"prompt", "hi"},
                         {"stream", false},
                         {"options", {{"num_predict", 8}, {"temperature", 0}}}};
  EXPECT_TRUE(Post("/api/generate", generate).json().contains("thinking"));
}

// What templates ask of messages beyond what clients send: ids of nine characters, arguments as
// text.
class PickyTemplateTest : public ReasoningTest {
 protected:
  Status WriteModel(const std::string& path) override {
    TinyModelSpec spec;
    spec.ctx = 2048;
    spec.chat_template = false;
    GgufWriter writer;
    writer.set_durable(false);
    LULL_RETURN_IF_ERROR(BuildTinyModel(spec, &writer));
    writer.AddString("tokenizer.chat_template",
                     "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}"
                     "{% for message in messages %}{% for call in message.tool_calls or [] %}"
                     "{% if call.id | length != 9 %}{{ raise_exception('nine!') }}{% endif %}"
                     "[TOOL_CALLS]{{ call.id }}[ARGS]{{ call.function.arguments + '' }}{% endfor %}"
                     "{{ message.tool_call_id or '' }}:{{ message.content }}\n{% endfor %}");
    return writer.Write(path);
  }
};

TEST_F(PickyTemplateTest, GetsShortIdsAndTextArguments) {
  const Json call = {{"id", "call_1795388605-24"},
                     {"type", "function"},
                     {"function", {{"name", "f"}, {"arguments", "{\"a\": 1}"}}}};
  const Json tool = {{"type", "function"}, {"function", {{"name", "f"}}}};
  const std::string prompt = Prompt(
      {{"tools", Json::array({tool})},
       {"messages",
        Json::array({{{"role", "user"}, {"content", "go"}},
                     {{"role", "assistant"}, {"tool_calls", Json::array({call})}},
                     {{"role", "tool"}, {"tool_call_id", call["id"]}, {"content", "done"}}})}});
  const size_t id = prompt.find("[TOOL_CALLS]") + 12;
  EXPECT_EQ(prompt.substr(id + 9, 13), "[ARGS]{\"a\":1}") << prompt;
  EXPECT_NE(prompt.find(prompt.substr(id, 9) + ":done"), std::string::npos) << prompt;
}

}  // namespace
}  // namespace lull
