// The values that 4-bit codes stand for, as unsigned bytes: value plus an offset.
#pragma once

#include <cstdint>

namespace lull {

// IQ4_NL, IQ4_XS: offset 128.
alignas(16) inline constexpr uint8_t kIq4Codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                      129, 141, 153, 166, 181, 197, 217, 241};
// MXFP4: twice the e2m1 float, offset 12.
alignas(16) inline constexpr uint8_t kMxfp4Codes[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                        12, 11, 10, 9,  8,  6,  4,  0};

}  // namespace lull
