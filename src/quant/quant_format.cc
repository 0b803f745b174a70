#include "quant/quant_format.h"

#include <cstring>
#include <utility>

#include "quant/block_words.h"
#include "simd/isa/scalar.h"

#define LULL_ISA scalar
LULL_BEGIN_TARGET(LULL_TARGET_scalar)
#include "quant/all_types-inl.h"
LULL_END_TARGET
#undef LULL_ISA

namespace lull {
namespace {

constexpr size_t kMaxFileBlockBytes = 256;

template <typename T>
void RepackGroup(const uint8_t* src, size_t num_rows, size_t k, uint8_t* group) {
  static_assert(T::kFileBlockBytes <= kMaxFileBlockBytes);
  static constexpr uint8_t kZeros[kMaxFileBlockBytes] = {};
  const size_t num_blocks = k / T::kBlockK;
  const uint8_t* rows[16];
  for (size_t b = 0; b < num_blocks; ++b) {
    for (size_t r = 0; r < 16; ++r) {
      rows[r] = r < num_rows ? src + (r * num_blocks + b) * T::kFileBlockBytes : kZeros;
    }
    T::RepackBlock(rows, group + b * T::kPackedBlockBytes);
  }
}

template <typename T>
void DequantizeRow(const uint8_t* group, size_t lane, size_t k, float* out) {
  for (size_t b = 0; b < k / T::kBlockK; ++b) {
    T::DequantizeBlock(group + b * T::kPackedBlockBytes, lane, out + b * T::kBlockK);
  }
}

template <typename T>
constexpr ActivationForm FormOf() {
  if (T::kFloat) return ActivationForm::kF32;
  return scalar::kIsSuper<T> ? ActivationForm::kBlocksOrSuperBlocks : ActivationForm::kBlocks;
}

template <int kIndex>
constexpr QuantFormat MakeFormat() {
  using T = typename scalar::TypeAt<kIndex>::type;
  return {T::kName,    T::kGgufTypeId, T::kBlockK,      T::kFileBlockBytes, T::kPackedBlockBytes,
          FormOf<T>(), kIndex,         &RepackGroup<T>, &DequantizeRow<T>};
}

template <typename Sequence>
struct Tables;
template <int... kIndex>
struct Tables<std::integer_sequence<int, kIndex...>> {
  static constexpr QuantFormat kFormats[] = {MakeFormat<kIndex>()...};
  static constexpr const QuantFormat* kPointers[] = {&kFormats[kIndex]...};
};
using AllTables = Tables<std::make_integer_sequence<int, scalar::kNumTypes>>;

}  // namespace

const QuantFormat* FindQuantFormat(uint32_t gguf_type_id) {
  for (const QuantFormat& format : AllTables::kFormats) {
    if (format.gguf_type_id == gguf_type_id) return &format;
  }
  return nullptr;
}

const QuantFormat* FindQuantFormatByName(const char* name) {
  for (const QuantFormat& format : AllTables::kFormats) {
    if (std::strcmp(format.name, name) == 0) return &format;
  }
  return nullptr;
}

const QuantFormat* const* AllQuantFormats(size_t* count) {
  *count = scalar::kNumTypes;
  return AllTables::kPointers;
}

}  // namespace lull
