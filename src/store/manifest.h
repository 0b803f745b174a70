// A name of the store: which files, of which contents, it stands for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lull/status.h"
#include "store/content_key.h"
#include "store/hub.h"

namespace lull {

struct ManifestFile {
  std::string name;  // "Model-Q4_K_M.gguf"; no folders
  uint64_t bytes = 0;
  ContentKey key;
};

struct Manifest {
  std::string name;  // "hf:org/repo:Q4_K_M"
  ModelKind kind = ModelKind::kGguf;
  std::string source;   // "hf:org/repo:Q4_K_M", what was asked of the hub; "" where it is unknown
  std::string commit;   // of the source; "" likewise
  std::string license;  // one line; "" where nobody says
  int64_t pulled_unix_s = 0;
  std::vector<ManifestFile> files;  // at least one; of a split GGUF the parts in order

  uint64_t bytes() const;
};

// A JSON object, one line and a newline.
std::string ManifestText(const Manifest& manifest);
// kInvalidInput for anything that ManifestText does not write: every name, size and key is checked.
Result<Manifest> ParseManifest(const std::string& text, const std::string& where);

// A store's name as the name of a file: what is not a letter, a digit or one of . _ - becomes %XX.
std::string EncodedName(const std::string& name);
// What the files are as a whole, whatever the name: 32 hexadecimal digits.
std::string ContentId(const Manifest& manifest);
bool IsPlainFileName(const std::string& name);

}  // namespace lull
