// Every quantization type on the primitives of the open instruction set, and TypeAt<i> for
// i < kNumTypes: the i-th line of quant_list.inc. Included once per instruction set, inside its
// target region. A type's file names itself with LULL_QUANT_TYPE(Type) at its end.
#define LULL_QUANT_TYPE(Type)               \
  template <>                               \
  struct TypeAt<__COUNTER__ - kFirstType> { \
    using type = Type;                      \
  };

namespace lull::LULL_ISA {

template <int kIndex>
struct TypeAt;
inline constexpr int kFirstType = __COUNTER__ + 1;

}  // namespace lull::LULL_ISA

#include "quant/k_scales-inl.h"
#include "quant/nibbles-inl.h"
#include "quant/quant_list.inc"

namespace lull::LULL_ISA {

inline constexpr int kNumTypes = __COUNTER__ - kFirstType;

// K-quants: 256 weights under one float scale, in sub-blocks with integer scales.
template <typename T>
inline constexpr bool kIsSuper = requires(const typename T::State& s) {
  T::SubScale(s, 0, 0);
};

}  // namespace lull::LULL_ISA

#undef LULL_QUANT_TYPE
