// Against llama.cpp's ids for the vocabularies that tools/make_vocab.py makes up: each kind of
// tokenizer, and each pre-tokenizer of the list by a hash of its ids.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "tests/tokenizer/vocab_builder.h"
#include "tokenizer/character_map.h"
#include "tokenizer/pretokenizer.h"

namespace lull {
namespace {

std::string Golden(const std::string& name) {
  return std::string(LULL_SOURCE_DIR) + "/tests/tokenizer/golden/made/" + name;
}

std::unique_ptr<GgufFile> OpenVocab(const std::string& kind) {
  auto file = GgufFile::Open(Golden(kind + ".gguf"));
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return file.ok() ? std::move(*file) : nullptr;
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

struct Case {
  std::string text;
  TokenIds ids;
};

std::vector<Case> Cases(const std::string& kind) {
  std::ifstream golden(Golden(kind + ".txt"));
  std::vector<Case> cases;
  for (std::string line; std::getline(golden, line);) {
    std::istringstream fields(line);
    std::string hex;
    fields >> hex;
    cases.push_back({hex == "-" ? "" : FromHex(hex), {}});
    for (int32_t id; fields >> id;) cases.back().ids.push_back(id);
  }
  return cases;
}

class MadeVocab : public ::testing::TestWithParam<const char*> {};

TEST_P(MadeVocab, IdsEqualTheGoldens) {
  const auto file = OpenVocab(GetParam());
  const auto tokenizer = Tokenizer::Create(*file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  const std::vector<Case> cases = Cases(GetParam());
  ASSERT_GE(cases.size(), 140u);
  for (const Case& c : cases) EXPECT_EQ(Ids(**tokenizer, c.text), c.ids) << c.text;
}

INSTANTIATE_TEST_SUITE_P(Kinds, MadeVocab, ::testing::Values("tekken", "unigram", "wordpiece"),
                         [](const auto& info) { return std::string(info.param); });

// FNV-1a over each list of ids as tools/tokenize_dump writes it: an int32 count, the int32 ids.
class IdsHash {
 public:
  void Add(const TokenIds& ids) {
    AddInt(static_cast<int32_t>(ids.size()));
    for (int32_t id : ids) AddInt(id);
  }
  uint64_t value() const { return value_; }

 private:
  void AddInt(int32_t number) {
    for (int shift = 0; shift < 32; shift += 8) {
      value_ = (value_ ^ (static_cast<uint32_t>(number) >> shift & 0xFF)) * 0x100000001B3ull;
    }
  }
  uint64_t value_ = 0xCBF29CE484222325ull;
};

TEST(MadeVocab, EveryPretokenizerGivesTheGoldenIds) {
  const auto file = OpenVocab("tekken");
  const auto strings_of = [&](const char* key) {
    const auto views = file->GetStringArray(key);
    return std::vector<std::string>(views->begin(), views->end());
  };
  const auto types = file->GetIntArray("tokenizer.ggml.token_type");
  const std::vector<Case> cases = Cases("tekken");
  std::ifstream golden(Golden("pretokenizers.txt"));
  size_t compared = 0;
  for (std::string name, hash; golden >> name >> hash; ++compared) {
    VocabBuilder builder;
    builder.tokens = strings_of("tokenizer.ggml.tokens");
    builder.merges = strings_of("tokenizer.ggml.merges");
    builder.types.assign(types->begin(), types->end());
    builder.writer.AddString("tokenizer.ggml.pre", name);
    builder.writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
    builder.writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
    const auto tokenizer = builder.Build();
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status().ToString();
    IdsHash ids;
    for (const Case& c : cases) ids.Add(Ids(**tokenizer, c.text));
    EXPECT_EQ(ids.value(), std::stoull(hash, nullptr, 16)) << name;
  }
  EXPECT_EQ(compared, Pretokenizer::Names().size() - 1);  // all but the empty one
}

TEST(Pretokenizer, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const auto unknown = Pretokenizer::Create("gpt-9");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(unknown.error().hint.find(" tekken"), std::string::npos);
}

TEST(WordPiece, TextsStartAndEndWithTheFilesTokens) {
  const auto tokenizer = Tokenizer::Create(*OpenVocab("wordpiece"));
  ASSERT_TRUE(tokenizer.ok());
  TokenizeOptions options;
  options.add_bos = options.add_end = true;
  const auto ids = (*tokenizer)->Encode(ExecContext(), "the", options);
  ASSERT_TRUE(ids.ok());
  ASSERT_EQ(ids->size(), 3u);
  EXPECT_EQ((*tokenizer)->TokenText(ids->front()), "[CLS]");
  EXPECT_EQ((*tokenizer)->TokenText(ids->back()), "[SEP]");
}

// 4 bytes of size, a tree of one node, a replacement.
std::string CharMap(uint32_t tree_bytes, std::string_view rest) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(tree_bytes >> shift);
  return bytes.append(rest);
}

TEST(CharacterMap, RefusesWhatCannotBeRead) {
  using std::string_literals::operator""s;
  for (const std::string& bytes :
       {"abc"s, CharMap(8, "1234"), CharMap(4, "1234"), CharMap(0xFFFFFFFF, "1234"),
        CharMap(4, "1234no end"), CharMap(4, "1234" + std::string(256, 'x') + "\0"s)}) {
    const auto map = CharacterMap::Create(bytes);
    ASSERT_FALSE(map.ok()) << bytes;
    EXPECT_EQ(map.error().code, ErrorCode::kInvalidModel);
  }
  std::string_view replacement;
  const auto map = CharacterMap::Create(CharMap(4, "1234x\0"s));
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->LongestPrefix("abc", &replacement), 0u);
}

// Every damaged tree is one that finds something or nothing, never a read outside.
TEST(CharacterMap, DamagedTreesStayInside) {
  const auto file = OpenVocab("unigram");
  const std::string bytes(*file->GetByteArray("tokenizer.ggml.precompiled_charsmap"));
  uint64_t state = 1;
  const auto random = [&](size_t bound) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<size_t>(state >> 33) % bound;
  };
  for (int round = 0; round < 300; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 40; ++i) damaged[4 + random(damaged.size() - 5)] ^= 1 << random(8);
    const auto map = CharacterMap::Create(damaged);
    if (!map.ok()) continue;
    for (const char* text : {"\uFB01ne", "A\u030A", "\u00BD\u00DF", "\uFDFA", "abc", "\xFF\xFE"}) {
      std::string_view replacement;
      const size_t length = map->LongestPrefix(text, &replacement);
      EXPECT_LE(length, std::string_view(text).size());
      EXPECT_LE(replacement.size(), CharacterMap::kMaxReplacementBytes);
    }
  }
}

// Stretches put together are cut as one text would be.
TEST(Unigram, LongRunsGrowEvenly) {
  for (const char* kind : {"unigram", "wordpiece"}) {
    const auto tokenizer = Tokenizer::Create(*OpenVocab(kind));
    ASSERT_TRUE(tokenizer.ok());
    for (const char* unit : {"aaa", "the ", "\u4E2D", "\xF0\x9F\x98\x80", "\xE4"}) {
      std::string text;
      size_t tokens[4] = {};
      for (size_t& count : tokens) {
        for (int i = 0; i < 8400; ++i) text += unit;
        count = Ids(**tokenizer, text).size();
      }
      EXPECT_EQ(tokens[3] - tokens[2], tokens[2] - tokens[1]) << kind << " " << unit;
    }
  }
}

}  // namespace
}  // namespace lull
