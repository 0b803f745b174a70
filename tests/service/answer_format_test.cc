// Answers of many model families taken apart: the goldens are what jinja2 makes of calls with the
// families' own templates (tools/compare_calls.py).
#include "service/answer/answer_format.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

namespace lull {
namespace {

struct Seen {
  std::string content, reasoning;
  std::vector<ToolCall> calls;
};

std::vector<Tool> Tools() {
  return {{"get_weather", "", Json::parse(R"({"type": "object", "properties": {
             "city": {"type": "string"}, "unit": {"enum": ["celsius"]}, "n": {"type": "integer"},
             "ok": {"type": "boolean"}, "days": {"type": "array"}}})")},
          {"now", "", Json::parse(R"({"type": "object", "properties": {}})")}};
}

AnswerStyle StyleOf(std::string_view format) {
  AnswerStyle style;
  // Any text that has what the format needs.
  for (const std::string_view text :
       {"<|tool_call|>", "<|tool_call|><|/tool_call|>", "<|tool_list_start|>", "<TOOLCALL>",
        "<tool_call><function=<parameter=", "<tool_call><arg_key>", "[TOOL_CALLS]", ">>>all",
        "<|channel|><|message|>analysis", "<|tool_call>call:", "<seed:tool_call>", ""})
    if (FormatOf(text).name == format) style.format = &FormatOf(text);
  EXPECT_EQ(style.format->name, format);
  style.tools = Tools();
  style.max_calls = 100;
  return style;
}

// In pieces of random sizes; checks the order of what comes out.
Seen Parse(const AnswerStyle& style, const std::string& answer, size_t most, uint32_t seed = 1) {
  std::mt19937 random(seed);
  const auto parser = NewAnswerParser(style);
  Seen seen;
  const auto take = [&seen](std::vector<ToolPiece> pieces) {
    for (const ToolPiece& piece : pieces) {
      if (piece.kind == ToolPiece::Kind::kText) seen.content += piece.text;
      if (piece.kind == ToolPiece::Kind::kReasoning) seen.reasoning += piece.text;
      if (piece.kind == ToolPiece::Kind::kBegin) {
        EXPECT_EQ(piece.call, static_cast<int>(seen.calls.size()));
        seen.calls.push_back({piece.text, ""});
      }
      if (piece.kind == ToolPiece::Kind::kArguments) {
        ASSERT_EQ(piece.call + 1, static_cast<int>(seen.calls.size()));
        seen.calls.back().arguments += piece.text;
      }
    }
  };
  for (size_t at = 0; at < answer.size();) {
    const size_t size = 1 + random() % most;
    std::vector<ToolPiece> pieces;
    parser->Push(answer.substr(at, size), &pieces);
    take(std::move(pieces));
    at += size;
  }
  std::vector<ToolPiece> pieces;
  parser->Finish(&pieces);
  take(std::move(pieces));
  return seen;
}

Seen ParseAll(const AnswerStyle& style, const std::string& answer) {
  const Seen whole = Parse(style, answer, answer.size() + 1);
  for (const size_t most : {1u, 3u, 9u, 40u}) {
    const Seen pieces = Parse(style, answer, most, static_cast<uint32_t>(most));
    EXPECT_EQ(pieces.content, whole.content) << answer;
    EXPECT_EQ(pieces.reasoning, whole.reasoning) << answer;
    EXPECT_EQ(pieces.calls.size(), whole.calls.size()) << answer;
    for (size_t i = 0; i < std::min(pieces.calls.size(), whole.calls.size()); ++i) {
      EXPECT_EQ(pieces.calls[i].name, whole.calls[i].name);
      EXPECT_EQ(pieces.calls[i].arguments, whole.calls[i].arguments);
    }
  }
  return whole;
}

Json Goldens() {
  std::ifstream file(std::string(LULL_SOURCE_DIR) + "/tests/service/goldens/calls.json");
  return Json::parse(file);
}

// Formats are found by name here: the templates themselves are not at hand.
const AnswerFormat* Named(const std::string& name) {
  for (const AnswerFormat& format : AllFormats())
    if (format.name == name) return &format;
  return nullptr;
}

AnswerStyle StyleOfGolden(const Json& golden) {
  AnswerStyle style;
  style.format = Named(golden["format"]);
  style.tools = Tools();
  style.max_calls = 100;
  const std::string prompt = golden["prompt"], answer = golden["answer"];
  style.reasoning = ReasoningOf(prompt + answer);
  style.in_reasoning = EndsInReasoning(prompt, style.reasoning);
  return style;
}

TEST(AnswerFormat, CallsOfManyFamiliesComeBack) {
  std::set<std::string> formats;
  for (const Json& golden : Goldens()) {
    SCOPED_TRACE(golden["template"]);
    const AnswerStyle style = StyleOfGolden(golden);
    ASSERT_NE(style.format, nullptr);
    const Seen seen = ParseAll(style, golden["answer"]);
    EXPECT_EQ(seen.content, golden["content"]);
    EXPECT_EQ(seen.reasoning, golden["reasoning"]);
    ASSERT_EQ(seen.calls.size(), golden["calls"].size());
    for (size_t i = 0; i < seen.calls.size(); ++i) {
      EXPECT_EQ(seen.calls[i].name, golden["calls"][i]["name"]);
      EXPECT_EQ(Json::parse(seen.calls[i].arguments),
                Json::parse(golden["calls"][i]["arguments"].get<std::string>()));
    }
    formats.insert(golden["format"]);
  }
  EXPECT_GE(formats.size(), 20u);
}

// Arguments come as they are written wherever the format lets them.
TEST(AnswerFormat, ArgumentsStream) {
  const struct {
    const char *format, *begin, *arguments;
  } cases[] = {
      {"hermes", "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": \"b", "{\"a\": \"b"},
      {"granite-3", "<|tool_call|>[{\"name\": \"now\", \"arguments\": {\"a\": \"b", "{\"a\": \"b"},
      {"mistral", "[TOOL_CALLS]now[ARGS]{\"a\": \"b", "{\"a\": \"b"},
      {"harmony", "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{\"a\": \"b",
       "{\"a\": \"b"},
      {"functionary-3.2", "now\n{\"a\": \"b", "{\"a\": \"b"},
      {"qwen3-coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nZ\"r</param",
       "{\"city\": \"Z\\\"r"},
      {"glm-4.5", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Zr</arg",
       "{\"city\": \"Zr"},
  };
  for (const auto& c : cases) {
    const auto parser = NewAnswerParser(StyleOf(c.format));
    std::vector<ToolPiece> pieces;
    parser->Push(c.begin, &pieces);
    std::string arguments;
    for (const ToolPiece& piece : pieces)
      if (piece.kind == ToolPiece::Kind::kArguments) arguments += piece.text;
    EXPECT_EQ(arguments, c.arguments) << c.format;
  }
}

TEST(AnswerFormat, FamiliesWhoseTemplatesWriteNoCalls) {
  const struct {
    const char *format, *answer;
  } cases[] = {
      {"granite-3", "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"n\": 1}}]"},
      {"phi-4",
       "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"n\": 1}}]<|/tool_call|>"},
      {"lfm2", "<|tool_call_start|>[get_weather(n=1)]<|tool_call_end|>"},
      {"nemotron-v2",
       "<TOOLCALL>[{\"name\": \"get_weather\", \"arguments\": {\"n\": 1}}]</TOOLCALL>"},
      {"hermes", "{\"name\": \"get_weather\", \"parameters\": {\"n\": 1}}"},
      {"mistral",
       "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"n\": 1}, \"id\": "
       "\"abcdefghi\"}]"},
      {"qwen3-coder",
       "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"n\": 1}}</tool_call>"},
      {"gemma4", "<|tool_call>call:get_weather{n:1}<tool_call|>"},
      {"seed-oss",
       "<seed:tool_call><function=get_weather><parameter=n>1</parameter></function></"
       "seed:tool_call>"},
  };
  for (const auto& c : cases) {
    const Seen seen = ParseAll(StyleOf(c.format), c.answer);
    ASSERT_EQ(seen.calls.size(), 1u) << c.answer;
    EXPECT_EQ(seen.calls[0].name, "get_weather");
    EXPECT_EQ(Json::parse(seen.calls[0].arguments), Json({{"n", 1}})) << c.answer;
    EXPECT_EQ(seen.content, "") << c.answer;
  }
}

// What a tagged value is, its schema says.
TEST(AnswerFormat, TaggedValuesAreWhatTheSchemaSays) {
  const Seen seen =
      ParseAll(StyleOf("qwen3-coder"),
               "<tool_call>\n<function=get_weather>\n"
               "<parameter=city>\n12\n</parameter>\n<parameter=unit>\n1\n</parameter>\n"
               "<parameter=n>\n7\n</parameter>\n<parameter=ok>\nTrue\n</parameter>\n"
               "<parameter=days>\n[1, 'a', None]\n</parameter>\n"
               "<parameter=free>\nline\n\"two\"\n</parameter>\n"
               "</function>\n</tool_call>");
  ASSERT_EQ(seen.calls.size(), 1u);
  EXPECT_EQ(Json::parse(seen.calls[0].arguments),
            Json::parse(R"({"city": "12", "unit": "1", "n": 7, "ok": true, "days": [1, "a", null],
                            "free": "line\n\"two\""})"));
}

TEST(AnswerFormat, WhatIsNoCallIsText) {
  const struct {
    const char *format, *answer;
  } cases[] = {
      {"mistral", "[TOOL_CALLS]unknown[ARGS]{}"},
      {"mistral", "[TOOL_CALLS] and so on"},
      {"mistral", "a [TOOL_C"},
      {"qwen3-coder", "<tool_call>\n<function=unknown>\n</function>\n</tool_call>"},
      {"qwen3-coder", "<tool_call>nothing of it</tool_call>"},
      {"glm-4.5", "<tool_call>unknown\n</tool_call>"},
      {"gemma4", "<|tool_call>call:now{a<tool_call|>"},
      {"lfm2", "<|tool_call_start|>[now(]<|tool_call_end|>"},
      {"granite-3", "<|tool_call|>[{\"name\": \"unknown\", \"arguments\": {}}]"},
      {"granite-3", "<|tool_call|>"},
      {"functionary-3.2", "unknown\n{}"},
      {"hermes", "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>"},
  };
  for (const auto& c : cases) {
    const Seen seen = ParseAll(StyleOf(c.format), c.answer);
    EXPECT_TRUE(seen.calls.empty()) << c.answer;
    EXPECT_EQ(seen.content, c.answer) << c.format;
  }
}

TEST(AnswerFormat, NoMoreCallsThanAskedFor) {
  for (const Json& golden : Goldens()) {
    AnswerStyle style = StyleOfGolden(golden);
    style.max_calls = 1;
    EXPECT_EQ(ParseAll(style, golden["answer"]).calls.size(), 1u) << golden["template"];
  }
}

TEST(AnswerFormat, HarmonyChannels) {
  AnswerStyle style = StyleOf("harmony");
  const Seen seen =
      ParseAll(style,
               "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>"
               "commentary<|message|>Wait. <|end|><|start|>assistant<|channel|>final"
               "<|message|>Hello.");
  EXPECT_EQ(seen.reasoning, "Think.");
  EXPECT_EQ(seen.content, "Wait. Hello.");
  style.tools.clear();
  EXPECT_EQ(ParseAll(style, "<|channel|>final<|message|>Hi").content, "Hi");
  EXPECT_EQ(ParseAll(style, "No channels at all.").content, "No channels at all.");
}

TEST(AnswerFormat, ReasoningStandsFirst) {
  AnswerStyle style;
  style.reasoning = ReasoningOf("<think></think>");
  const struct {
    bool opened;
    const char *answer, *reasoning, *content;
  } cases[] = {
      {false, "<think>\nOne.\n\nTwo.\n</think>\n\nText", "One.\n\nTwo.", "Text"},
      {true, "One.\n</think>\nText </think>", "One.", "Text </think>"},
      {true, "<think>One.</think>Text", "One.", "Text"},
      {true, "cut off ", "cut off", ""},
      {false, "No <think>such</think> thing", "", "No <think>such</think> thing"},
      {false, "<thi", "", "<thi"},
      {false, "  indented", "", "  indented"},
      {false, "<think>\n\n</think>\n\nText", "", "Text"},
      {true, "", "", ""},
  };
  for (const auto& c : cases) {
    style.in_reasoning = c.opened;
    const Seen seen = ParseAll(style, c.answer);
    EXPECT_EQ(seen.reasoning, c.reasoning) << c.answer;
    EXPECT_EQ(seen.content, c.content) << c.answer;
  }
  EXPECT_TRUE(EndsInReasoning("<|im_start|>assistant\n<think>\n", style.reasoning));
  EXPECT_FALSE(EndsInReasoning("assistant\n<think>\n\n</think>\n\n", style.reasoning));
  EXPECT_TRUE(ReasoningOf("nothing of it").open.empty());
}

// Any bytes in any pieces: no crash, calls only of tools that were offered, and every byte goes
// somewhere: what comes out is no shorter than what none of the marks explains.
TEST(AnswerFormat, MutatedAnswers) {
  const Json goldens = Goldens();
  std::mt19937 random(11);
  const std::string alphabet = "<>{}[]()\"'\\,:=/| \nabc|";
  for (int i = 0; i < 8000; ++i) {
    const Json& golden = goldens[random() % goldens.size()];
    std::string answer = golden["answer"];
    for (int edits = 0; edits < 3; ++edits) {
      const size_t at = random() % (answer.size() + 1);
      if (random() % 3 == 0)
        answer.insert(at, 1, alphabet[random() % alphabet.size()]);
      else if (random() % 2 == 0)
        answer.erase(std::min(at, answer.size()), 1 + random() % 12);
      else
        answer.insert(at, answer.substr(random() % (answer.size() + 1), random() % 40));
    }
    const Seen seen = Parse(StyleOfGolden(golden), answer, 1 + random() % 30, random());
    for (const ToolCall& call : seen.calls)
      EXPECT_TRUE(call.name == "get_weather" || call.name == "now") << answer;
  }
}

// Text beside calls, in any format, comes out to the last byte.
TEST(AnswerFormat, TextIsKept) {
  for (const AnswerFormat& format : AllFormats()) {
    if (format.structural) continue;
    AnswerStyle style;
    style.format = &format;
    style.tools = Tools();
    style.max_calls = 4;
    const std::string text =
        "Some < text [with {brackets} and <tags> of | all kinds.\n\n - a\n - b  ";
    EXPECT_EQ(ParseAll(style, text).content, text) << format.name;
  }
}

}  // namespace
}  // namespace lull
