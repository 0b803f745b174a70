#include "chat/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace lull {
namespace {

using nlohmann::ordered_json;

Result<std::string> Render(const std::string& source, TemplateInput input,
                           const TemplateLimits& limits = {}) {
  if (input.messages_json.empty()) input.messages_json = R"([{"role":"user","content":"hi"}])";
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<ChatTemplate> parsed, ChatTemplate::Parse(source, limits));
  return parsed->Render(input);
}

Result<std::string> Render(const std::string& source) { return Render(source, TemplateInput()); }

Error ErrorOf(const std::string& source) {
  const Result<std::string> result = Render(source);
  EXPECT_FALSE(result.ok()) << source << " gave " << (result.ok() ? *result : "");
  return result.ok() ? Error() : result.error();
}

// What jinja2 makes of small templates, one construct each: tools/make_template_goldens.py.
TEST(ChatTemplate, ConstructsRenderAsInJinja2) {
  std::ifstream file(std::string(LULL_SOURCE_DIR) + "/tests/chat/goldens/constructs.json");
  ASSERT_TRUE(file.good());
  const ordered_json golden = ordered_json::parse(file);
  TemplateInput input;
  input.extra_json = golden["variables"].dump();
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.now_unix_s = golden["now"];
  ASSERT_GT(golden["cases"].size(), 200u);
  for (const auto& c : golden["cases"]) {
    const Result<std::string> result = Render(c["template"], input);
    if (c.contains("text")) {
      ASSERT_TRUE(result.ok()) << c["template"] << "\n" << result.status().ToString();
      EXPECT_EQ(*result, c["text"].get<std::string>()) << c["template"];
    } else {
      EXPECT_FALSE(result.ok()) << c["template"] << " should fail: " << c["error"];
    }
  }
}

TEST(ChatTemplate, RendersAConversation) {
  TemplateInput input;
  input.messages_json =
      R"([{"role":"system","content":"S"},{"role":"user","content":"é \"q\"\n"}])";
  input.bos_token = "<s>";
  const std::string source =
      "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}\n{% endfor "
      "%}"
      "{% if add_generation_prompt %}<|assistant|>{% endif %}";
  EXPECT_EQ(*Render(source, input), "<s><|system|>S\n<|user|>é \"q\"\n<|assistant|>");
  input.add_generation_prompt = false;
  EXPECT_EQ(*Render(source, input), "<s><|system|>S\n<|user|>é \"q\"\n");
}

TEST(ChatTemplate, ExtraVariablesOverrideTheUsualOnes) {
  TemplateInput input;
  input.extra_json = R"({"tools":[1],"enable_thinking":false})";
  EXPECT_EQ(*Render("{{ tools }}{{ documents }}{{ enable_thinking }}", input), "[1]NoneFalse");
}

TEST(ChatTemplate, OneTemplateRendersOnManyThreads) {
  auto parsed = ChatTemplate::Parse("{% for i in range(50) %}{{ 'x' ~ i }}{{ ['a'] }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  TemplateInput input;
  input.messages_json = "[]";
  const std::string expected = *(*parsed)->Render(input);
  std::vector<std::thread> threads;
  std::vector<int> same(4);
  for (size_t t = 0; t < same.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) same[t] += *(*parsed)->Render(input) == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : same) EXPECT_EQ(count, 50);
}

TEST(ChatTemplateErrors, NameTheConstructAndThePlace) {
  const Error filter = ErrorOf("line one\n{{ 'a' | nosuch }}");
  EXPECT_EQ(filter.code, ErrorCode::kUnsupported);
  EXPECT_NE(filter.message.find("'nosuch'"), std::string::npos);
  EXPECT_EQ(filter.where, "line 2, column 10");

  const Error join = ErrorOf("\n\n  {{ 5 | join }}");
  EXPECT_EQ(join.message, "'int' object is not iterable");
  EXPECT_EQ(join.where, "line 3, column 10: filter 'join'");

  const Error attribute = ErrorOf("{{ nope.x }}");
  EXPECT_EQ(attribute.message, "'nope' is undefined");
  EXPECT_EQ(attribute.where, "line 1, column 8: attribute 'x'");
}

TEST(ChatTemplateErrors, RefuseByName) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{% include 'x' %}", "'include'"},
      {"{% import 'x' as y %}", "'import'"},
      {"{% block b %}{% endblock %}", "'block'"},
      {"{% nosuch %}", "'nosuch'"},
      {"{{ 1 is nosuch }}", "'nosuch'"},
      {"{{ [1].append(2) }}", "'append'"},
      {"{{ 'a'.encode() }}", "encode"},
      {"{{ nosuch() }}", "'nosuch'"},
      {"{{ 'a' | urlize }}", "'urlize'"},
      {"{{ lipsum() }}", "'lipsum'"},
      {"{{ 9223372036854775807 + 1 }}", "64 bits"},
  };
  for (const auto& [source, named] : kCases) {
    EXPECT_NE(ErrorOf(source).message.find(named), std::string::npos) << source;
  }
}

TEST(ChatTemplateErrors, TheTemplatesOwnRefusalIsTheMessage) {
  const Error error = ErrorOf("{{ raise_exception('roles must alternate') }}");
  EXPECT_EQ(error.message, "roles must alternate");
  EXPECT_EQ(error.code, ErrorCode::kInvalidInput);
}

TEST(ChatTemplateErrors, BadInputs) {
  auto parsed = ChatTemplate::Parse("{{ messages }}");
  ASSERT_TRUE(parsed.ok());
  TemplateInput input;
  for (const char* messages :
       {"", "{}", "[", "[1,]", "[\"\xff\"]", "[18446744073709551615]", "[1] x", "[\"\\ud800\"]"}) {
    input.messages_json = messages;
    const Result<std::string> result = (*parsed)->Render(input);
    ASSERT_FALSE(result.ok()) << messages;
    EXPECT_EQ(result.error().where, "messages");
  }
  input.messages_json = "[]";
  input.extra_json = "[]";
  EXPECT_EQ((*parsed)->Render(input).error().where, "extra");
  input.extra_json.clear();
  input.bos_token = "\xff";
  EXPECT_EQ((*parsed)->Render(input).error().where, "bos_token");
  EXPECT_FALSE(ChatTemplate::Parse("\xff").ok());
}

}  // namespace
}  // namespace lull
