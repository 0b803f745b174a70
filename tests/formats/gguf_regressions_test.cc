// One test for each class of model-file failure on public record, at the boundary where it happened.
#include <gtest/gtest.h>

#include "base/os/os.h"
#include "formats/gguf.h"
#include "formats/gguf_parse.h"
#include "tests/support/heap_meter.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/read_everything.h"

namespace lull {
namespace {

constexpr uint32_t kUint8 = 0;
constexpr uint32_t kUint32 = 4;
constexpr uint32_t kFloat32 = 6;
constexpr uint32_t kString = 8;
constexpr uint32_t kArray = 9;
constexpr uint32_t kF32 = 0;
constexpr int64_t kMiB = 1 << 20;

class GgufRegressions : public ::testing::Test {
 protected:
  // Three F32 tensors of 8 elements, 32 bytes each, and one key.
  GgufRegressions() {
    file_.keys.push_back({"general.architecture", kString, RawString("llama"), {}});
    for (uint64_t i = 0; i < 3; ++i) file_.tensors.push_back({"t" + std::string(1, static_cast<char>('0' + i)), {8}, kF32, 32 * i, {}, {}});
    file_.data.assign(96, '\1');
  }

  Result<std::unique_ptr<GgufFile>> OpenBytes(const std::string& bytes) {
    WriteFileBytes(directory_.File("model.gguf"), bytes);
    const HeapMeter heap;
    auto file = GgufFile::Open(directory_.File("model.gguf"));
    if (file.ok()) ReadEverything(**file);
    EXPECT_LE(heap.PeakBytes(), 2 * static_cast<int64_t>(bytes.size()) + kMiB);
    return file;
  }
  // The whole text of the refusal, "" where the file was accepted.
  std::string Refusal() {
    const auto file = OpenBytes(file_.Serialize());
    return file.ok() ? "" : file.status().ToString();
  }
  void ExpectRefusal(const std::string& part) {
    const std::string text = Refusal();
    EXPECT_NE(text.find(part), std::string::npos) << "refusal: " << (text.empty() ? "none" : text);
  }
  void AddArray(const std::string& key, uint32_t type, uint64_t count, const std::string& elements) {
    file_.keys.push_back({key, kArray, RawBytes(type) + RawBytes(count) + elements, {}});
  }

  RawGguf file_;
  TemporaryDirectory directory_;
};

TEST_F(GgufRegressions, BaseIsAccepted) { EXPECT_EQ(Refusal(), ""); }

// Size arithmetic (CVE-2024-21802, -21825, -21836, -23496, -23605; CVE-2025-53630, CVE-2026-27940).
TEST_F(GgufRegressions, TensorCountTimesInfoSizeWraps) {
  // 2^64 / 48 rounded up: times a 48-byte struct it wraps to a few bytes.
  file_.claimed_num_tensors = ~uint64_t{0} / 48 + 1;
  ExpectRefusal("tensor count 384307168202282326");
}
TEST_F(GgufRegressions, KeyCountTimesEntrySizeWraps) {
  file_.claimed_num_keys = ~uint64_t{0} / 32 + 1;
  ExpectRefusal("key count 576460752303423488");
}
TEST_F(GgufRegressions, StringLengthPlusOneWraps) {
  file_.keys.push_back({"text", kString, RawBytes(~uint64_t{0}) + "abc", {}});
  ExpectRefusal("string of 18446744073709551615 bytes");
}
TEST_F(GgufRegressions, ArrayCountTimesWidthWraps) {
  AddArray("list", kFloat32, (uint64_t{1} << 62) + 1, "abcd");
  ExpectRefusal("array of 4611686018427387905 float32 values");
}
TEST_F(GgufRegressions, DimensionsWrapToASmallProduct) {
  // 2^32 * 2^32 elements are 0 in 64 bits; (2^42 + 1) * 2^22 are 2^22.
  file_.tensors[1].dims = {uint64_t{1} << 32, uint64_t{1} << 32};
  ExpectRefusal("tensor 't1'");
  file_.tensors[1].dims = {(uint64_t{1} << 42) + 1, uint64_t{1} << 22};
  ExpectRefusal("more than 2^63 elements");
}
TEST_F(GgufRegressions, BytesOfTheTensorWrap) {
  file_.tensors[1].dims = {uint64_t{1} << 62};
  ExpectRefusal("tensor 't1'");
  file_.tensors[1].dims = {1, uint64_t{1} << 62};
  ExpectRefusal("tensor size overflows 64 bits");
}
TEST_F(GgufRegressions, PaddedSumOfSizesWraps) {
  // Each size passes alone; their padded sum would wrap to 0.
  for (RawTensor& tensor : file_.tensors) tensor.dims = {uint64_t{1} << 61, 1};
  file_.tensors[1].offset = uint64_t{1} << 63;
  file_.tensors[2].offset = 0;
  ExpectRefusal("ends beyond the file");
}
TEST_F(GgufRegressions, OffsetPlusSizeWraps) {
  file_.tensors[2].offset = ~uint64_t{31};
  ExpectRefusal("offset 18446744073709551584");
}

// Extent beyond the file (CVE-2026-7482: heap bytes behind a short file were served).
TEST_F(GgufRegressions, DataOneByteShort) {
  std::string bytes = file_.Serialize();
  bytes.pop_back();
  const auto file = OpenBytes(bytes);
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().where.find("'t2'"), std::string::npos);
}
TEST_F(GgufRegressions, OffsetNearTheEndOfTheFile) {
  file_.tensors[1].offset = 96;
  ExpectRefusal("tensor 't1'");
}
TEST_F(GgufRegressions, TensorsOverlap) {
  file_.tensors[2].offset = 32;
  ExpectRefusal("overlaps tensor 't");
  file_.tensors[2].offset = 64;
  file_.tensors[0].dims = {9};
  ExpectRefusal("some overlap");  // by the sum of sizes
  file_.data.assign(128, '\1');
  ExpectRefusal("data overlaps tensor 't0'");
}
TEST_F(GgufRegressions, EveryTruncationIsRefused) {
  const std::string whole = file_.Serialize();
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto file = OpenBytes(whole.substr(0, size));
    ASSERT_FALSE(file.ok()) << size;
    ASSERT_NE(file.error().where.find(" at byte "), std::string::npos) << size;
  }
}

// Allocation bombs (CVE-2025-0315): a claimed length must not become heap. OpenBytes holds the bound.
TEST_F(GgufRegressions, ClaimedStringOf64GiB) {
  file_.keys.push_back({"text", kString, RawBytes(uint64_t{1} << 36), {}});
  ExpectRefusal("key 'text'");
}
TEST_F(GgufRegressions, ClaimedArrayOfManyEmptyStrings) {
  AddArray("list", kString, uint64_t{1} << 40, std::string(800, '\0'));
  ExpectRefusal("array of 1099511627776 strings");
}
TEST_F(GgufRegressions, ArraysOfShortElementsStayWithinTheHeapBound) {
  AddArray("bytes", kUint8, 3'000'000, std::string(3'000'000, '\1'));
  AddArray("strings", kString, 400'000, std::string(3'200'000, '\0'));
  EXPECT_EQ(Refusal(), "");
  const auto file = OpenBytes(file_.Serialize());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->GetStringArray("strings").value().size(), 400'000u);
  EXPECT_EQ((*file)->GetIntArray("bytes").error().code, ErrorCode::kUnsupported);
}
TEST_F(GgufRegressions, ManyKeysAndTensorsStayWithinTheHeapBound) {
  for (uint64_t i = 1; i < kGgufMaxKeys; ++i) file_.keys.push_back({RawBytes<uint16_t>(static_cast<uint16_t>(0x2020 + i)), kUint8, "\1", {}});
  std::erase_if(file_.keys, [](const RawKey& key) { return key.name[0] < 0x20 || key.name[1] < 0x20; });
  file_.tensors.clear();
  for (uint64_t i = 0; i < kGgufMaxTensors; ++i) {
    const std::string name = {static_cast<char>('0' + i % 64), static_cast<char>('0' + i / 64 % 64), static_cast<char>('0' + i / 4096)};
    file_.tensors.push_back({name, {1}, 24, 32 * i, {}, {}});
  }
  file_.data.assign(32 * kGgufMaxTensors, '\1');
  EXPECT_EQ(Refusal(), "");
}
TEST_F(GgufRegressions, NestedArraysDoNotRecurse) {
  const std::string level = RawBytes(kArray) + RawBytes<uint64_t>(1);
  std::string value;
  for (int depth = 0; depth < 100'000; ++depth) value += level;
  value += RawBytes(kUint8) + RawBytes<uint64_t>(0);
  file_.keys.push_back({"deep", kArray, value, {}});
  ExpectRefusal("array of arrays");
}

// Type confusion: a value is never read as another type than it is stored as.
TEST_F(GgufRegressions, ScoresStoredAsBytesAreNotReadAsFloats) {
  AddArray("tokenizer.ggml.scores", kUint8, 4, "abcd");
  const auto file = OpenBytes(file_.Serialize());
  ASSERT_TRUE(file.ok());
  EXPECT_NE((*file)->GetFloatArray("tokenizer.ggml.scores").status().ToString().find("array of uint8"), std::string::npos);
}
TEST_F(GgufRegressions, AlignmentOfAnotherTypeIsRefused) {
  file_.keys.push_back({"general.alignment", kString, RawString("32"), {}});
  ExpectRefusal("general.alignment is string");
  file_.keys.back() = {"general.alignment", 10, RawBytes<uint64_t>(32), {}};
  ExpectRefusal("general.alignment is uint64");
}
TEST_F(GgufRegressions, AlignmentZeroDoesNotDivide) {
  file_.keys.push_back({"general.alignment", kUint32, RawBytes<uint32_t>(0), {}});
  ExpectRefusal("alignment 0");
}
TEST_F(GgufRegressions, ZeroDimensionDoesNotDivide) {
  file_.tensors[0].dims = {0, 8};
  ExpectRefusal("dimension 0 is 0");
  file_.tensors[0].dims = {8, 0};
  ExpectRefusal("dimension 1 is 0");
}

// Names: the first of two must not silently win, and none may carry control bytes into a log.
TEST_F(GgufRegressions, DuplicateNames) {
  file_.tensors[2].name = "t0";
  ExpectRefusal("tensor appears twice");
  file_.tensors[2].name = "t2";
  file_.keys.push_back(file_.keys[0]);
  ExpectRefusal("key appears twice");
}
TEST_F(GgufRegressions, NamesWithControlBytes) {
  file_.tensors[1].name = std::string("t\0x", 3);
  ExpectRefusal("control byte in name 't\\x00x'");
}

// Version 1 and byte order are named instead of being read as nonsense.
TEST_F(GgufRegressions, OldVersionAndByteOrder) {
  file_.version = 1;
  ExpectRefusal("GGUF version 1");
  file_.version = 0x03000000;
  ExpectRefusal("version 3 in big-endian byte order");
}

}  // namespace
}  // namespace lull
