// 80 classes of malformed files, 25 seeds each (LULL_TEST_MALFORMED_SEEDS changes that): refused
// with a clear error within a second and within the heap bound. Classes that later stages must
// refuse are opened here to prove that the file itself is sound.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "base/os/os.h"
#include "formats/gguf.h"
#include "tests/support/heap_meter.h"
#include "tests/support/malformed.h"

namespace lull {

// Names the class where a test fails (found by argument-dependent look-up).
void PrintTo(const MalformedClass& malformed, std::ostream* out);
void PrintTo(const MalformedClass& malformed, std::ostream* out) { *out << malformed.name; }

namespace {

uint64_t NumSeeds() {
  const char* text = getenv("LULL_TEST_MALFORMED_SEEDS");
  return text == nullptr ? 25 : strtoull(text, nullptr, 10);
}

// What is wrong has to be named: a key, a tensor or the part of the file, and the byte.
void ExpectNamed(const MalformedClass& malformed, const Error& error) {
  EXPECT_FALSE(error.message.empty());
  EXPECT_NE(error.where.find("bad.gguf"), std::string::npos) << error.where;
  EXPECT_NE(error.where.find(" at byte "), std::string::npos) << error.where;
  // A file cut among its keys may already be too short for the tensors it claims.
  const bool names_tensor = error.where.find("tensor ") != std::string::npos;
  const bool names_key = error.where.find("key ") != std::string::npos;
  if (malformed.group == "key") {
    EXPECT_TRUE(names_key || (malformed.name == "keys_truncated" && names_tensor)) << error.where;
  } else if (malformed.group == "tensor") {
    EXPECT_TRUE(names_tensor) << error.where;
  }
  EXPECT_TRUE(error.code == ErrorCode::kInvalidModel || error.code == ErrorCode::kUnsupported)
      << ErrorCodeName(error.code);
}

class Malformed : public ::testing::TestWithParam<MalformedClass> {};

TEST_P(Malformed, IsRefusedInTimeAndMemory) {
  const MalformedClass& malformed = GetParam();
  const TemporaryDirectory directory;
  const std::string path = directory.File("bad.gguf");
  for (uint64_t seed = 0; seed < NumSeeds(); ++seed) {
    SCOPED_TRACE(malformed.name + " seed " + std::to_string(seed));
    const Status written = WriteMalformed(malformed, seed, path);
    ASSERT_TRUE(written.ok()) << written.ToString();
    const int64_t file_bytes = static_cast<int64_t>(ReadFileBytes(path).size());
    const int64_t start_ns = os::ThreadCpuNs();
    const HeapMeter heap;
    const auto file = GgufFile::Open(path);
    EXPECT_LE(heap.PeakBytes(), 2 * file_bytes + (1 << 20));
    EXPECT_LT(os::ThreadCpuNs() - start_ns, 1'000'000'000);
    if (malformed.stage == MalformedStage::kFile) {
      ASSERT_FALSE(file.ok()) << "was accepted";
      ExpectNamed(malformed, file.error());
    } else {
      EXPECT_TRUE(file.ok()) << file.status().ToString();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Classes, Malformed, ::testing::ValuesIn(MalformedClasses()),
                         [](const auto& info) { return info.param.group + "_" + info.param.name; });

TEST(MalformedTable, HasEightyClassesOfTheStatedGroups) {
  std::set<std::string> names;
  std::map<std::string, int> groups;
  for (const MalformedClass& malformed : MalformedClasses()) {
    names.insert(malformed.name);
    ++groups[malformed.group];
  }
  EXPECT_EQ(names.size(), 80u);
  const std::map<std::string, int> expected = {{"header", 10}, {"key", 16},   {"tensor", 20},
                                               {"data", 12},   {"vocab", 12}, {"hparam", 10}};
  EXPECT_EQ(groups, expected);
}

// A class that left its base untouched would pass for the wrong reason elsewhere.
TEST(MalformedTable, BasesAreValidAndVariantsDiffer) {
  const TemporaryDirectory directory;
  for (const MalformedClass& malformed : MalformedClasses()) {
    ASSERT_TRUE(WriteTinyModel(malformed.base, directory.File("base.gguf")).ok()) << malformed.name;
    EXPECT_TRUE(GgufFile::Open(directory.File("base.gguf")).ok()) << malformed.name;
    ASSERT_TRUE(WriteMalformed(malformed, 1, directory.File("bad.gguf")).ok());
    EXPECT_NE(ReadFileBytes(directory.File("base.gguf")), ReadFileBytes(directory.File("bad.gguf")));
  }
}

}  // namespace
}  // namespace lull
