#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace lull {
namespace {

std::string FileOf(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  memcpy(file.data(), &length, 8);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

Result<std::vector<SafetensorsTensor>> Parse(const std::string& file) {
  return ParseSafetensors({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "f");
}

constexpr char kGood[] = R"({"__metadata__":{"format":"pt"},)"
                         R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
                         R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                         R"("none":{"dtype":"I64","shape":[0,7],"data_offsets":[16,16]}}   )";

TEST(Safetensors, ReadsNamesShapesAndBytes) {
  const std::string file = FileOf(kGood, 16);
  const auto tensors = Parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status().ToString();
  ASSERT_EQ(tensors->size(), 3u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_TRUE((*tensors)[0].shape.empty());
  EXPECT_EQ((*tensors)[1].dtype, "BF16");
  EXPECT_EQ((*tensors)[1].shape, (std::vector<uint64_t>{2, 3}));
  ASSERT_EQ((*tensors)[1].data.size(), 12u);
  EXPECT_EQ((*tensors)[1].data[0], 4);
  EXPECT_TRUE((*tensors)[2].data.empty());
}

struct Malformed {
  const char* header;
  const char* says;  // part of the message or of where
};

TEST(Safetensors, RefusesWhatTheFileCannotHold) {
  const Malformed cases[] = {
      {"", "no object"},
      {"[]", "no object"},
      {"{", "not JSON"},
      {R"({"a":1})", "a number is not expected"},
      {R"({"a":null})", "null is not expected"},
      {R"({"a":{}})", "unknown dtype"},
      {R"({"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}})", "unknown dtype"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "it needs"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "it needs"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "it needs"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "it needs"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "negative"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "fraction"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "a list is not"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "that long"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "need 8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "outside"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}})", "outside"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", "outside"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "there twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"more":{}}})", "an object"},
      {R"({"__metadata__":{"a":1}})", "a number"},
      {R"({"__metadata__":{"a":{}}})", "an object"},
  };
  for (const Malformed& c : cases) {
    const auto tensors = Parse(FileOf(c.header, 16));
    ASSERT_FALSE(tensors.ok()) << c.header;
    EXPECT_NE(tensors.status().ToString().find(c.says), std::string::npos)
        << c.header << ": " << tensors.status().ToString();
  }
}

TEST(Safetensors, RefusesEveryTruncationAndSurvivesEveryChangedByte) {
  const std::string good = FileOf(kGood, 16);
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(Parse(good.substr(0, size)).ok()) << size;
  for (size_t at = 0; at < good.size() - 16; ++at) {
    for (const int change : {0x01, 0x10, 0x20, 0x80, 0xff}) {
      std::string changed = good;
      changed[at] = static_cast<char>(changed[at] ^ change);
      const auto tensors = Parse(changed);
      if (!tensors.ok()) continue;
      for (const SafetensorsTensor& tensor : *tensors) {
        const auto* end = reinterpret_cast<const uint8_t*>(changed.data()) + changed.size();
        EXPECT_LE(tensor.data.data() + tensor.data.size(), end);
      }
    }
  }
}

}  // namespace
}  // namespace lull
