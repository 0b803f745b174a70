#include "quantize/quantize.h"

#include <cfloat>
#include <cstring>
#include <string>
#include <vector>

#include "quantize/block_quantizers.h"

namespace lull {
namespace {

using BlockFn = void (*)(const quantize::WeightRun&, uint8_t*);
struct BlockQuantizer {
  const char* type;
  BlockFn quantize;
};

#define LULL_QUANTIZER(Type) \
  { #Type, &quantize::Quantize##Type }
constexpr BlockQuantizer kQuantizers[] = {
    LULL_QUANTIZER(Q4_0),  LULL_QUANTIZER(Q4_1),  LULL_QUANTIZER(Q5_0),   LULL_QUANTIZER(Q5_1),
    LULL_QUANTIZER(Q8_0),  LULL_QUANTIZER(Q2_K),  LULL_QUANTIZER(Q3_K),   LULL_QUANTIZER(Q4_K),
    LULL_QUANTIZER(Q5_K),  LULL_QUANTIZER(Q6_K),  LULL_QUANTIZER(IQ4_NL), LULL_QUANTIZER(IQ4_XS),
    LULL_QUANTIZER(MXFP4), LULL_QUANTIZER(TQ1_0), LULL_QUANTIZER(TQ2_0),  LULL_QUANTIZER(Q1_0),
    LULL_QUANTIZER(Q2_0),
};
#undef LULL_QUANTIZER

BlockFn FindQuantizer(const QuantFormat& format) {
  for (const BlockQuantizer& quantizer : kQuantizers) {
    if (std::strcmp(quantizer.type, format.name) == 0) return quantizer.quantize;
  }
  return nullptr;
}

Status CheckSizes(const QuantFormat& format, size_t weights, size_t k, size_t importance,
                  size_t bytes) {
  if (k == 0 || k % format.block_k != 0 || weights % k != 0)
    return Status(ErrorCode::kUsage, std::string(format.name) + " has blocks of " +
                                         std::to_string(format.block_k) + " weights, rows of " +
                                         std::to_string(k) + " do not divide into them");
  if (importance != 0 && importance != k)
    return Status(ErrorCode::kUsage, "as many importances as columns are wanted");
  if (bytes != weights / format.block_k * format.file_block_bytes)
    return Status(ErrorCode::kUsage, "the output has another size than the blocks");
  return Status();
}

Status CheckValues(std::span<const float> rows, size_t k, std::span<const float> importance,
                   float largest) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!(std::fabs(rows[i]) <= largest))
      return Status(ErrorCode::kInvalidInput,
                    "a weight is not finite or beyond the type's range: " + std::to_string(rows[i]),
                    "row " + std::to_string(i / k) + ", column " + std::to_string(i % k));
  }
  for (size_t i = 0; i < importance.size(); ++i) {
    if (!std::isfinite(importance[i]) || importance[i] < 0.0f)
      return Status(ErrorCode::kInvalidInput, "an importance is negative or not finite",
                    "column " + std::to_string(i));
  }
  return Status();
}

// Weights of the squared errors, the largest of each block 1: for every column once.
std::vector<float> ErrorWeights(std::span<const float> importance, size_t k, size_t block_k) {
  std::vector<float> weights(k, 1.0f);
  for (size_t begin = 0; begin < importance.size(); begin += block_k) {
    float largest = 0.0f;
    for (size_t i = begin; i < begin + block_k; ++i) largest = std::max(largest, importance[i]);
    if (largest == 0.0f) continue;
    for (size_t i = begin; i < begin + block_k; ++i) weights[i] = importance[i] / largest;
  }
  return weights;
}

void ConvertFloats(const QuantFormat& format, std::span<const float> rows, uint8_t* out) {
  if (format.file_block_bytes == sizeof(float)) {
    memcpy(out, rows.data(), rows.size_bytes());
    return;
  }
  const bool is_f16 = std::strcmp(format.name, "F16") == 0;
  for (const float value : rows) {
    const uint16_t half = is_f16 ? F32ToF16(value) : F32ToBf16(value);
    memcpy(out, &half, sizeof(half));
    out += sizeof(half);
  }
}

}  // namespace

Status QuantizeRows(const QuantFormat& format, std::span<const float> rows, size_t k,
                    std::span<const float> importance, std::span<uint8_t> out) {
  LULL_RETURN_IF_ERROR(CheckSizes(format, rows.size(), k, importance.size(), out.size()));
  // Scales are f16, but for those of MXFP4.
  constexpr float kLargestF16 = 65504.0f;
  const bool is_wide = format.file_block_bytes == 4 || std::strcmp(format.name, "BF16") == 0;
  LULL_RETURN_IF_ERROR(CheckValues(rows, k, importance, is_wide ? FLT_MAX : kLargestF16));
  if (format.activations == ActivationForm::kF32) {
    ConvertFloats(format, rows, out.data());
    return Status();
  }
  const BlockFn quantize = FindQuantizer(format);
  if (quantize == nullptr)
    return Status(ErrorCode::kUnsupported, std::string(format.name) + " has no quantizer");
  const std::vector<float> weights = ErrorWeights(importance, k, format.block_k);
  uint8_t* block = out.data();
  for (size_t i = 0; i < rows.size(); i += format.block_k, block += format.file_block_bytes)
    quantize({rows.data() + i, weights.data() + i % k, format.block_k}, block);
  return Status();
}

}  // namespace lull
