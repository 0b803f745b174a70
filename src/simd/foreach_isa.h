// Compiles the file named by LULL_ISA_FILE once for every instruction set, inside its target
// region, with LULL_ISA set to the namespace to open. No include guard: one inclusion per .cc file.
//   #define LULL_ISA_FILE "kernels/cpu/norms-inl.h"
//   #include "simd/foreach_isa.h"
// The file must not include standard headers (include them before), nor use lambdas or std
// templates, whose shared copies would be compiled for whichever target came first.
#include "simd/isa/avx2.h"
#include "simd/isa/avx2vnni.h"
#include "simd/isa/avx512.h"
#include "simd/isa/scalar.h"
#include "simd/targets.h"

#define LULL_ISA scalar
LULL_BEGIN_TARGET(LULL_TARGET_scalar)
#include LULL_ISA_FILE
LULL_END_TARGET
#undef LULL_ISA

#define LULL_ISA avx2
LULL_BEGIN_TARGET(LULL_TARGET_avx2)
#include LULL_ISA_FILE
LULL_END_TARGET
#undef LULL_ISA

#define LULL_ISA avx2vnni
LULL_BEGIN_TARGET(LULL_TARGET_avx2vnni)
#include LULL_ISA_FILE
LULL_END_TARGET
#undef LULL_ISA

#define LULL_ISA avx512
LULL_BEGIN_TARGET(LULL_TARGET_avx512)
#include LULL_ISA_FILE
LULL_END_TARGET
#undef LULL_ISA
