#include "tokenizer/text_stream.h"

#include <gtest/gtest.h>

#include "tests/tokenizer/vocab_builder.h"

namespace lull {
namespace {

// One byte at a time; every piece must be whole characters.
std::string Assemble(std::string_view bytes) {
  Utf8Assembler assembler;
  std::string text;
  for (char byte : bytes) {
    const std::string piece = assembler.Push(std::string_view(&byte, 1));
    for (size_t pos = 0; pos < piece.size();) {
      const size_t length = LengthByLeadByte(piece[pos]);
      EXPECT_NE(static_cast<uint8_t>(piece[pos]) & 0xC0, 0x80);
      EXPECT_LE(pos + length, piece.size());
      pos += length;
    }
    text += piece;
  }
  return text + assembler.Finish();
}

TEST(Utf8Assembler, WholeCharactersOnly) {
  Utf8Assembler assembler;
  EXPECT_EQ(assembler.Push("a\xF0\x9F"), "a");
  EXPECT_EQ(assembler.Push("\x98"), "");
  EXPECT_EQ(assembler.Push("\x80z"), "\xF0\x9F\x98\x80z");
  EXPECT_EQ(assembler.Finish(), "");
}

TEST(Utf8Assembler, MalformedBecomesReplacement) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(Assemble("\xE4\xB8"), r);
  EXPECT_EQ(Assemble("\xE4\xB8z"), r + "z");
  EXPECT_EQ(Assemble("\x80\xBF"), r + r);
  EXPECT_EQ(Assemble("\xC0\x80"), r + r);
  EXPECT_EQ(Assemble("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(Assemble("\xF0\x9F\x98\xF0\x9F\x98\x80"), r + "\xF0\x9F\x98\x80");
  EXPECT_EQ(Assemble("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(Assemble("\xF5\xFF"), r + r);
}

TEST(Utf8Assembler, PiecesDoNotMatter) {
  uint32_t state = 7;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 24; ++i) {
      state = state * 1664525 + 1013904223;
      const uint8_t lead[] = {0x41, 0xC3, 0xE4, 0xF0, 0x80, 0x9F, 0xBF, 0xED};
      bytes += static_cast<char>(lead[state >> 29]);
    }
    Utf8Assembler whole;
    std::string text = whole.Push(bytes);
    text += whole.Finish();
    EXPECT_EQ(Assemble(bytes), text);
    Utf8Assembler again;  // what comes out is well-formed
    EXPECT_EQ(again.Push(text), text);
    EXPECT_EQ(again.Finish(), "");
  }
}

TEST(TextStream, ConcatenationIsDecode) {
  VocabBuilder builder;
  builder.AddByteLevelAlphabet();
  builder.merges.push_back("q q");
  const int32_t control = builder.Add("<c>", kTypeControl), unused = builder.Add("u", kTypeUnused);
  const auto tokenizer = builder.Build();
  ASSERT_TRUE(tokenizer.ok());
  const TokenIds tokens = {'h',  0xC3, control, 0xA9, unused, 0xF0,
                           0x9F, 0x98, 0x80,    -1,   99999,  0xE4};
  for (bool special : {false, true}) {
    const auto stream = (*tokenizer)->NewTextStream(special);
    std::string text;
    for (int32_t token : tokens) text += stream->Push(token);
    text += stream->Finish();
    EXPECT_EQ(text, (*tokenizer)->Decode(ExecContext(), tokens, special));
    EXPECT_EQ(text, special ? "h\uFFFD<c>\uFFFD\U0001F600\uFFFD" : "h\u00E9\U0001F600\uFFFD");
  }
}

}  // namespace
}  // namespace lull
