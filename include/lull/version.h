// What this build is.
#pragma once

namespace lull {

inline constexpr const char* kVersion = "0.1.0";

// Of docs/design/arithmetic.md: raised whenever any bit of any logit changes.
inline constexpr int kArithmeticVersion = 1;

}  // namespace lull
