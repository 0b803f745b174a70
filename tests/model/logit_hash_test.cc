// The arithmetic is frozen: hashes of tiny models' logits are committed. Where one differs, some
// bit of the arithmetic changed: raise kArithmeticVersion (include/lull/version.h), say so in
// docs/design/arithmetic.md, and write the file anew with LULL_WRITE_LOGIT_HASHES=1.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "lull/version.h"
#include "tests/model/model_test_util.h"

namespace lull::testing {
namespace {

const std::string kPath = LULL_SOURCE_DIR "/tests/model/goldens/logit_hashes.txt";

// FNV-1a, 64 bits.
uint64_t HashOf(const std::vector<float>& logits) {
  uint64_t hash = 0xcbf29ce484222325u;
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(logits.data());
  for (size_t i = 0; i < logits.size() * sizeof(float); ++i)
    hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

std::string HexOf(uint64_t hash) {
  char text[17];
  snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

std::string LogitHash(const std::string& arch, const std::string& type, bool wide_activations) {
  TinyModelSpec spec;
  spec.arch = arch;
  spec.type = type;
  spec.embd = 256;
  spec.seed = 42;
  const TestModel tiny = LoadTiny(spec);
  if (tiny.model == nullptr) return "does not load";
  constexpr size_t kTokens = 80;  // beyond one page
  const std::vector<int32_t> tokens = RandomTokens(kTokens, tiny.model->info().vocab_size, 3);
  auto runner = NewRunner(*tiny.model, BestKernels(), 1, 512, KvType::kF16, 0, wide_activations);
  return HexOf(HashOf(AllLogits(ExecContext(), *runner, tokens, {kTokens})));
}

std::map<std::string, std::string> ReadGoldens() {
  std::map<std::string, std::string> goldens;
  std::ifstream file(kPath);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string arch, type, hash;
    if (line.rfind('#', 0) != 0 && fields >> arch >> type >> hash)
      goldens[arch + " " + type] = hash;
  }
  return goldens;
}

TEST(LogitHash, EveryArchitectureAndTypeAsCommitted) {
  std::vector<std::string> types = TinyModelTypes();
  // With --activation-type q8_k: only K-quants' products change.
  types.insert(types.end(), {"mixed", "Q4_K/q8_k", "Q5_K/q8_k", "Q6_K/q8_k", "mixed/q8_k"});
  std::vector<std::string> special = TinyModelSpecialTypes();
  special.insert(special.end(), {"Q2_K/q8_k", "Q3_K/q8_k", "IQ4_XS/q8_k"});
  const bool write = getenv("LULL_WRITE_LOGIT_HASHES") != nullptr;
  std::ofstream out;
  if (write) {
    out.open(kPath);
    out << "# architecture type fnv1a64-of-logits; arithmetic version " << kArithmeticVersion
        << "\n";
  }
  const auto goldens = ReadGoldens();
  for (const std::string& arch : TinyModelArchitectures()) {
    std::vector<std::string> of_arch = types;
    if (std::count(std::begin(kTypesSeenWith), std::end(kTypesSeenWith), arch) != 0)
      of_arch.insert(of_arch.end(), special.begin(), special.end());
    for (const std::string& type : of_arch) {
      const std::string name = arch + " " + type;
      const std::string hash =
          LogitHash(arch, type.substr(0, type.find('/')), type.find('/') != std::string::npos);
      if (write) {
        out << name << " " << hash << "\n";
      } else {
        ASSERT_TRUE(goldens.count(name) == 1) << name << " has no committed hash";
        EXPECT_EQ(hash, goldens.at(name)) << name;
      }
    }
  }
}

}  // namespace
}  // namespace lull::testing
