// GGUF v2/v3 model files, single or split ("-00001-of-00003.gguf"), memory-mapped.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Every count, offset and length is checked against the file before anything is allocated or
// read; errors name key or tensor, and byte offset. Immutable after Open, so thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/exec_context.h"
#include "base/sha256.h"
#include "lull/status.h"

namespace lull {

// Type ids as stored in files.
enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// One tensor of the directory. dims[0] is the fastest (row length), as in the file.
struct GgufTensor {
  std::string name;
  uint32_t type_id = 0;           // ggml type id; meaning is quant/'s business
  std::vector<uint64_t> dims;     // 1 to 4 entries, each > 0
  std::span<const uint8_t> data;  // mapped, exactly the bytes that dims and type need
  uint64_t file_offset = 0;       // of data in its file, for messages
  int file_index = 0;             // which part of a split file
};

// What tells whether a file is still the one that something was derived from.
struct GgufIdentity {
  uint64_t file_bytes = 0;  // all parts
  int64_t modified_ns = 0;  // since 1970, the latest of all parts
  Sha256Digest headers{};   // of all parts: bytes, time, everything before the tensor data
};

class GgufFile {
 public:
  // For a split file name any part; all parts are opened and checked. Checkpoints ctx.
  static Result<std::unique_ptr<GgufFile>> Open(const std::string& path,
                                                const ExecContext& ctx = ExecContext());
  ~GgufFile();

  uint32_t version() const;
  const std::string& path() const;
  uint64_t file_bytes() const;  // all parts
  GgufIdentity Identity(const ExecContext& ctx = ExecContext()) const;
  uint32_t owner_uid() const;  // of the first part
  const std::vector<GgufTensor>& tensors() const;
  const GgufTensor* FindTensor(std::string_view name) const;  // null where absent

  // Metadata, typed: a key of another type is an error naming key, both types and offset.
  // Integers of any width that fit are accepted (files differ); nothing else is converted.
  bool Has(std::string_view key) const;
  std::vector<std::string> Keys() const;  // in file order
  Result<uint64_t> GetUint(std::string_view key) const;
  Result<int64_t> GetInt(std::string_view key) const;
  Result<double> GetFloat(std::string_view key) const;  // f32 or f64
  Result<bool> GetBool(std::string_view key) const;
  Result<std::string_view> GetString(std::string_view key) const;
  // Arrays: element views into the mapping or copies where the width differs. Checkpoint ctx.
  Result<uint64_t> ArraySize(std::string_view key) const;
  Result<std::vector<std::string_view>> GetStringArray(
      std::string_view key, const ExecContext& ctx = ExecContext()) const;
  Result<std::vector<int64_t>> GetIntArray(  // bool and any int type
      std::string_view key, const ExecContext& ctx = ExecContext()) const;
  Result<std::string_view> GetByteArray(std::string_view key) const;  // int8 or uint8, a view
  Result<std::vector<float>> GetFloatArray(std::string_view key,
                                           const ExecContext& ctx = ExecContext()) const;
  std::optional<GgufValueType> TypeOf(std::string_view key) const;
  // Human-readable value, long arrays and strings shortened. For `inspect`.
  std::string Describe(std::string_view key) const;
  // The value as the file stores it, behind its type id. Requires: the key is there.
  std::string_view RawValue(std::string_view key) const;
  // Byte offset of the key's value in its file, for messages.
  uint64_t OffsetOf(std::string_view key) const;
  // Completes an error about this file whose `where` is no more than a key's or tensor's name (or
  // nothing): adds the file, and the byte where the file has such a key or tensor.
  Error Locate(Error error) const;

  // Tells the system that a tensor's pages will not be read again.
  void DropPages(const GgufTensor& tensor) const;

 private:
  GgufFile();
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

// Bytes of one row of `elements` values of a ggml type; error for unknown types or a row length
// that is not a multiple of the block. The one place that knows file block sizes.
Result<uint64_t> GgufRowBytes(uint32_t type_id, uint64_t elements);
const char* GgufTypeName(uint32_t type_id);            // "Q4_1"; "unknown" where unknown
std::string GgufDims(std::span<const uint64_t> dims);  // "[576, 49152]"
// Text of a file, quoted for messages: control bytes escaped, cut where long.
std::string GgufQuote(std::string_view text);

}  // namespace lull
