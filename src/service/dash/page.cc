#include "service/dash/page.h"

#include <openssl/evp.h>

#include <string_view>

#include "base/sha256.h"

namespace lull {

// The files beside this one, as the build embeds them (cmake/dash.cmake).
extern const std::string_view kDashHtml, kDashCss, kDashJs;

namespace {

std::string Base64(const Sha256Digest& digest) {
  unsigned char text[4 * (sizeof digest + 2) / 3 + 1];
  const int length = EVP_EncodeBlock(text, digest.data(), static_cast<int>(digest.size()));
  return std::string(reinterpret_cast<const char*>(text), static_cast<size_t>(length));
}

// A source of a Content-Security-Policy that stands for exactly these bytes.
std::string HashSource(std::string_view text) {
  Sha256 hash;
  hash.Update(text.data(), text.size());
  return "'sha256-" + Base64(hash.Digest()) + "'";
}

void Replace(std::string_view mark, std::string_view text, std::string* html) {
  const size_t at = html->find(mark);
  if (at != std::string::npos) html->replace(at, mark.size(), text);
}

DashPage Build() {
  DashPage page{std::string(kDashHtml), ""};
  Replace("/*STYLE*/", kDashCss, &page.html);
  Replace("/*SCRIPT*/", kDashJs, &page.html);
  page.content_security_policy = "default-src 'none'; script-src " + HashSource(kDashJs) +
                                 "; style-src " + HashSource(kDashCss) +
                                 "; img-src data:; connect-src 'self'; base-uri 'none'; "
                                 "form-action 'none'; frame-ancestors 'none'";
  return page;
}

}  // namespace

const DashPage& TheDashPage() {
  static const DashPage page = Build();
  return page;
}

}  // namespace lull
