// Every type's dequantised values against goldens of the gguf Python package
// (tools/make_quant_goldens.py), from every lane, and the sizes of the interleaved layout.
#include "quant/quant_format.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/random_quant.h"

namespace lull {
namespace {

struct Golden {
  uint32_t type_id = 0, blocks = 0, block_bytes = 0, block_weights = 0;
  std::vector<uint8_t> bytes;
  std::vector<float> weights;
};

Golden ReadGolden(const std::string& name) {
  std::ifstream in(std::string(LULL_SOURCE_DIR) + "/tests/quant/goldens/" + name + ".bin",
                   std::ios::binary);
  const std::vector<char> all((std::istreambuf_iterator<char>(in)),
                              std::istreambuf_iterator<char>());
  Golden g;
  if (all.size() < 16) return g;
  uint32_t header[4];
  memcpy(header, all.data(), 16);
  g.type_id = header[0], g.blocks = header[1], g.block_bytes = header[2],
  g.block_weights = header[3];
  g.bytes.resize(size_t{g.blocks} * g.block_bytes);
  g.weights.resize(size_t{g.blocks} * g.block_weights);
  if (all.size() != 16 + g.bytes.size() + 4 * g.weights.size()) return Golden{};
  memcpy(g.bytes.data(), all.data() + 16, g.bytes.size());
  memcpy(g.weights.data(), all.data() + 16 + g.bytes.size(), 4 * g.weights.size());
  return g;
}

class QuantTest : public testing::TestWithParam<const QuantFormat*> {};

TEST_P(QuantTest, DequantizesTheGgufPackagesBitsFromEveryLane) {
  const QuantFormat& format = *GetParam();
  const Golden golden = ReadGolden(format.name);
  ASSERT_EQ(golden.type_id, format.gguf_type_id) << "golden missing or damaged";
  ASSERT_EQ(golden.block_bytes, format.file_block_bytes);
  ASSERT_EQ(golden.block_weights, format.block_k);
  const size_t k = golden.weights.size();
  for (size_t lane = 0; lane < 16; ++lane) {
    std::mt19937 rng(static_cast<unsigned>(lane));
    std::vector<uint8_t> file = RandomFileRows(format, 16, k, rng);
    memcpy(&file[lane * golden.bytes.size()], golden.bytes.data(), golden.bytes.size());
    std::vector<uint8_t> group(format.GroupBytes(k));
    format.repack_group(file.data(), 16, k, group.data());
    std::vector<float> got(k);
    format.dequantize_row(group.data(), lane, k, got.data());
    for (size_t i = 0; i < k; ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(golden.weights[i]), std::bit_cast<uint32_t>(got[i]))
          << "lane " << lane << " weight " << i << ": " << golden.weights[i] << " against "
          << got[i];
    }
  }
}

// TQ1_0 alone is unpacked on loading, to pairs of bits.
bool KeepsFileBytes(const QuantFormat& format) { return format.name != std::string("TQ1_0"); }

TEST_P(QuantTest, TakesTheBytesOfTheFile) {
  const QuantFormat& format = *GetParam();
  EXPECT_EQ(format.packed_block_bytes,
            KeepsFileBytes(format) ? 16 * format.file_block_bytes : size_t{16 * 66});
}

TEST_P(QuantTest, RepackWritesEveryByteAndNothingElse) {
  const QuantFormat& format = *GetParam();
  std::mt19937 rng(1);
  const size_t k = 3 * 256;
  const std::vector<uint8_t> file = RandomFileRows(format, 16, k, rng);
  std::vector<uint8_t> a(format.GroupBytes(k) + 64, 0x5a), b(format.GroupBytes(k) + 64, 0xa5);
  format.repack_group(file.data(), 16, k, a.data());
  format.repack_group(file.data(), 16, k, b.data());
  EXPECT_EQ(0, memcmp(a.data(), b.data(), format.GroupBytes(k)));
  for (size_t i = format.GroupBytes(k); i < a.size(); ++i) EXPECT_EQ(a[i], 0x5a);
}

// A file row's bit decides its weight: no two different rows share a packed form.
TEST_P(QuantTest, RepackLosesNothing) {
  const QuantFormat& format = *GetParam();
  if (!KeepsFileBytes(format)) GTEST_SKIP() << "several bytes stand for the same five trits";
  std::mt19937 rng(2);
  const size_t k = 256;
  std::vector<uint8_t> file = RandomFileRows(format, 16, k, rng);
  std::vector<uint8_t> base(format.GroupBytes(k)), changed(format.GroupBytes(k));
  format.repack_group(file.data(), 16, k, base.data());
  const size_t row_bytes = file.size() / 16;
  for (size_t bit = 0; bit < 8 * row_bytes; ++bit) {
    uint8_t& byte = file[7 * row_bytes + bit / 8];
    byte = static_cast<uint8_t>(byte ^ 1u << bit % 8);
    format.repack_group(file.data(), 16, k, changed.data());
    byte = static_cast<uint8_t>(byte ^ 1u << bit % 8);
    int bits = 0;
    for (size_t i = 0; i < base.size(); ++i)
      bits += std::popcount(static_cast<uint8_t>(base[i] ^ changed[i]));
    ASSERT_EQ(bits, 1) << "bit " << bit;
  }
}

TEST_P(QuantTest, MissingRowsAreZeros) {
  const QuantFormat& format = *GetParam();
  std::mt19937 rng(3);
  const size_t k = 512;
  for (const size_t rows : {1, 5, 15}) {
    // Exactly as many bytes as there are rows: reading past them is an error under ASan.
    const std::vector<uint8_t> file = RandomFileRows(format, rows, k, rng);
    std::vector<uint8_t> group(format.GroupBytes(k), 0xff);
    format.repack_group(file.data(), rows, k, group.data());
    std::vector<float> row(k);
    for (size_t lane = rows; lane < 16; ++lane) {
      format.dequantize_row(group.data(), lane, k, row.data());
      for (const float f : row) ASSERT_EQ(f, 0.0f);
    }
  }
}

// Every byte of trits, at each of its places in a block, as its definition reads.
TEST(QuantTypes, TritsOfEveryByte) {
  const QuantFormat& format = *FindQuantFormatByName("TQ1_0");
  for (uint32_t value = 0; value < 256; ++value) {
    std::vector<uint8_t> file(format.file_block_bytes, static_cast<uint8_t>(value));
    const uint16_t one = F32ToF16(1.0f);
    memcpy(&file[52], &one, 2);
    std::vector<uint8_t> group(format.packed_block_bytes);
    format.repack_group(file.data(), 1, 256, group.data());
    float got[256];
    format.dequantize_row(group.data(), 0, 256, got);
    for (size_t i = 0; i < 256; ++i) {
      const size_t trit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
      uint32_t rest = value;
      for (size_t n = 0; n < trit; ++n) rest = rest * 3 % 256;
      ASSERT_EQ(got[i], static_cast<float>(rest * 3 / 256) - 1.0f) << value << " weight " << i;
    }
  }
}

TEST(QuantFormats, AreFoundByIdAndName) {
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  ASSERT_GE(count, 20u);  // a type is added, never taken away
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(formats[i]->index, static_cast<int>(i));
    EXPECT_EQ(FindQuantFormat(formats[i]->gguf_type_id), formats[i]);
    EXPECT_EQ(FindQuantFormatByName(formats[i]->name), formats[i]);
  }
  EXPECT_EQ(FindQuantFormat(4), nullptr);  // Q4_2, withdrawn
  EXPECT_EQ(FindQuantFormatByName("Q4_2"), nullptr);
}

std::vector<const QuantFormat*> Formats() {
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  return {formats, formats + count};
}
INSTANTIATE_TEST_SUITE_P(Types, QuantTest, testing::ValuesIn(Formats()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace lull
