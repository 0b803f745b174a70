// Writes GGUF v3 (or v2) files, single or split. Collects metadata and tensors, then writes each
// file beside its name and renames it when complete. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "lull/status.h"

namespace lull {

class GgufWriter {
 public:
  // Fills out with rows [first_row, first_row + num_rows) as the file stores them. Rows are the
  // product of all dims but the first; they are asked for in order, in pieces of about 1 MiB.
  using RowSource = std::function<void(uint64_t first_row, uint64_t num_rows, uint8_t* out)>;
  // Told after every piece how much of a file is written; false gives up, which leaves no file.
  using Progress = std::function<bool(uint64_t written_bytes, uint64_t file_bytes)>;

  // Keys keep the order they are added in. A second value for a key replaces the first.
  void AddUint8(std::string_view key, uint8_t value);
  void AddInt8(std::string_view key, int8_t value);
  void AddUint16(std::string_view key, uint16_t value);
  void AddInt16(std::string_view key, int16_t value);
  void AddUint32(std::string_view key, uint32_t value);
  void AddInt32(std::string_view key, int32_t value);
  void AddUint64(std::string_view key, uint64_t value);
  void AddInt64(std::string_view key, int64_t value);
  void AddFloat32(std::string_view key, float value);
  void AddFloat64(std::string_view key, double value);
  void AddBool(std::string_view key, bool value);
  void AddString(std::string_view key, std::string_view value);
  void AddUint8Array(std::string_view key, std::span<const uint8_t> values);
  void AddInt8Array(std::string_view key, std::span<const int8_t> values);
  void AddUint16Array(std::string_view key, std::span<const uint16_t> values);
  void AddInt16Array(std::string_view key, std::span<const int16_t> values);
  void AddUint32Array(std::string_view key, std::span<const uint32_t> values);
  void AddInt32Array(std::string_view key, std::span<const int32_t> values);
  void AddUint64Array(std::string_view key, std::span<const uint64_t> values);
  void AddInt64Array(std::string_view key, std::span<const int64_t> values);
  void AddFloat32Array(std::string_view key, std::span<const float> values);
  void AddFloat64Array(std::string_view key, std::span<const double> values);
  void AddBoolArray(std::string_view key, const std::vector<bool>& values);
  void AddStringArray(std::string_view key, std::span<const std::string> values);
  // A key as another file has it, byte for byte. Requires: it is there.
  void CopyKey(const GgufFile& from, std::string_view key);
  void RemoveKey(std::string_view key);

  // dims[0] is the row length. Errors (name used twice, wrong size, unknown type) come from Write.
  void AddTensor(std::string name, uint32_t type_id, std::vector<uint64_t> dims, RowSource source);
  void AddTensor(std::string name, uint32_t type_id, std::vector<uint64_t> dims, std::vector<uint8_t> data);

  void RemoveTensor(std::string_view name);

  struct TensorInfo {
    std::string name;
    uint32_t type_id = 0;
    std::vector<uint64_t> dims;
  };
  std::vector<TensorInfo> Tensors() const;  // in file order

  void set_alignment(uint32_t bytes) { alignment_ = bytes; }  // power of two, at least 8
  void set_version(uint32_t version) { version_ = version; }  // 2 or 3
  void set_durable(bool durable) { durable_ = durable; }      // false: do not wait for the disk
  void set_progress(Progress progress) { progress_ = std::move(progress); }

  Status Write(const std::string& path) const;
  // PREFIX-00001-of-0000N.gguf and so on; tensors are dealt out in order, as evenly as counts go.
  Status WriteSplit(const std::string& prefix, uint32_t num_parts) const;

 private:
  struct Key {
    std::string name;
    std::string value;  // type id and value as the file stores them
  };
  struct Tensor {
    std::string name;
    uint32_t type_id = 0;
    std::vector<uint64_t> dims;
    RowSource source;
    std::vector<uint8_t> data;  // where there is no source
  };

  void AddEncoded(std::string_view key, std::string value);
  template <typename T>
  void AddScalar(std::string_view key, GgufValueType type, T value);
  template <typename T>
  void AddArray(std::string_view key, GgufValueType type, std::span<const T> values);
  Status Check() const;
  Result<std::string> Header(std::span<const Key> keys, std::span<const Tensor> tensors, uint64_t* data_bytes) const;
  Status WriteFile(const std::string& path, std::span<const Key> keys, std::span<const Tensor> tensors) const;

  std::vector<Key> keys_;
  std::vector<Tensor> tensors_;
  uint32_t alignment_ = 32;
  uint32_t version_ = 3;
  bool durable_ = true;
  Progress progress_;
};

}  // namespace lull
