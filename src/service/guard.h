// Who may ask for what: decides on a request by its header, before its body is read. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "lull/status.h"
#include "service/api_keys.h"
#include "service/http/message.h"

namespace lull {

struct GuardOptions {
  ApiKeys keys{};                     // none: every client that may connect is trusted
  std::string address = "127.0.0.1";  // that the server listens on
  std::vector<std::string> hosts{};   // names it is known by, beside localhost and IP addresses
  // Web pages that may ask it, e.g. "https://chat.example"; "*": all.
  std::vector<std::string> origins{};
};

enum class Access {
  kPublic,  // whoever may connect
  kKey,     // a key, where there are keys
  kManage,  // an admin's key, where there are keys
  kAdmin,   // an admin's key, always
};
// Of a path as it was sent. What is in no list needs a key.
Access AccessOf(std::string_view method, std::string_view path);

class Guard {
 public:
  // kUsage where the address is open to other machines and there is no key.
  static Result<Guard> Create(GuardOptions options);
  HttpVerdict Check(const HttpHead& head) const;

 private:
  explicit Guard(GuardOptions options) : options_(std::move(options)) {}
  HttpVerdict CheckKey(const HttpHead& head, HttpVerdict verdict) const;
  bool AllowsHost(std::string_view host) const;
  bool AllowsOrigin(std::string_view origin, std::string_view host) const;

  GuardOptions options_;
};

}  // namespace lull
