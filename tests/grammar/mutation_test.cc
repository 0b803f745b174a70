// Mutated schemas and regular expressions: an error or a grammar that keeps its promises, always.
// LULL_TEST_MUTATIONS sets how many (default 600).
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/grammar/mask_walk.h"
#include "tests/grammar/random_schema.h"

namespace lull::grammar {
namespace {

uint64_t NumMutations() {
  const char* text = getenv("LULL_TEST_MUTATIONS");
  return text == nullptr ? 600 : strtoull(text, nullptr, 10);
}

// Bytes changed, pieces doubled, removed or taken from words that mean something.
std::string Mutated(std::string text, const std::vector<std::string>& words, TestRandom* random) {
  for (uint64_t i = 0; i <= random->Below(4); ++i) {
    const size_t at = random->Below(text.size() + 1);
    const size_t size = 1 + random->Below(12);
    switch (random->Below(5)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random->Next());
        break;
      case 1:
        text.erase(at, size);
        break;
      case 2:
        text.insert(at, text.substr(random->Below(text.size() + 1), size * 4));
        break;
      default:
        text.insert(at, words[random->Below(words.size())]);
    }
  }
  return text;
}

std::string Choices(TestRandom* random) {
  std::string choices;
  for (int i = 0; i < 24; ++i) choices += static_cast<char>(random->Next());
  return choices;
}

TEST(Mutation, Schemas) {
  const std::vector<std::string> words = {"{}",
                                          "[]",
                                          "null",
                                          "true",
                                          "-1",
                                          "1e999",
                                          "\"$ref\":\"#\",",
                                          "\"type\":\"object\",",
                                          "\"enum\":[1],",
                                          "\"items\":{},",
                                          "\"maxItems\":3,",
                                          "\"minLength\":2,",
                                          "\"allOf\":[{}],",
                                          "\"pattern\":\"a|b\",",
                                          "\"anyOf\":[{},true],",
                                          "\"not\":{},",
                                          "\"const\":0,",
                                          "\"",
                                          "\"minimum\":0.1,",
                                          "\"required\":[\"a\"],",
                                          "\"additionalProperties\":{},"};
  TestRandom random(11);
  for (uint64_t i = 0; i < NumMutations(); ++i) {
    const std::string schema =
        Mutated(testing::RandomSchema(random.Next()).Make().dump(), words, &random);
    const GrammarSpec spec = {GrammarSpec::Kind::kJsonSchema, schema, {}, {}, {}};
    ASSERT_TRUE(testing::WalkThroughMasks(spec, Choices(&random))) << schema;
  }
}

TEST(Mutation, RegularExpressions) {
  const std::vector<std::string> words = {
      "(",    ")", "[", "]",   "{2,3}",   "{0}", "*", "+?", "|", "\\",  "\\d",
      "[^a]", "^", "$", "(?:", "\\u00e9", "a-z", ".", "{",  "}", "\\W", "[\\s\\S]"};
  const std::vector<std::string> seeds = {"[a-z]+(\\.[a-z]+)*@x", "(a|bc)*d{2,5}",
                                          "^[^\"]{1,9}$",         "(\\d{1,3}\\.){3}\\d",
                                          "((a?){3}b*)+",         "\xC3\xA9|[\xC3\xA0-\xC3\xBF]"};
  TestRandom random(12);
  for (uint64_t i = 0; i < NumMutations(); ++i) {
    const std::string regex = Mutated(seeds[random.Below(seeds.size())], words, &random);
    const GrammarSpec spec = {GrammarSpec::Kind::kRegex, regex, {}, {}, {}};
    ASSERT_TRUE(testing::WalkThroughMasks(spec, Choices(&random))) << regex;
  }
}

}  // namespace
}  // namespace lull::grammar
