// SHA-256 of bytes that come in pieces.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "lull/status.h"

namespace lull {

using Sha256Digest = std::array<uint8_t, 32>;

// Not thread-safe. Digest and Hex end the computation: one call of one of them.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(const void* data, size_t size);
  Sha256Digest Digest();
  std::string Hex();  // lower case

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace lull
