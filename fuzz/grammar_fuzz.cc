// libFuzzer target: the first byte says what the rest is (a schema, a regular expression, choices),
// the bytes behind the first NUL choose the tokens of a walk through the masks. Built by the preset
// "fuzz".
//   build/fuzz/grammar_fuzz -max_len=4096 CORPUS_FOLDER
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tests/grammar/mask_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t split = std::min(text.find('\0'), text.size());
  lull::GrammarSpec spec;
  spec.kind = static_cast<lull::GrammarSpec::Kind>(data[0] % 4);
  spec.text = text.substr(0, split);
  if (spec.kind == lull::GrammarSpec::Kind::kChoice) spec.choices = {spec.text, "b"};
  // A mask that allows nothing, or a token that then does not fit, is a bug.
  if (!lull::grammar::testing::WalkThroughMasks(spec, text.substr(split))) std::abort();
  return 0;
}
