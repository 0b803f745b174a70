#include <string>

#include "tests/kernels/isas.h"

namespace lull {
namespace {

TEST(Dispatch, ScalarAlwaysWorks) {
  ASSERT_TRUE(MachineHas(Isa::kScalar));
  ASSERT_TRUE(FindKernels("scalar").ok());
}

TEST(Dispatch, NamesAndIsasAgree) {
  const std::pair<const char*, Isa> all[] = {{"scalar", Isa::kScalar},
                                             {"avx2", Isa::kAvx2},
                                             {"avx2vnni", Isa::kAvx2Vnni},
                                             {"avx512", Isa::kAvx512},
                                             {"amx", Isa::kAmx}};
  for (const auto& [name, isa] : all) {
    const Result<const Kernels*> found = FindKernels(name);
    ASSERT_EQ(MachineHas(isa), found.ok()) << name;
    if (found.ok()) {
      EXPECT_EQ(isa, (*found)->isa);
      EXPECT_STREQ(name, (*found)->name);
      EXPECT_GT((*found)->macs_per_us, 0);
    } else {
      EXPECT_EQ(ErrorCode::kUsage, found.error().code);
      EXPECT_NE(std::string::npos, found.error().message.find("lacks a")) << found.error().message;
    }
  }
}

TEST(Dispatch, UnknownNameListsTheNames) {
  for (const char* name : {"", "avx", "AVX2", "neon"}) {
    const Result<const Kernels*> found = FindKernels(name);
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(ErrorCode::kUsage, found.error().code);
    EXPECT_EQ("one of scalar, avx2, avx2vnni, avx512, amx", found.error().hint);
  }
}

TEST(Dispatch, BestIsTheLastThisMachineHas) { EXPECT_EQ(MachineKernels().back(), &BestKernels()); }

}  // namespace
}  // namespace lull
