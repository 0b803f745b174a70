#include "tests/support/raw_gguf.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "formats/gguf_parse.h"

namespace lull {
namespace {

// Reads without checks: its input is a file that GgufWriter has just written.
class TrustingReader {
 public:
  explicit TrustingReader(const std::string& bytes) : bytes_(bytes) {}
  template <typename T>
  T Read() {
    T value;
    memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }
  std::string ReadString() {
    const auto size = Read<uint64_t>();
    offset_ += size;
    return bytes_.substr(offset_ - size, size);
  }
  void SkipValue(uint32_t type_id) {
    const auto type = static_cast<GgufValueType>(type_id);
    if (type == GgufValueType::kString) {
      ReadString();
    } else if (type == GgufValueType::kArray) {
      const auto element = Read<uint32_t>();
      const auto count = Read<uint64_t>();
      for (uint64_t i = 0; i < count; ++i) SkipValue(element);
    } else {
      offset_ += GgufValueWidth(type);
    }
  }
  size_t offset() const { return offset_; }

 private:
  const std::string& bytes_;
  size_t offset_ = 0;
};

}  // namespace

std::string RawString(const std::string& text) { return RawBytes<uint64_t>(text.size()) + text; }

RawGguf RawGguf::Parse(const std::string& bytes) {
  RawGguf file;
  TrustingReader reader(bytes);
  reader.Read<uint32_t>();
  file.version = reader.Read<uint32_t>();
  file.tensors.resize(reader.Read<uint64_t>());
  file.keys.resize(reader.Read<uint64_t>());
  for (RawKey& key : file.keys) {
    key.name = reader.ReadString();
    key.type_id = reader.Read<uint32_t>();
    const size_t start = reader.offset();
    reader.SkipValue(key.type_id);
    key.value = bytes.substr(start, reader.offset() - start);
    if (key.name == "general.alignment") memcpy(&file.alignment, key.value.data(), 4);
  }
  for (RawTensor& tensor : file.tensors) {
    tensor.name = reader.ReadString();
    tensor.dims.resize(reader.Read<uint32_t>());
    for (uint64_t& dim : tensor.dims) dim = reader.Read<uint64_t>();
    tensor.type_id = reader.Read<uint32_t>();
    tensor.offset = reader.Read<uint64_t>();
  }
  file.data = bytes.substr((reader.offset() + file.alignment - 1) / file.alignment * file.alignment);
  return file;
}

std::string RawGguf::Header() const {
  std::string out = magic + RawBytes(version);
  out += RawBytes<uint64_t>(claimed_num_tensors.value_or(tensors.size()));
  out += RawBytes<uint64_t>(claimed_num_keys.value_or(keys.size()));
  for (const RawKey& key : keys)
    out += RawBytes<uint64_t>(key.claimed_name_bytes.value_or(key.name.size())) + key.name +
           RawBytes(key.type_id) + key.value;
  return out;
}

std::string RawGguf::Infos() const {
  std::string out;
  for (const RawTensor& tensor : tensors) {
    out += RawBytes<uint64_t>(tensor.claimed_name_bytes.value_or(tensor.name.size())) + tensor.name;
    out += RawBytes<uint32_t>(tensor.claimed_num_dims.value_or(static_cast<uint32_t>(tensor.dims.size())));
    for (const uint64_t dim : tensor.dims) out += RawBytes(dim);
    out += RawBytes(tensor.type_id) + RawBytes(tensor.offset);
  }
  return out;
}

std::string RawGguf::Serialize() const {
  std::string out = Header() + Infos();
  out.append((alignment - out.size() % alignment) % alignment, '\0');
  return out + data;
}

uint64_t RawGguf::DataStart() const { return Serialize().size() - data.size(); }

RawKey* RawGguf::FindKey(const std::string& name) {
  for (RawKey& key : keys)
    if (key.name == name) return &key;
  return nullptr;
}

RawTensor* RawGguf::FindTensor(const std::string& name) {
  for (RawTensor& tensor : tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

std::string ReadFileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteFileBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TemporaryDirectory::TemporaryDirectory() {
  path_ = (std::filesystem::temp_directory_path() / "lull-test-XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) path_ = std::string(1, '.');
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  if (path_ != ".") std::filesystem::remove_all(path_, ignored);
}

}  // namespace lull
