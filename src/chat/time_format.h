// strftime in UTC and the C locale.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lull::jinja {

// False, with the directive's letter, where one is not supported.
bool FormatUtc(int64_t unix_s, std::string_view format, std::string* out, char* unknown);

}  // namespace lull::jinja
