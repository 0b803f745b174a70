// A GGUF file taken apart, so that tests can put it together wrongly: every count and length can
// be claimed apart from what is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lull/status.h"
#include "tests/support/tiny_model.h"

namespace lull {

struct RawKey {
  std::string name;
  uint32_t type_id = 0;
  std::string value;  // as the file stores it
  std::optional<uint64_t> claimed_name_bytes;
};

struct RawTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type_id = 0;
  uint64_t offset = 0;
  std::optional<uint64_t> claimed_name_bytes;
  std::optional<uint32_t> claimed_num_dims;
};

struct RawGguf {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> claimed_num_tensors;
  std::optional<uint64_t> claimed_num_keys;
  std::vector<RawKey> keys;
  std::vector<RawTensor> tensors;
  std::string data;          // the data section
  uint64_t alignment = 32;   // of the data section's start

  // Takes a valid file apart. Requires: bytes came from GgufWriter.
  static RawGguf Parse(const std::string& bytes);
  std::string Header() const;     // up to the tensor infos
  std::string Infos() const;
  std::string Serialize() const;  // the whole file
  // Where the data section of Serialize starts.
  uint64_t DataStart() const;

  RawKey* FindKey(const std::string& name);
  RawTensor* FindTensor(const std::string& name);
};

template <typename T>
std::string RawBytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}
std::string RawString(const std::string& text);  // length and bytes

std::string ReadFileBytes(const std::string& path);
void WriteFileBytes(const std::string& path, const std::string& bytes);

// A private directory, removed with its contents at the end of the object's life.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace lull
