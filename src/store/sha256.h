// SHA-256 of a growing file, as lower-case hex.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "lull/status.h"

namespace lull {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(const void* data, size_t size);
  std::string Hex();  // ends the computation

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace lull
