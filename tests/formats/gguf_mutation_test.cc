// Random bit, byte and length changes in the header of sound files. LULL_TEST_MUTATIONS sets how
// many (default 600); LULL_TEST_MODELS, a folder, adds the headers of the real models in it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/os/os.h"
#include "formats/gguf.h"
#include "tests/support/heap_meter.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/random_weights.h"
#include "tests/support/read_everything.h"

namespace lull {
namespace {

constexpr size_t kRealHeaderBytes = 1 << 20;

uint64_t NumMutations() {
  const char* text = getenv("LULL_TEST_MUTATIONS");
  return text == nullptr ? 600 : strtoull(text, nullptr, 10);
}

// Offsets in `bytes` at which a length or count stands are the likeliest to hurt, so 8-byte values
// are overwritten as often as single bits.
void Mutate(TestRandom& random, size_t header_bytes, std::string* bytes) {
  const uint64_t interesting[] = {0, 1, 0xff, 0xffff, 0x7fffffff, 0xffffffff, uint64_t{1} << 32, uint64_t{1} << 62,
                                  uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7, bytes->size()};
  const size_t at = random.Below(header_bytes);
  switch (random.Below(6)) {
    case 0: (*bytes)[at] ^= static_cast<char>(1u << random.Below(8)); break;
    case 1: (*bytes)[at] = static_cast<char>(random.Next()); break;
    case 2:
    case 3: {
      const uint64_t value = interesting[random.Below(std::size(interesting))];
      const size_t width = (random.Next() & 1) != 0 ? 8 : 4;
      if (at + width <= bytes->size()) memcpy(bytes->data() + at, &value, width);
      break;
    }
    case 4: bytes->erase(at, 1 + random.Below(16)); break;
    default: bytes->insert(at, 1 + random.Below(16), static_cast<char>(random.Next()));
  }
}

struct Seed {
  std::string bytes;
  size_t header_bytes = 0;
};

std::vector<Seed> Seeds(const TemporaryDirectory& directory) {
  std::vector<Seed> seeds;
  for (const std::string& arch : TinyModelArchitectures()) {
    TinyModelSpec spec;
    spec.arch = arch;
    spec.type = "mixed";
    spec.layers = 3;
    spec.embd = 32;
    spec.heads = 2;
    spec.vocab = 290;
    const std::string path = directory.File("seed.gguf");
    EXPECT_TRUE(WriteTinyModel(spec, path).ok());
    const std::string bytes = ReadFileBytes(path);
    const RawGguf parts = RawGguf::Parse(bytes);
    seeds.push_back({bytes, parts.Header().size() + parts.Infos().size()});
  }
  const char* models = getenv("LULL_TEST_MODELS");
  if (models == nullptr) return seeds;
  for (const auto& entry : std::filesystem::directory_iterator(models)) {
    std::string bytes(kRealHeaderBytes, '\0');
    std::ifstream(entry.path(), std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    seeds.push_back({bytes, bytes.size()});
  }
  return seeds;
}

TEST(GgufMutations, NeverCrashHangOrGrow) {
  const TemporaryDirectory directory;
  const std::vector<Seed> seeds = Seeds(directory);
  const std::string path = directory.File("mutated.gguf");
  uint64_t accepted = 0;
  for (uint64_t i = 0; i < NumMutations(); ++i) {
    SCOPED_TRACE("mutation " + std::to_string(i));
    TestRandom random(i);
    const Seed& seed = seeds[i % seeds.size()];
    std::string bytes = seed.bytes;
    for (uint64_t edits = 1 + random.Below(3); edits > 0; --edits) Mutate(random, seed.header_bytes, &bytes);
    WriteFileBytes(path, bytes);
    const int64_t start_ns = os::ThreadCpuNs();
    const HeapMeter heap;
    const auto file = GgufFile::Open(path);
    if (file.ok()) {
      ++accepted;
      ReadEverything(**file);
    } else {
      ASSERT_FALSE(file.error().where.empty());
    }
    ASSERT_LE(heap.PeakBytes(), 2 * static_cast<int64_t>(bytes.size()) + (1 << 20));
    ASSERT_LT(os::ThreadCpuNs() - start_ns, 1'000'000'000);
  }
  RecordProperty("accepted", static_cast<int>(accepted));
}

}  // namespace
}  // namespace lull
