#include "kernels/kernels.h"

#include <string>
#include <string_view>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/matmul_amx.h"
#include "kernels/cpu/tile_permission.h"
#include "kernels/instruction_sets.h"
#include "simd/isa/amx.h"
#include "simd/isa/avx2.h"
#include "simd/isa/avx2vnni.h"
#include "simd/isa/avx512.h"
#include "simd/isa/scalar.h"

namespace lull {
namespace {

#define LULL_ISA_ROW(ns, isa, name)                                    \
  constexpr Kernels k_##ns{Isa::isa,           name,                   \
                           ns::kMacsPerUs,     ns::kMacsPerUs,         \
                           ns::QuantizeRow,    ns::QuantizeSuperRow,   \
                           ns::MatMul,         ns::MatMulScratchBytes, \
                           ns::RmsNorm,        ns::LayerNorm,          \
                           ns::AddVectors,     ns::MulScalar,          \
                           ns::SwiGlu,         ns::GeGlu,              \
                           ns::ClampedSwiGlu,  ns::FmaScalar,          \
                           ns::Rope,           ns::ShortConv,          \
                           ns::Softmax,        ns::SigmoidVector,      \
                           ns::SoftCap,        ns::SiluVector,         \
                           ns::ExpVector,      ns::SoftplusVector,     \
                           ns::DiagonalScan,   ns::ScalarScan,         \
                           ns::DeltaStep,      ns::KvWrite,            \
                           ns::KvWiden,        ns::AttentionBegin,     \
                           ns::AttentionPages, ns::AttentionEnd,       \
                           ns::ArgMax};
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW

// AVX-512 with matrix products of its own.
constexpr Kernels AmxKernels() {
  Kernels kernels = k_avx512;
  kernels.isa = Isa::kAmx;
  kernels.name = "amx";
  kernels.macs_per_us = amx::kMacsPerUs;
  kernels.super_macs_per_us = amx::kSuperMacsPerUs;
  kernels.matmul = amx::MatMul;
  kernels.matmul_scratch_bytes = amx::MatMulScratchBytes;
  return kernels;
}
constexpr Kernels k_amx = AmxKernels();

// Slowest first, as in the list.
constexpr const Kernels* kTables[] = {
#define LULL_ISA_ROW(ns, isa, name) &k_##ns,
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW
    &k_amx,
};

// The processor features that `isa` needs and this machine lacks, or whose registers the operating
// system does not save; empty where it can run.
std::string MissingFeatures(Isa isa) {
  std::string missing;
#define LULL_NEED(feature) \
  if (!__builtin_cpu_supports(feature)) missing += missing.empty() ? feature : ", " feature
  if (isa == Isa::kScalar) return missing;
  LULL_NEED("avx2");
  LULL_NEED("fma");
  LULL_NEED("f16c");
  LULL_NEED("bmi");
  LULL_NEED("bmi2");
  if (isa == Isa::kAvx2Vnni) LULL_NEED("avxvnni");
  if (isa == Isa::kAvx512 || isa == Isa::kAmx) {
    LULL_NEED("avx512f");
    LULL_NEED("avx512bw");
    LULL_NEED("avx512dq");
    LULL_NEED("avx512vl");
    LULL_NEED("avx512vnni");
    LULL_NEED("avx512vbmi");
  }
#undef LULL_NEED
  if (isa == Isa::kAmx && !TilesAllowed()) missing += missing.empty() ? "amx-int8" : ", amx-int8";
  return missing;
}

}  // namespace

std::span<const Kernels* const> AllKernels() { return kTables; }

ProductPath ProductPathOf(Isa isa, const QuantFormat& format) {
  if (format.activations == ActivationForm::kF32) return ProductPath::kFloat;
  return isa == Isa::kAmx && amx::HasTiles(format) ? ProductPath::kTiles : ProductPath::kInteger;
}

const char* ProductPathName(ProductPath path) {
  switch (path) {
    case ProductPath::kFloat:
      return "f32";
    case ProductPath::kInteger:
      return "int8";
    case ProductPath::kTiles:
      return "int8 tiles";
  }
  return "";
}

std::string IsaNames() {
  std::string names;
  for (const Kernels* table : kTables) {
    if (!names.empty()) names += ", ";
    names += table->name;
  }
  return names;
}

bool MachineHas(Isa isa) { return MissingFeatures(isa).empty(); }

const Kernels& BestKernels() {
  const Kernels* best = kTables[0];
  for (const Kernels* table : kTables) {
    if (MachineHas(table->isa)) best = table;
  }
  return *best;
}

Result<const Kernels*> FindKernels(const char* name) {
  for (const Kernels* table : kTables) {
    if (std::string_view(name) != table->name) continue;
    const std::string missing = MissingFeatures(table->isa);
    if (missing.empty()) return table;
    return Error{
        ErrorCode::kUsage,
        "this machine cannot run instruction set " + std::string(name) + ": it lacks " + missing,
        "isa", std::string("use ") + BestKernels().name + ", or leave the choice out"};
  }
  return Error{ErrorCode::kUsage, "unknown instruction set \"" + std::string(name) + "\"", "isa",
               "one of " + IsaNames()};
}

}  // namespace lull
