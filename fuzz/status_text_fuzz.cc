// What a server says of itself, whoever it is: rendered for a terminal without crashing, and
// without a byte that the terminal would obey.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/server_link.h"
#include "cli/status_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)lull::ParseServerUrl(text);
  const lull::Json json = lull::Json::parse(text, nullptr, false);
  if (!json.is_object()) return 0;
  const lull::Painter plain(false);
  const std::string shown = lull::StatusScreen(json, "", plain) + lull::GaugeLine(json, plain) +
                            lull::Explanation(json, plain);
  for (const char c : shown)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F) abort();
  return 0;
}
