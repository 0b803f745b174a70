// The kernels that work on one row or one head: on one thread, with everything in the first-level
// cache unless the row itself is longer.
#include <algorithm>
#include <cmath>
#include <random>

#include "base/arena.h"
#include "bench/kernels/op_counts.h"
#include "bench/kernels/session.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

constexpr size_t kRow = 2048;       // of an embedding
constexpr size_t kLogits = 131072;  // of a vocabulary
constexpr size_t kF32Bytes = sizeof(float);

// What one value costs: operations, divisions, bytes read and written.
struct Cost {
  double ops, divides, read, write;
};

Figure RowFigure(const char* kernel, const char* type, size_t n, Cost cost) {
  const double values = static_cast<double>(n);
  Figure figure;
  figure.kernel = kernel;
  figure.type = type;
  figure.shape = std::to_string(n);
  figure.work.f32_ops = values * cost.ops;
  figure.work.divides = values * cost.divides;
  figure.work.read_bytes = values * cost.read;
  figure.work.write_bytes = values * cost.write;
  figure.work.resident_bytes = static_cast<size_t>(values * (cost.read + cost.write));
  return figure;
}

template <typename Fn>
Status AddRow(Session& session, const char* kernel, size_t n, Cost cost, Fn fn) {
  const Figure figure = RowFigure(kernel, "", n, cost);
  return session.Wanted(figure) ? session.Add(figure, Repeat(fn)) : Status();
}

// Inputs of up to kLogits values, 64-byte aligned.
struct Vectors {
  os::Memory memory;
  float *x, *w, *out;
  float *cos, *sin;  // a rotation: values that go through it over and over keep their size

  static Result<Vectors> Make() {
    Vectors v;
    ArenaPlan plan;
    plan.Add(&v.x, kLogits);
    plan.Add(&v.w, kLogits);
    plan.Add(&v.out, kLogits);
    plan.Add(&v.cos, kRow);
    plan.Add(&v.sin, kRow);
    LULL_ASSIGN_OR_RETURN(v.memory, plan.Allocate());
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < kLogits; ++i) {
      v.x[i] = normal(rng);
      v.w[i] = normal(rng);
    }
    for (size_t i = 0; i < kRow; ++i) {
      v.cos[i] = std::cos(v.x[i]);
      v.sin[i] = std::sin(v.x[i]);
    }
    return v;
  }
};

Status AddElementwise(Session& session, const Vectors& v) {
  const Kernels& k = session.kernels;
  constexpr double kB = kF32Bytes;
  const auto map2 = [&v](auto kernel) { return [kernel, &v] { kernel(v.x, v.w, kRow, v.out); }; };
  LULL_RETURN_IF_ERROR(AddRow(session, "rms_norm", kRow, {3, 0, 3 * kB, kB},
                              [&] { k.rms_norm(v.x, v.w, 1e-5f, kRow, v.out); }));
  LULL_RETURN_IF_ERROR(AddRow(session, "add", kRow, {1, 0, 2 * kB, kB}, map2(k.add)));
  LULL_RETURN_IF_ERROR(AddRow(session, "mul_scalar", kRow, {1, 0, kB, kB},
                              [&] { k.mul_scalar(v.x, 0.5f, kRow, v.out); }));
  LULL_RETURN_IF_ERROR(AddRow(session, "fma_scalar", kRow, {1, 0, 2 * kB, kB},
                              [&] { k.fma_scalar(v.x, 1e-3f, kRow, v.out); }));
  LULL_RETURN_IF_ERROR(
      AddRow(session, "swiglu", kRow, {kSigmoidOps + 1, 1, 2 * kB, kB}, map2(k.swiglu)));
  LULL_RETURN_IF_ERROR(
      AddRow(session, "geglu", kRow, {kGeluOps + 1, 1, 2 * kB, kB}, map2(k.geglu)));
  LULL_RETURN_IF_ERROR(AddRow(session, "sigmoid", kRow, {kSigmoidOps, 1, kB, kB},
                              [&] { k.sigmoid(v.x, kRow, v.out); }));
  LULL_RETURN_IF_ERROR(AddRow(session, "soft_cap", kRow, {kTanhOps, 2, kB, kB},
                              [&] { k.soft_cap(v.x, 30.0f, kRow, v.out); }));
  return AddRow(session, "short_conv 3", kRow, {3, 0, 6 * kB, kB},
                [&] { k.short_conv(v.x, v.w, 3, kRow, v.out); });
}

Status AddReductions(Session& session, const Vectors& v) {
  const Kernels& k = session.kernels;
  constexpr double kB = kF32Bytes;
  for (const size_t n : {kRow, kLogits}) {
    LULL_RETURN_IF_ERROR(AddRow(session, "softmax", n, {kSoftmaxOps, 0, 3 * kB, 2 * kB},
                                [&] { k.softmax(v.x, n, v.out); }));
    volatile size_t sink = 0;
    LULL_RETURN_IF_ERROR(
        AddRow(session, "argmax", n, {1, 0, kB, 0}, [&] { sink = k.argmax(v.x, n); }));
  }
  std::vector<int8_t> q(kRow);
  std::vector<float> scale(kRow / 32), scaled_sum(kRow / 32);
  std::vector<int32_t> half_sums(kRow / 16);
  LULL_RETURN_IF_ERROR(
      AddRow(session, "quantize_row", kRow, {kQuantizeOps, 2.0 / 32, kB, 1.5}, [&] {
        k.quantize_row(v.x, kRow, q.data(), scale.data(), scaled_sum.data(), half_sums.data());
      }));
  std::vector<int16_t> sums32(kRow / 32), sums16(kRow / 16);
  return AddRow(session, "quantize_super_row", kRow, {kQuantizeOps, 2.0 / 256, kB, 1.2}, [&] {
    k.quantize_super_row(v.x, kRow, q.data(), scale.data(), sums32.data(), sums16.data());
  });
}

Status AddHeads(Session& session, const Vectors& v) {
  const Kernels& k = session.kernels;
  constexpr double kB = kF32Bytes;
  for (const size_t head_dim : {64, 128, 256}) {
    std::vector<float> head(v.x, v.x + head_dim);
    for (const bool neox : {false, true})
      LULL_RETURN_IF_ERROR(AddRow(session, neox ? "rope neox" : "rope", head_dim,
                                  {2, 0, 2 * kB, kB},
                                  [&] { k.rope(head.data(), v.cos, v.sin, head_dim / 2, neox); }));
    std::vector<uint16_t> page(2 * kPageTokens * head_dim);
    const KvPage kv{page.data(), page.data() + kPageTokens * head_dim};
    size_t slot = 0;
    LULL_RETURN_IF_ERROR(AddRow(session, "kv_write f16", 2 * head_dim, {1, 0, kB, 2}, [&] {
      k.kv_write(KvType::kF16, kv, slot++ % kPageTokens, v.x, v.w, head_dim);
    }));
    LULL_RETURN_IF_ERROR(AddRow(session, "kv_widen f16", page.size(), {1, 0, 2, kB}, [&] {
      k.kv_widen(KvType::kF16, kv, head_dim, v.out, v.out + kPageTokens * head_dim);
    }));
  }
  return Status();
}

// An embedding row: one lane of a group of 16.
Status AddDequantize(Session& session, const Vectors& v) {
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  for (size_t i = 0; i < count; ++i) {
    const QuantFormat& format = *formats[i];
    const std::vector<std::string>& types = session.options.types;
    if (!types.empty() && std::find(types.begin(), types.end(), format.name) == types.end())
      continue;
    const double bytes = static_cast<double>(format.GroupBytes(kRow)) / 16 / kRow;
    const Figure figure = RowFigure("dequantize", format.name, kRow, {1, 0, bytes, kF32Bytes});
    if (!session.Wanted(figure)) continue;
    std::vector<uint8_t> group(format.GroupBytes(kRow), 0x2c);
    size_t lane = 0;
    LULL_RETURN_IF_ERROR(session.Add(
        figure, Repeat([&] { format.dequantize_row(group.data(), lane++ % 16, kRow, v.out); })));
  }
  return Status();
}

}  // namespace

Status AddRowKernels(Session& session) {
  LULL_ASSIGN_OR_RETURN(const Vectors vectors, Vectors::Make());
  LULL_RETURN_IF_ERROR(AddElementwise(session, vectors));
  LULL_RETURN_IF_ERROR(AddReductions(session, vectors));
  LULL_RETURN_IF_ERROR(AddHeads(session, vectors));
  return AddDequantize(session, vectors);
}

}  // namespace lull
