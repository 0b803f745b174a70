// Calls of tools in what models write, whole and in pieces of any size.
#include "service/tool_calls.h"

#include <gtest/gtest.h>

#include <random>

#include "service/python_calls.h"

namespace lull {
namespace {

struct Seen {
  std::string text;
  std::vector<ToolCall> calls;
};

// What the parser makes of the text in pieces of `size` bytes; checks the order of pieces.
Seen Parse(const std::string& text, size_t size, int max_calls = 100) {
  ToolCallParser parser({"f", "get_weather"}, max_calls);
  Seen seen;
  const auto take = [&seen](const std::vector<ToolPiece>& pieces) {
    for (const ToolPiece& piece : pieces) {
      if (piece.kind == ToolPiece::Kind::kText) {
        seen.text += piece.text;
      } else if (piece.kind == ToolPiece::Kind::kBegin) {
        EXPECT_EQ(piece.call, static_cast<int>(seen.calls.size()));
        seen.calls.push_back({piece.text, ""});
      } else {
        ASSERT_FALSE(seen.calls.empty());
        EXPECT_EQ(piece.call, static_cast<int>(seen.calls.size()) - 1);
        seen.calls.back().arguments += piece.text;
      }
    }
  };
  for (size_t at = 0; at < text.size(); at += size) {
    std::vector<ToolPiece> pieces;
    parser.Push(text.substr(at, size), &pieces);
    take(pieces);
  }
  std::vector<ToolPiece> pieces;
  parser.Finish(&pieces);
  take(pieces);
  EXPECT_EQ(parser.calls(), static_cast<int>(seen.calls.size()));
  return seen;
}

// The same whatever the pieces.
Seen ParseAll(const std::string& text, int max_calls = 100) {
  const Seen whole = Parse(text, text.size() + 1, max_calls);
  for (const size_t size : {1u, 2u, 3u, 7u}) {
    const Seen pieces = Parse(text, size, max_calls);
    EXPECT_EQ(pieces.text, whole.text) << text << " in pieces of " << size;
    EXPECT_EQ(pieces.calls.size(), whole.calls.size()) << text << " in pieces of " << size;
    for (size_t i = 0; i < std::min(pieces.calls.size(), whole.calls.size()); ++i) {
      EXPECT_EQ(pieces.calls[i].name, whole.calls[i].name);
      EXPECT_EQ(pieces.calls[i].arguments, whole.calls[i].arguments);
    }
  }
  return whole;
}

TEST(ToolCalls, MarkedCallsAmongText) {
  const Seen seen = ParseAll(
      "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"\", \"b\": "
      "[1, "
      "{}]}}\n</tool_call>\n<tool_call>{\"name\":\"get_weather\",\"arguments\":{}}</tool_call>");
  EXPECT_EQ(seen.text, "Let me look.\n");
  ASSERT_EQ(seen.calls.size(), 2u);
  EXPECT_EQ(seen.calls[0].name, "f");
  EXPECT_EQ(seen.calls[0].arguments, "{\"a\": \"}\\\"\", \"b\": [1, {}]}");
  EXPECT_EQ(seen.calls[1].arguments, "{}");
}

TEST(ToolCalls, BareObjectsAndArrays) {
  EXPECT_EQ(ParseAll(" {\"name\": \"f\", \"parameters\": {\"x\": 1}}").calls.at(0).arguments,
            "{\"x\": 1}");
  const Seen two = ParseAll(
      "{\"name\":\"f\",\"arguments\":{\"a\":1}};{\"name\":\"f\","
      "\"arguments\":{\"a\":2}}");
  ASSERT_EQ(two.calls.size(), 2u);
  EXPECT_EQ(two.calls[1].arguments, "{\"a\":2}");
  const Seen array = ParseAll(
      "[{\"name\":\"f\",\"arguments\":{\"a\":1}}, {\"name\":\"f\","
      "\"arguments\":\"{\\\"a\\\":2}\"}]");
  ASSERT_EQ(array.calls.size(), 2u);
  EXPECT_EQ(array.calls[1].arguments, "{\"a\":2}");
}

TEST(ToolCalls, AnotherOrderOfMembers) {
  for (const char* text : {"{\"arguments\": {\"a\":1}, \"name\": \"f\"}",
                           "<tool_call>{\"arguments\": {\"a\":1}, \"name\": \"f\"}</tool_call>",
                           "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                           "{\"a\":1}}}"}) {
    const Seen seen = ParseAll(text);
    ASSERT_EQ(seen.calls.size(), 1u) << text;
    EXPECT_EQ(seen.calls[0].arguments, "{\"a\":1}");
    EXPECT_EQ(seen.text, "");
  }
}

TEST(ToolCalls, PythonCalls) {
  const Seen seen =
      ParseAll("[get_weather(city='Z\\'rich', days=3, deep={'a': [True, None, -1.5e3]}), f()]");
  ASSERT_EQ(seen.calls.size(), 2u);
  EXPECT_EQ(seen.calls[0].arguments,
            "{\"city\":\"Z'rich\",\"days\":3,\"deep\":{\"a\":[true,null,-1500.0]}}");
  EXPECT_EQ(seen.calls[1].arguments, "{}");
  for (const char* wrong : {"[f(1)]", "[f(a=)]", "[f(a=1]", "f(a=1)", "[f(a=1)] and more",
                            "[f(a=x)]", "[]", "[f(a=1,)]"}) {
    EXPECT_TRUE(ParsePythonCalls(wrong).empty()) << wrong;
    EXPECT_EQ(ParseAll(wrong).text, wrong);
  }
}

TEST(ToolCalls, WhatIsNoCallIsText) {
  for (const char* text :
       {"Hello <b>there</b>", "{\"answer\": 42}", "[1, 2, 3]",
        "{\"name\": \"unknown\", "
        "\"arguments\": {}}",
        "{ not JSON", "a < b <tool", "<tool_call>no</tool_call> so",
        "<tool_call>{\"name\": \"unknown\", \"arguments\": {\"a\": 1}}</tool_call>",
        "Text first {\"name\": \"f\", \"arguments\": {}}"}) {
    const Seen seen = ParseAll(text);
    EXPECT_TRUE(seen.calls.empty()) << text;
    EXPECT_EQ(seen.text, text);
  }
}

// As deep as a model likes to write: no deeper than a request may be, since trees are walked by
// recursion.
TEST(ToolCalls, ArgumentsAsTextAreNoDeeperThanRequests) {
  const auto call = [](int depth) {
    const std::string deep =
        std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
    return R"({"arguments":"{\"a\":)" + deep + R"(}","name":"f"})";
  };
  EXPECT_EQ(ParseToolCalls(call(20)).size(), 1u);
  EXPECT_TRUE(ParseToolCalls(call(400'000)).empty());
}

TEST(ToolCalls, CutShort) {
  const Seen cut = ParseAll("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"lon");
  ASSERT_EQ(cut.calls.size(), 1u);
  EXPECT_EQ(cut.calls[0].arguments, "{\"a\": \"lon");
  EXPECT_EQ(ParseAll("<tool_call>{\"name\": \"f\", \"argu").calls.size(), 0u);
  EXPECT_EQ(ParseAll("<tool_call>{\"name\":\"f\",\"arguments\":{}}").calls.size(), 1u);
}

TEST(ToolCalls, NoMoreThanAsked) {
  const std::string one = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
  EXPECT_EQ(ParseAll(one + one + one, 2).calls.size(), 2u);
  EXPECT_EQ(ParseAll("[f(), f(), f()]", 1).calls.size(), 1u);
}

TEST(ToolCalls, ArgumentsComeAsTheyAreWritten) {
  ToolCallParser parser({"f"}, 1);
  std::vector<ToolPiece> pieces;
  parser.Push("<tool_call>{\"name\": \"f\", \"arguments\": {\"text\": \"once", &pieces);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].text, "{\"text\": \"once");
  parser.Push(" upon", &pieces);
  EXPECT_EQ(pieces.back().text, " upon");
}

// Any bytes in any pieces: no crash, nothing invented, arguments balanced in their calls.
TEST(ToolCalls, MutatedTexts) {
  const std::string seeds[] = {
      "x <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1, \"b\"]}}</tool_call> y",
      "[f(a=1, b='x'), get_weather(city=\"y\")]",
      "[{\"name\":\"f\",\"arguments\":{\"a\":1}}]",
  };
  const std::string alphabet = "<>{}[]()\"'\\,:=/ \nftool_call";
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string text = seeds[random() % 3];
    for (int edits = 0; edits < 4; ++edits) {
      const size_t at = random() % (text.size() + 1);
      if (random() % 2 == 0)
        text.insert(at, 1, alphabet[random() % alphabet.size()]);
      else if (at < text.size())
        text.erase(at, 1 + random() % 3);
    }
    const Seen seen = Parse(text, 1 + random() % 9);
    EXPECT_LE(seen.text.size(), text.size()) << text;
  }
}

}  // namespace
}  // namespace lull
