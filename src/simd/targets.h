// Compiles a region for one instruction set without per-file flags, which would leak into inline
// functions shared with baseline code. Standard headers must be included before the region.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define LULL_TARGET_scalar "sse2"
#define LULL_TARGET_avx2 "avx2,fma,f16c,bmi,bmi2"
#define LULL_TARGET_avx2vnni "avx2,fma,f16c,bmi,bmi2,avxvnni"
#define LULL_TARGET_avx512 \
  "avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi"
// The same for the compiler: tile instructions are written out (simd/isa/amx.h).
#define LULL_TARGET_amx LULL_TARGET_avx512

#define LULL_PRAGMA_(text) _Pragma(#text)
#if defined(__clang__)
#define LULL_BEGIN_TARGET_(target_string) \
  LULL_PRAGMA_(clang attribute push(__attribute__((target(target_string))), apply_to = function))
#define LULL_END_TARGET _Pragma("clang attribute pop")
#else
#define LULL_BEGIN_TARGET_(target_string) \
  _Pragma("GCC push_options") LULL_PRAGMA_(GCC target target_string)
#define LULL_END_TARGET _Pragma("GCC pop_options")
#endif
#define LULL_BEGIN_TARGET(target_string) LULL_BEGIN_TARGET_(target_string)

#define LULL_INLINE inline __attribute__((always_inline))
