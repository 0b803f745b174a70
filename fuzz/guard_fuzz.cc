// A request's header and a key file, from bytes: field lines "name: value" after a first line
// "METHOD PATH".
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "service/guard.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(lull::ApiKeys::Parse(text, "fuzz"));
  const auto line = [&text] {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view first = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return first;
  };
  lull::HttpHead head;
  const std::string_view first = line();
  const size_t space = std::min(first.find(' '), first.size());
  head.method = std::string(first.substr(0, space));
  head.path = std::string(first.substr(space));
  while (!text.empty()) {
    const std::string_view field = line();
    const size_t colon = std::min(field.find(':'), field.size());
    head.fields.push_back({std::string(field.substr(0, colon)),
                           std::string(field.substr(std::min(colon + 1, field.size())))});
  }
  for (const bool with_keys : {false, true}) {
    lull::GuardOptions options;
    options.hosts = {"llm.example"};
    options.origins = {"https://chat.example"};
    if (with_keys && !options.keys.Add("a", "0123456789abcdef", true).ok()) return 0;
    const auto guard = lull::Guard::Create(options);
    if (!guard.ok()) __builtin_trap();
    const lull::HttpVerdict verdict = guard->Check(head);
    const bool open = lull::AccessOf(head.method, head.path) == lull::Access::kPublic;
    if (with_keys && !verdict.refusal && !open && verdict.account != "a") __builtin_trap();
  }
  return 0;
}
