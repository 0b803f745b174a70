// What a server says of itself (GET /dash/stats, /requests/ID) as text for people.
#pragma once

#include <string>

#include "cli/output.h"
#include "cli/terminal_text.h"

namespace lull {

// Missing or mistyped fields count as 0 or "": the server may be another version's. Text is cut
// and without control characters.
double NumberAt(const Json& json, const char* pointer);
std::string TextAt(const Json& json, const char* pointer);

// One screen of 80 columns. where: the server's address.
std::string StatusScreen(const Json& stats, const std::string& where, const Painter& paint);
// One line of at most 100 columns: CPU against its cap, tokens a second, queue, memory.
std::string GaugeLine(const Json& stats, const Painter& paint);
// Why a request took as long as it did, in words and bars.
std::string Explanation(const Json& request, const Painter& paint);

}  // namespace lull
