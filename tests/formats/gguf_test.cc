// What is written is what is read: every value type, tensors, split files, errors that name things.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "formats/file_type.h"
#include "formats/gguf_writer.h"
#include "tests/support/raw_gguf.h"

namespace lull {
namespace {

std::vector<uint8_t> Counting(size_t size, uint8_t first) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(first + i);
  return bytes;
}

class GgufTest : public ::testing::Test {
 protected:
  std::unique_ptr<GgufFile> WriteAndOpen(const GgufWriter& writer) {
    const std::string path = directory_.File("model.gguf");
    const Status written = writer.Write(path);
    EXPECT_TRUE(written.ok()) << written.ToString();
    auto file = GgufFile::Open(path);
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? std::move(*file) : nullptr;
  }
  Error OpenError(const std::string& path) {
    auto file = GgufFile::Open(path);
    EXPECT_FALSE(file.ok());
    return file.ok() ? Error{} : file.error();
  }

  TemporaryDirectory directory_;
};

TEST_F(GgufTest, TheTypeOfAFileIsWhatItSaysOrWhatMostBytesHave) {
  const auto type_of = [&](std::optional<uint32_t> file_type) {
    GgufWriter writer;
    if (file_type.has_value()) writer.AddUint32("general.file_type", *file_type);
    writer.AddTensor("a", 0, {32, 1}, Counting(128, 0));  // F32
    writer.AddTensor("b", 8, {32, 2}, Counting(68, 0));   // Q8_0
    const auto file = WriteAndOpen(writer);
    return file == nullptr ? "" : FileTypeOf(*file);
  };
  EXPECT_EQ(type_of(15), "Q4_K_M");
  EXPECT_EQ(type_of(std::nullopt), "F32");
  EXPECT_EQ(type_of(4711), "F32") << "a number that nobody knows";
  EXPECT_EQ(FindFileType("Q4_K_M"), 15u);
  EXPECT_EQ(FindFileType("Q4_K_X"), std::nullopt);
  EXPECT_STREQ(FileTypeName(4), "") << "a type that is no more";
}

TEST_F(GgufTest, ScalarsOfEveryType) {
  GgufWriter writer;
  writer.AddUint8("u8", 255);
  writer.AddInt8("i8", -128);
  writer.AddUint16("u16", 65535);
  writer.AddInt16("i16", -32768);
  writer.AddUint32("u32", 4294967295u);
  writer.AddInt32("i32", std::numeric_limits<int32_t>::min());
  writer.AddUint64("u64", ~uint64_t{0});
  writer.AddInt64("i64", std::numeric_limits<int64_t>::min());
  writer.AddFloat32("f32", 1.5f);
  writer.AddFloat64("f64", 0.1);
  writer.AddBool("yes", true);
  writer.AddBool("no", false);
  writer.AddString("text", std::string("a\0b", 3));
  const auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->GetUint("u8").value(), 255u);
  EXPECT_EQ(file->GetInt("i8").value(), -128);
  EXPECT_EQ(file->GetUint("u16").value(), 65535u);
  EXPECT_EQ(file->GetInt("i16").value(), -32768);
  EXPECT_EQ(file->GetUint("u32").value(), 4294967295u);
  EXPECT_EQ(file->GetInt("u32").value(), 4294967295);
  EXPECT_EQ(file->GetInt("i32").value(), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(file->GetUint("u64").value(), ~uint64_t{0});
  EXPECT_EQ(file->GetInt("i64").value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(file->GetFloat("f32").value(), 1.5);
  EXPECT_EQ(file->GetFloat("f64").value(), 0.1);
  EXPECT_TRUE(file->GetBool("yes").value());
  EXPECT_FALSE(file->GetBool("no").value());
  EXPECT_EQ(file->GetString("text").value(), std::string_view("a\0b", 3));
  EXPECT_EQ(file->Keys().front(), "u8");
  EXPECT_EQ(file->Keys().size(), 13u);
  EXPECT_EQ(file->TypeOf("f64"), GgufValueType::kFloat64);
  EXPECT_EQ(file->TypeOf("absent"), std::nullopt);
  EXPECT_FALSE(file->Has("u"));
}

TEST_F(GgufTest, IntegersThatDoNotFitAreErrorsThatNameTheKey) {
  GgufWriter writer;
  writer.AddInt16("minus", -7);
  writer.AddUint64("large", ~uint64_t{0});
  const auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  EXPECT_NE(file->GetUint("minus").status().ToString().find("-7 is negative"), std::string::npos);
  EXPECT_NE(file->GetUint("minus").error().where.find("'minus' at byte " +
                                                      std::to_string(file->OffsetOf("minus"))),
            std::string::npos);
  EXPECT_FALSE(file->GetInt("large").ok());
  EXPECT_EQ(file->GetUint("absent").error().code, ErrorCode::kInvalidModel);
  EXPECT_NE(file->GetUint("absent").error().message.find("'absent' is missing"), std::string::npos);
}

TEST_F(GgufTest, NothingIsConvertedBetweenKinds) {
  GgufWriter writer;
  writer.AddUint32("u32", 1);
  writer.AddFloat32("f32", 1.0f);
  writer.AddBool("flag", true);
  writer.AddString("text", "1");
  writer.AddUint8Array("bytes", std::vector<uint8_t>{1, 2});
  const auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  for (const char* key : {"f32", "flag", "text", "bytes"}) {
    EXPECT_FALSE(file->GetUint(key).ok()) << key;
    EXPECT_FALSE(file->GetInt(key).ok()) << key;
  }
  for (const char* key : {"u32", "flag", "text", "bytes"})
    EXPECT_FALSE(file->GetFloat(key).ok()) << key;
  for (const char* key : {"u32", "f32", "text", "bytes"})
    EXPECT_FALSE(file->GetBool(key).ok()) << key;
  for (const char* key : {"u32", "f32", "flag", "bytes"})
    EXPECT_FALSE(file->GetString(key).ok()) << key;
  for (const char* key : {"u32", "f32", "flag", "text"}) {
    EXPECT_FALSE(file->GetIntArray(key).ok()) << key;
    EXPECT_FALSE(file->ArraySize(key).ok()) << key;
  }
  EXPECT_FALSE(file->GetFloatArray("bytes").ok());
  EXPECT_FALSE(file->GetStringArray("bytes").ok());
  EXPECT_NE(file->GetFloatArray("bytes").error().message.find("array of uint8"), std::string::npos);
}

TEST_F(GgufTest, ArraysOfEveryType) {
  GgufWriter writer;
  writer.AddUint8Array("u8", std::vector<uint8_t>{0, 255});
  writer.AddInt8Array("i8", std::vector<int8_t>{-128, 127});
  writer.AddUint16Array("u16", std::vector<uint16_t>{0, 65535});
  writer.AddInt16Array("i16", std::vector<int16_t>{-32768, 32767});
  writer.AddUint32Array("u32", std::vector<uint32_t>{0, 4294967295u});
  writer.AddInt32Array("i32", std::vector<int32_t>{-5, 5});
  writer.AddUint64Array("u64", std::vector<uint64_t>{1, 2, 3});
  writer.AddUint64Array("u64_large", std::vector<uint64_t>{1, ~uint64_t{0}});
  writer.AddInt64Array("i64", std::vector<int64_t>{std::numeric_limits<int64_t>::min()});
  writer.AddFloat32Array("f32", std::vector<float>{0.25f, -3.0f});
  writer.AddFloat64Array("f64", std::vector<double>{0.5});
  writer.AddBoolArray("bool", {true, false, true});
  writer.AddStringArray("text", std::vector<std::string>{"", "one", "zwei"});
  writer.AddStringArray("none", {});
  const auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  using Ints = std::vector<int64_t>;
  EXPECT_EQ(file->GetIntArray("u8").value(), (Ints{0, 255}));
  EXPECT_EQ(file->GetIntArray("i8").value(), (Ints{-128, 127}));
  EXPECT_EQ(file->GetIntArray("u16").value(), (Ints{0, 65535}));
  EXPECT_EQ(file->GetIntArray("i16").value(), (Ints{-32768, 32767}));
  EXPECT_EQ(file->GetIntArray("u32").value(), (Ints{0, 4294967295}));
  EXPECT_EQ(file->GetIntArray("i32").value(), (Ints{-5, 5}));
  EXPECT_EQ(file->GetIntArray("u64").value(), (Ints{1, 2, 3}));
  EXPECT_FALSE(file->GetIntArray("u64_large").ok());
  EXPECT_EQ(file->GetIntArray("i64").value(), (Ints{std::numeric_limits<int64_t>::min()}));
  EXPECT_EQ(file->GetIntArray("bool").value(), (Ints{1, 0, 1}));
  EXPECT_EQ(file->GetFloatArray("f32").value(), (std::vector<float>{0.25f, -3.0f}));
  EXPECT_EQ(file->GetFloatArray("f64").value(), (std::vector<float>{0.5f}));
  EXPECT_EQ(file->GetStringArray("text").value(),
            (std::vector<std::string_view>{"", "one", "zwei"}));
  EXPECT_EQ(file->ArraySize("none").value(), 0u);
  EXPECT_EQ(file->Describe("text"), "['', 'one', 'zwei']");
  EXPECT_EQ(file->Describe("f32"), "[0.25, -3]");
  EXPECT_EQ(file->Describe("absent"), "(absent)");
}

TEST_F(GgufTest, TensorsKeepNameTypeShapeAndBytes) {
  GgufWriter writer;
  writer.AddTensor("first", 0, {3, 2}, Counting(24, 1));
  writer.AddTensor("second", 2, {64, 1, 3}, Counting(36 * 3, 7));
  uint64_t asked_rows = 0;
  writer.AddTensor("streamed", 24, {100000, 30}, [&](uint64_t first, uint64_t rows, uint8_t* out) {
    asked_rows += rows;
    for (uint64_t r = 0; r < rows; ++r)
      memset(out + r * 100000, static_cast<int>(first + r), 100000);
  });
  for (const uint32_t alignment : {8u, 32u, 4096u}) {
    asked_rows = 0;
    writer.set_alignment(alignment);
    const auto file = WriteAndOpen(writer);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(asked_rows, 30u);
    ASSERT_EQ(file->tensors().size(), 3u);
    const GgufTensor* first = file->FindTensor("first");
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(first->dims, (std::vector<uint64_t>{3, 2}));
    EXPECT_EQ(first->type_id, 0u);
    EXPECT_EQ(std::vector<uint8_t>(first->data.begin(), first->data.end()), Counting(24, 1));
    EXPECT_EQ(first->file_offset % alignment, 0u);
    const GgufTensor* second = file->FindTensor("second");
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(second->data.size(), 108u);
    EXPECT_EQ(second->data[107], static_cast<uint8_t>(7 + 107));
    const GgufTensor* streamed = file->FindTensor("streamed");
    ASSERT_NE(streamed, nullptr);
    EXPECT_EQ(streamed->data[29 * 100000], 29);
    file->DropPages(*streamed);
    EXPECT_EQ(streamed->data[28 * 100000], 28);
    EXPECT_EQ(file->FindTensor("third"), nullptr);
    EXPECT_EQ(file->FindTensor(""), nullptr);
  }
}

TEST_F(GgufTest, VersionTwoAndFilesWithoutTensors) {
  GgufWriter writer;
  writer.set_version(2);
  writer.AddString("general.architecture", "llama");
  auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->version(), 2u);
  EXPECT_TRUE(file->tensors().empty());
}

TEST_F(GgufTest, EveryStatedTypeOpens) {
  GgufWriter writer;
  int types = 0;
  for (uint32_t id = 0; id < 64; ++id) {
    const Result<uint64_t> bytes = GgufRowBytes(id, 256);
    if (!bytes.ok()) {
      EXPECT_STREQ(GgufTypeName(id), "unknown");
      EXPECT_EQ(bytes.error().code, ErrorCode::kUnsupported);
      continue;
    }
    ++types;
    writer.AddTensor(GgufTypeName(id), id, {256, 2}, std::vector<uint8_t>(*bytes * 2, 1));
  }
  EXPECT_EQ(types, 35);
  const auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->tensors().size(), 35u);
}

TEST(GgufRowBytes, KnownSizesAndRefusals) {
  EXPECT_EQ(GgufRowBytes(0, 5).value(), 20u);
  EXPECT_EQ(GgufRowBytes(3, 64).value(), 40u);
  EXPECT_EQ(GgufRowBytes(12, 512).value(), 288u);
  EXPECT_EQ(GgufRowBytes(14, 256).value(), 210u);
  EXPECT_FALSE(GgufRowBytes(2, 33).ok());
  EXPECT_FALSE(GgufRowBytes(12, 128).ok());
  EXPECT_FALSE(GgufRowBytes(28, ~uint64_t{0}).ok());
  EXPECT_FALSE(GgufRowBytes(4, 32).ok());
}

class GgufSplitTest : public GgufTest {
 protected:
  void SetUp() override {
    writer_.set_durable(false);
    writer_.AddString("general.architecture", "llama");
    for (int i = 0; i < 7; ++i)
      writer_.AddTensor(std::string("t") + std::to_string(i), 24, {40},
                        Counting(40, static_cast<uint8_t>(i)));
    const Status status = writer_.WriteSplit(directory_.File("m"), 3);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  std::string Part(int number, int count = 3) {
    return directory_.File(std::string("m-0000") + std::to_string(number) + "-of-0000" +
                           std::to_string(count) + ".gguf");
  }
  // Rewrites one key of one part.
  void SetKey(int number, const std::string& key, uint32_t type_id, const std::string& value) {
    RawGguf part = RawGguf::Parse(ReadFileBytes(Part(number)));
    part.FindKey(key)->type_id = type_id;
    part.FindKey(key)->value = value;
    WriteFileBytes(Part(number), part.Serialize());
  }

  GgufWriter writer_;
};

TEST_F(GgufSplitTest, AnyPartOpensTheWhole) {
  for (const int number : {1, 2, 3}) {
    auto file = GgufFile::Open(Part(number));
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    ASSERT_EQ((*file)->tensors().size(), 7u);
    EXPECT_EQ((*file)->GetString("general.architecture").value(), "llama");
    EXPECT_EQ((*file)->FindTensor("t6")->data[0], 6);
    EXPECT_EQ((*file)->FindTensor("t6")->file_index, 2);
    EXPECT_EQ((*file)->FindTensor("t0")->file_index, 0);
    const uint64_t bytes = ReadFileBytes(Part(1)).size() + ReadFileBytes(Part(2)).size() +
                           ReadFileBytes(Part(3)).size();
    EXPECT_EQ((*file)->file_bytes(), bytes);
  }
}

TEST_F(GgufSplitTest, MissingPartIsNamed) {
  ASSERT_EQ(remove(Part(2).c_str()), 0);
  const Error error = OpenError(Part(1));
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_NE(error.where.find("m-00002-of-00003.gguf"), std::string::npos);
}

TEST_F(GgufSplitTest, PartsInTheWrongPlaceAreRefused) {
  WriteFileBytes(Part(2), ReadFileBytes(Part(3)));
  EXPECT_NE(OpenError(Part(1)).message.find("number 2 of 3"), std::string::npos);
}

TEST_F(GgufSplitTest, CountAndNameMustAgree) {
  SetKey(1, "split.count", 2, RawBytes<uint16_t>(2));
  EXPECT_NE(OpenError(Part(1)).message.find("split.count is 2"), std::string::npos);
  SetKey(1, "split.count", 4, RawBytes<uint32_t>(1u << 31));
  EXPECT_NE(OpenError(Part(1)).message.find("2147483648"), std::string::npos);
  SetKey(1, "split.count", 6, RawBytes(3.0f));
  EXPECT_NE(OpenError(Part(1)).where.find("split.count"), std::string::npos);
  WriteFileBytes(directory_.File("renamed.gguf"), ReadFileBytes(Part(2)));
  EXPECT_NE(OpenError(directory_.File("renamed.gguf")).hint.find("00001-of-00003"),
            std::string::npos);
  WriteFileBytes(Part(4), ReadFileBytes(Part(2)));
  EXPECT_FALSE(GgufFile::Open(Part(4)).ok());
}

TEST_F(GgufSplitTest, TensorCountIsChecked) {
  SetKey(1, "split.tensors.count", 5, RawBytes<int32_t>(8));
  const Error error = OpenError(Part(3));
  EXPECT_NE(error.message.find("is 8, but the 3 parts hold 7"), std::string::npos);
}

TEST_F(GgufSplitTest, TensorInTwoPartsIsRefused) {
  RawGguf part = RawGguf::Parse(ReadFileBytes(Part(2)));
  part.tensors[0].name = "t0";
  WriteFileBytes(Part(2), part.Serialize());
  EXPECT_NE(OpenError(Part(1)).where.find("'t0'"), std::string::npos);
}

TEST_F(GgufTest, WriterRefusesWhatCannotBeRead) {
  const std::string path = directory_.File("bad.gguf");
  const auto refused = [&](const auto& edit) {
    GgufWriter writer;
    edit(writer);
    const Status status = writer.Write(path);
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(GgufFile::Open(path).ok()) << "nothing may appear under the name";
    return status.error();
  };
  EXPECT_NE(
      refused([](GgufWriter& w) { w.AddTensor("a", 0, {4}, Counting(15, 0)); }).where.find("'a'"),
      std::string::npos);
  refused([](GgufWriter& w) {
    w.AddTensor("a", 0, {1}, Counting(4, 0));
    w.AddTensor("a", 0, {1}, Counting(4, 0));
  });
  refused([](GgufWriter& w) { w.AddTensor("a", 99, {1}, Counting(4, 0)); });
  refused([](GgufWriter& w) { w.AddTensor("a", 0, {}, Counting(4, 0)); });
  refused([](GgufWriter& w) { w.AddTensor("a", 0, {1, 1, 1, 1, 1}, Counting(4, 0)); });
  refused([](GgufWriter& w) { w.AddTensor("a", 0, {0}, Counting(0, 0)); });
  refused([](GgufWriter& w) {
    w.AddTensor("a", 0, {uint64_t{1} << 40, uint64_t{1} << 40}, Counting(4, 0));
  });
  refused([](GgufWriter& w) { w.set_alignment(24); });
  refused([](GgufWriter& w) { w.set_version(1); });
  refused([](GgufWriter& w) { w.AddUint8("", 1); });
  GgufWriter writer;
  EXPECT_EQ(writer.Write(directory_.File("no/such/directory.gguf")).code(), ErrorCode::kIo);
}

TEST_F(GgufTest, KeysAreReplacedAndRemoved) {
  GgufWriter writer;
  writer.AddUint32("a", 1);
  writer.AddUint32("b", 2);
  writer.AddString("a", "new");
  writer.RemoveKey("b");
  const auto file = WriteAndOpen(writer);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->Keys(), std::vector<std::string>{"a"});
  EXPECT_EQ(file->GetString("a").value(), "new");
}

TEST_F(GgufTest, PathsThatAreNoModelFiles) {
  EXPECT_EQ(OpenError(directory_.File("absent.gguf")).code, ErrorCode::kNotFound);
  EXPECT_EQ(OpenError(directory_.File("")).code, ErrorCode::kInvalidInput);
  EXPECT_EQ(OpenError("/dev/zero").code, ErrorCode::kInvalidInput);
}

}  // namespace
}  // namespace lull
