// Vector operations of the kernels for each value, counted in their source: what they would cost if
// every vector unit were busy all the time. Loads, stores and constants are free.
#pragma once

namespace lull {

constexpr double kExpOps = 17;  // src/kernels/cpu/math-inl.h: two comparisons and blends included
constexpr double kSigmoidOps = kExpOps + 2;       // and one division
constexpr double kGeluOps = kSigmoidOps + 4;      // and one division
constexpr double kTanhOps = kExpOps + 3 + 9 + 5;  // and one division
constexpr double kSoftmaxOps = kExpOps + 4;       // maximum, shift, sum, scale
constexpr double kQuantizeOps = 5;                // magnitude, maximum, scale, clamp, convert

}  // namespace lull
