#include "quantize/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "formats/gguf_writer.h"
#include "tests/support/random_weights.h"
#include "tests/support/raw_gguf.h"

namespace lull {
namespace {

ImportanceMatrix Sample() {
  ImportanceMatrix matrix;
  matrix.tensors["blk.0.attn_q.weight"] = {{1.0f, 2.0f, 3.0f, 4.0f}, {2.0f}};
  matrix.tensors["blk.0.ffn_up_exps.weight"] = {{1, 2, 3, 4, 5, 6, 7, 8}, {4.0f, 0.0f}};
  matrix.datasets = {"a.txt", "b.txt"};
  matrix.chunks = 9;
  matrix.chunk_tokens = 512;
  return matrix;
}

template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string SampleDat() {
  std::string bytes;
  Append(&bytes, int32_t{2});
  for (const char* name : {"one", "two"}) {
    Append(&bytes, int32_t{3});
    bytes += name;
    Append(&bytes, int32_t{4});  // times
    Append(&bytes, int32_t{2});
    Append(&bytes, 8.0f);
    Append(&bytes, 2.0f);
  }
  Append(&bytes, int32_t{4});
  Append(&bytes, int32_t{5});
  bytes += "a.txt";
  return bytes;
}

Result<ImportanceMatrix> ParseDat(const std::string& bytes) {
  return ParseImportanceDat({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "dat");
}

TEST(Importance, ReadsWhatItWrote) {
  const TemporaryDirectory directory;
  const std::string path = directory.File("m.gguf");
  ASSERT_TRUE(Sample().Write(path, /*durable=*/false).ok());
  const auto read = ImportanceMatrix::Read(path);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  const ImportanceMatrix want = Sample();
  ASSERT_EQ(read->tensors.size(), 2u);
  for (const auto& [name, entry] : want.tensors) {
    EXPECT_EQ(read->tensors.at(name).sums, entry.sums);
    EXPECT_EQ(read->tensors.at(name).counts, entry.counts);
  }
  EXPECT_EQ(read->datasets, want.datasets);
  EXPECT_EQ(read->chunks, 9u);
  EXPECT_EQ(read->chunk_tokens, 512u);
  // As llama.cpp has it.
  const auto file = GgufFile::Open(path);
  EXPECT_EQ((*file)->GetString("general.type").value(), "imatrix");
  using Dims = std::vector<uint64_t>;
  EXPECT_EQ((*file)->FindTensor("blk.0.ffn_up_exps.weight.in_sum2")->dims, (Dims{4, 2}));
  EXPECT_EQ((*file)->FindTensor("blk.0.ffn_up_exps.weight.counts")->dims, (Dims{1, 2}));
}

TEST(Importance, MeansOfSlices) {
  const Importance experts = Sample().tensors["blk.0.ffn_up_exps.weight"];
  GgufTensor tensor;
  tensor.dims = {4, 7, 2};
  EXPECT_TRUE(experts.Fits(tensor));
  EXPECT_EQ(experts.Means(4, 0), (std::vector<float>{0.25f, 0.5f, 0.75f, 1.0f}));
  EXPECT_TRUE(experts.Means(4, 1).empty());  // no row went there
  tensor.dims = {4, 7, 3};
  EXPECT_FALSE(experts.Fits(tensor));
  tensor.dims = {8, 7};
  EXPECT_FALSE(experts.Fits(tensor));  // two counts for one slice
  const Importance shared = Sample().tensors["blk.0.attn_q.weight"];
  tensor.dims = {4, 7, 5};
  EXPECT_TRUE(shared.Fits(tensor));
  EXPECT_EQ(shared.Means(4, 3), (std::vector<float>{0.5f, 1.0f, 1.5f, 2.0f}));
}

TEST(Importance, ReadsTheOlderFormat) {
  const TemporaryDirectory directory;
  WriteFileBytes(directory.File("m.dat"), SampleDat());
  const auto read = ImportanceMatrix::Read(directory.File("m.dat"));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->tensors.at("two").Means(2, 0), (std::vector<float>{2.0f, 0.5f}));
  EXPECT_EQ(read->chunks, 4u);
  EXPECT_EQ(read->datasets, std::vector<std::string>{"a.txt"});
  const size_t entries = SampleDat().size() - 4 - 4 - 5;  // what follows may be missing
  EXPECT_TRUE(ParseDat(SampleDat().substr(0, entries)).ok());
  for (size_t size = 0; size < entries; ++size)
    EXPECT_EQ(ParseDat(SampleDat().substr(0, size)).status().code(), ErrorCode::kInvalidInput);
}

TEST(Importance, RefusesWhatIsNone) {
  const TemporaryDirectory directory;
  const std::string path = directory.File("m.gguf");
  const auto read = [&](const std::string& sums_name, uint32_t type, std::vector<float> sums,
                        std::vector<uint64_t> counts_dims) {
    GgufWriter writer;
    writer.set_durable(false);
    std::vector<uint8_t> bytes(sums.size() * 4);
    memcpy(bytes.data(), sums.data(), bytes.size());
    writer.AddTensor(sums_name, type, {sums.size() * (type == 0 ? 1 : 2)}, bytes);
    writer.AddTensor("w.counts", 0, counts_dims, std::vector<uint8_t>(4 * counts_dims[0], 0));
    EXPECT_TRUE(writer.Write(path).ok());
    return ImportanceMatrix::Read(path).status().code();
  };
  EXPECT_EQ(read("w.in_sum2", 0, {1, 2, 3}, {1}), ErrorCode::kOk);
  EXPECT_EQ(read("w.in_sum2", 0, {1, 2, 3}, {2}), ErrorCode::kInvalidInput);
  EXPECT_EQ(read("w.in_sum2", 0, {1, -2, 3}, {1}), ErrorCode::kInvalidInput);
  EXPECT_EQ(read("w.in_sum2", 0, {1, std::nanf(""), 3}, {1}), ErrorCode::kInvalidInput);
  EXPECT_EQ(read("w.in_sum2", 0, {std::numeric_limits<float>::infinity()}, {1}),
            ErrorCode::kInvalidInput);
  EXPECT_EQ(read("w.in_sum2", 1, {1, 2, 3}, {1}), ErrorCode::kInvalidInput);
  EXPECT_EQ(read("v.in_sum2", 0, {1, 2, 3}, {1}), ErrorCode::kInvalidInput);
  EXPECT_EQ(read("token_embd.weight", 0, {1, 2, 3}, {1}), ErrorCode::kInvalidInput);
  EXPECT_EQ(ImportanceMatrix::Read(directory.File("none")).status().code(), ErrorCode::kNotFound);
  WriteFileBytes(path, "");
  EXPECT_EQ(ImportanceMatrix::Read(path).status().code(), ErrorCode::kInvalidInput);
}

TEST(Importance, MutationsNeverCrash) {
  const TemporaryDirectory directory;
  const std::string path = directory.File("m.gguf");
  ASSERT_TRUE(Sample().Write(path, /*durable=*/false).ok());
  const std::string gguf = ReadFileBytes(path), dat = SampleDat();
  for (uint64_t i = 0; i < 2000; ++i) {
    TestRandom random(i);
    const bool older = i % 8 != 0;  // the other reader has a test like this one of its own
    std::string bytes = older ? dat : gguf;
    for (uint64_t edits = 1 + random.Below(3); edits > 0; --edits) {
      const size_t at = random.Below(bytes.size());
      const int32_t values[] = {0, -1, 1, std::numeric_limits<int32_t>::max(), 64};
      const int32_t value = values[random.Below(std::size(values))];
      if (random.Below(3) == 0)
        bytes[at] = static_cast<char>(random.Next());
      else
        memcpy(&bytes[at], &value, std::min<size_t>(4, bytes.size() - at));
    }
    if (random.Below(8) == 0) bytes.resize(random.Below(bytes.size()));
    if (!older) WriteFileBytes(path, bytes);
    const auto read = older ? ParseDat(bytes) : ImportanceMatrix::Read(path);
    if (!read.ok()) {
      EXPECT_FALSE(read.error().where.empty());
      continue;
    }
    for (const auto& [name, entry] : read->tensors) {
      GgufTensor tensor;
      tensor.dims = {4, 1, 2};
      if (!entry.Fits(tensor)) continue;
      for (const uint64_t slice : {0, 1})
        for (const float mean : entry.Means(4, slice)) EXPECT_GE(mean, 0.0f);
    }
  }
}

}  // namespace
}  // namespace lull
