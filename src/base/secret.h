// Secrets: making them, and comparing them in a time that tells nothing. Thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "base/sha256.h"
#include "lull/status.h"

namespace lull {

// `bytes` of the system's randomness in URL-safe base64 without padding.
Result<std::string> RandomToken(size_t bytes);
// In a time that does not depend on where they differ.
bool EqualDigests(const Sha256Digest& a, const Sha256Digest& b);

}  // namespace lull
