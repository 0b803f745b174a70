#include "formats/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "base/os/atomic_file.h"
#include "formats/gguf_parse.h"

namespace lull {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

template <typename T>
void Append(std::string* out, T value) {
  char bytes[sizeof(T)];
  memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

void AppendString(std::string* out, std::string_view text) {
  Append<uint64_t>(out, text.size());
  out->append(text);
}

std::string ArrayHeader(GgufValueType type, uint64_t count) {
  std::string out;
  Append(&out, static_cast<uint32_t>(GgufValueType::kArray));
  Append(&out, static_cast<uint32_t>(type));
  Append(&out, count);
  return out;
}

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint64_t PaddingTo(uint64_t offset, uint64_t alignment) { return (alignment - offset % alignment) % alignment; }

// Bytes of one row and how many rows: sizes beyond 64 bits are refused.
Status TensorSize(const std::string& name, uint32_t type_id, const std::vector<uint64_t>& dims,
                  uint64_t* row_bytes, uint64_t* num_rows) {
  const std::string where = "tensor " + GgufQuote(name);
  if (dims.empty() || dims.size() > 4)
    return Status(ErrorCode::kUsage, "a tensor has 1 to 4 dimensions", where);
  const Result<uint64_t> row = GgufRowBytes(type_id, dims[0]);
  if (!row.ok()) {
    Error error = row.error();
    error.where = where;
    return error;
  }
  *row_bytes = *row;
  *num_rows = 1;
  uint64_t total = 0;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 0) return Status(ErrorCode::kUsage, "a dimension is 0", where);
    if (d > 0 && __builtin_mul_overflow(*num_rows, dims[d], num_rows))
      return Status(ErrorCode::kUsage, "tensor size overflows 64 bits", where);
  }
  if (__builtin_mul_overflow(*num_rows, *row_bytes, &total))
    return Status(ErrorCode::kUsage, "tensor size overflows 64 bits", where);
  return Status::Ok();
}

}  // namespace

void GgufWriter::AddEncoded(std::string_view key, std::string value) {
  for (Key& existing : keys_) {
    if (existing.name != key) continue;
    existing.value = std::move(value);
    return;
  }
  keys_.push_back({std::string(key), std::move(value)});
}

template <typename T>
void GgufWriter::AddScalar(std::string_view key, GgufValueType type, T value) {
  std::string out;
  Append(&out, static_cast<uint32_t>(type));
  Append(&out, value);
  AddEncoded(key, std::move(out));
}

template <typename T>
void GgufWriter::AddArray(std::string_view key, GgufValueType type, std::span<const T> values) {
  std::string out = ArrayHeader(type, values.size());
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  AddEncoded(key, std::move(out));
}

void GgufWriter::AddUint8(std::string_view key, uint8_t value) { AddScalar(key, GgufValueType::kUint8, value); }
void GgufWriter::AddInt8(std::string_view key, int8_t value) { AddScalar(key, GgufValueType::kInt8, value); }
void GgufWriter::AddUint16(std::string_view key, uint16_t value) { AddScalar(key, GgufValueType::kUint16, value); }
void GgufWriter::AddInt16(std::string_view key, int16_t value) { AddScalar(key, GgufValueType::kInt16, value); }
void GgufWriter::AddUint32(std::string_view key, uint32_t value) { AddScalar(key, GgufValueType::kUint32, value); }
void GgufWriter::AddInt32(std::string_view key, int32_t value) { AddScalar(key, GgufValueType::kInt32, value); }
void GgufWriter::AddUint64(std::string_view key, uint64_t value) { AddScalar(key, GgufValueType::kUint64, value); }
void GgufWriter::AddInt64(std::string_view key, int64_t value) { AddScalar(key, GgufValueType::kInt64, value); }
void GgufWriter::AddFloat32(std::string_view key, float value) { AddScalar(key, GgufValueType::kFloat32, value); }
void GgufWriter::AddFloat64(std::string_view key, double value) { AddScalar(key, GgufValueType::kFloat64, value); }
void GgufWriter::AddBool(std::string_view key, bool value) {
  AddScalar<uint8_t>(key, GgufValueType::kBool, value ? 1 : 0);
}

void GgufWriter::AddString(std::string_view key, std::string_view value) {
  std::string out;
  Append(&out, static_cast<uint32_t>(GgufValueType::kString));
  AppendString(&out, value);
  AddEncoded(key, std::move(out));
}

void GgufWriter::AddUint8Array(std::string_view key, std::span<const uint8_t> values) {
  AddArray(key, GgufValueType::kUint8, values);
}
void GgufWriter::AddInt8Array(std::string_view key, std::span<const int8_t> values) {
  AddArray(key, GgufValueType::kInt8, values);
}
void GgufWriter::AddUint16Array(std::string_view key, std::span<const uint16_t> values) {
  AddArray(key, GgufValueType::kUint16, values);
}
void GgufWriter::AddInt16Array(std::string_view key, std::span<const int16_t> values) {
  AddArray(key, GgufValueType::kInt16, values);
}
void GgufWriter::AddUint32Array(std::string_view key, std::span<const uint32_t> values) {
  AddArray(key, GgufValueType::kUint32, values);
}
void GgufWriter::AddInt32Array(std::string_view key, std::span<const int32_t> values) {
  AddArray(key, GgufValueType::kInt32, values);
}
void GgufWriter::AddUint64Array(std::string_view key, std::span<const uint64_t> values) {
  AddArray(key, GgufValueType::kUint64, values);
}
void GgufWriter::AddInt64Array(std::string_view key, std::span<const int64_t> values) {
  AddArray(key, GgufValueType::kInt64, values);
}
void GgufWriter::AddFloat32Array(std::string_view key, std::span<const float> values) {
  AddArray(key, GgufValueType::kFloat32, values);
}
void GgufWriter::AddFloat64Array(std::string_view key, std::span<const double> values) {
  AddArray(key, GgufValueType::kFloat64, values);
}
void GgufWriter::AddBoolArray(std::string_view key, const std::vector<bool>& values) {
  std::string out = ArrayHeader(GgufValueType::kBool, values.size());
  for (const bool value : values) out += static_cast<char>(value ? 1 : 0);
  AddEncoded(key, std::move(out));
}
void GgufWriter::AddStringArray(std::string_view key, std::span<const std::string> values) {
  std::string out = ArrayHeader(GgufValueType::kString, values.size());
  for (const std::string& value : values) AppendString(&out, value);
  AddEncoded(key, std::move(out));
}

void GgufWriter::CopyKey(const GgufFile& from, std::string_view key) {
  std::string out;
  Append(&out, static_cast<uint32_t>(*from.TypeOf(key)));
  out += from.RawValue(key);
  AddEncoded(key, std::move(out));
}

void GgufWriter::RemoveKey(std::string_view key) {
  std::erase_if(keys_, [&](const Key& existing) { return existing.name == key; });
}

void GgufWriter::AddTensor(std::string name, uint32_t type_id, std::vector<uint64_t> dims, RowSource source) {
  tensors_.push_back({std::move(name), type_id, std::move(dims), std::move(source), {}});
}

void GgufWriter::AddTensor(std::string name, uint32_t type_id, std::vector<uint64_t> dims,
                           std::vector<uint8_t> data) {
  tensors_.push_back({std::move(name), type_id, std::move(dims), nullptr, std::move(data)});
}

void GgufWriter::RemoveTensor(std::string_view name) {
  std::erase_if(tensors_, [&](const Tensor& existing) { return existing.name == name; });
}

std::vector<GgufWriter::TensorInfo> GgufWriter::Tensors() const {
  std::vector<TensorInfo> infos;
  for (const Tensor& tensor : tensors_) infos.push_back({tensor.name, tensor.type_id, tensor.dims});
  return infos;
}

Status GgufWriter::Check() const {
  if (version_ != 2 && version_ != 3)
    return Status(ErrorCode::kUsage, "GGUF version " + std::to_string(version_) + " cannot be written", "version");
  if (!std::has_single_bit(alignment_) || alignment_ < kGgufMinAlignment || alignment_ > kGgufMaxAlignment)
    return Status(ErrorCode::kUsage, "alignment " + std::to_string(alignment_) + " is not a power of two from 8 to 2^20",
                  "general.alignment");
  for (const Key& key : keys_)
    if (key.name.empty() || key.name.size() > kGgufMaxNameBytes)
      return Status(ErrorCode::kUsage, "a key has 1 to 65535 bytes", "key " + GgufQuote(key.name));
  std::set<std::string_view> names;
  for (const Tensor& tensor : tensors_) {
    const std::string where = "tensor " + GgufQuote(tensor.name);
    if (!names.insert(tensor.name).second) return Status(ErrorCode::kUsage, "tensor added twice", where);
    uint64_t row_bytes = 0;
    uint64_t num_rows = 0;
    LULL_RETURN_IF_ERROR(TensorSize(tensor.name, tensor.type_id, tensor.dims, &row_bytes, &num_rows));
    if (!tensor.source && tensor.data.size() != row_bytes * num_rows)
      return Status(ErrorCode::kUsage, std::to_string(tensor.data.size()) + " bytes given, " +
                    std::to_string(row_bytes * num_rows) + " needed", where);
  }
  return Status::Ok();
}

Result<std::string> GgufWriter::Header(std::span<const Key> keys, std::span<const Tensor> tensors,
                                       uint64_t* data_bytes) const {
  std::string header = "GGUF";
  Append(&header, version_);
  Append<uint64_t>(&header, tensors.size());
  Append<uint64_t>(&header, keys.size());
  for (const Key& key : keys) {
    AppendString(&header, key.name);
    header += key.value;
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    uint64_t row_bytes = 0;
    uint64_t num_rows = 0;
    LULL_RETURN_IF_ERROR(TensorSize(tensor.name, tensor.type_id, tensor.dims, &row_bytes, &num_rows));
    AppendString(&header, tensor.name);
    Append(&header, static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) Append(&header, dim);
    Append(&header, tensor.type_id);
    Append(&header, offset);
    offset += row_bytes * num_rows;
    offset += PaddingTo(offset, alignment_);
  }
  header.append(PaddingTo(header.size(), alignment_), '\0');
  *data_bytes = offset;
  return header;
}

Status GgufWriter::WriteFile(const std::string& path, std::span<const Key> keys,
                             std::span<const Tensor> tensors) const {
  uint64_t data_bytes = 0;
  LULL_ASSIGN_OR_RETURN(const std::string header, Header(keys, tensors, &data_bytes));
  const uint64_t file_bytes = header.size() + data_bytes;
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::AtomicFile> file, os::AtomicFile::Create(path));
  LULL_RETURN_IF_ERROR(file->Reserve(file_bytes));
  uint64_t written = 0;
  const auto put = [&](std::span<const uint8_t> bytes) -> Status {
    LULL_RETURN_IF_ERROR(file->Write(bytes));
    written += bytes.size();
    if (progress_ && !progress_(written, file_bytes))
      return Status(ErrorCode::kCancelled, "writing was given up", path);
    return Status::Ok();
  };
  LULL_RETURN_IF_ERROR(put(Bytes(header)));
  std::vector<uint8_t> piece;
  for (const Tensor& tensor : tensors) {
    uint64_t row_bytes = 0;
    uint64_t num_rows = 0;
    LULL_RETURN_IF_ERROR(TensorSize(tensor.name, tensor.type_id, tensor.dims, &row_bytes, &num_rows));
    if (!tensor.source) LULL_RETURN_IF_ERROR(put(tensor.data));
    const uint64_t piece_rows = std::max<uint64_t>(1, kPieceBytes / row_bytes);
    for (uint64_t row = 0; tensor.source && row < num_rows; row += piece_rows) {
      const uint64_t rows = std::min(piece_rows, num_rows - row);
      piece.assign(rows * row_bytes, 0);
      tensor.source(row, rows, piece.data());
      LULL_RETURN_IF_ERROR(put(piece));
    }
    LULL_RETURN_IF_ERROR(put(std::vector<uint8_t>(PaddingTo(row_bytes * num_rows, alignment_))));
  }
  return durable_ ? file->Commit() : file->CommitWithoutSync();
}

Status GgufWriter::Write(const std::string& path) const {
  LULL_RETURN_IF_ERROR(Check());
  GgufWriter all;
  all.keys_ = keys_;
  if (alignment_ != kGgufDefaultAlignment) all.AddUint32("general.alignment", alignment_);
  return WriteFile(path, all.keys_, tensors_);
}

Status GgufWriter::WriteSplit(const std::string& prefix, uint32_t num_parts) const {
  LULL_RETURN_IF_ERROR(Check());
  if (num_parts < 1 || num_parts > 1024)
    return Status(ErrorCode::kUsage, "a split model has 1 to 1024 parts", prefix);
  const std::span<const Tensor> tensors(tensors_);
  for (uint32_t part = 0; part < num_parts; ++part) {
    GgufWriter head;
    if (part == 0) head.keys_ = keys_;
    if (alignment_ != kGgufDefaultAlignment) head.AddUint32("general.alignment", alignment_);
    head.AddUint16("split.no", static_cast<uint16_t>(part));
    head.AddUint16("split.count", static_cast<uint16_t>(num_parts));
    head.AddInt32("split.tensors.count", static_cast<int32_t>(tensors.size()));
    const size_t first = tensors.size() * part / num_parts;
    const size_t last = tensors.size() * (part + 1) / num_parts;
    char tail[32];
    snprintf(tail, sizeof(tail), "-%05u-of-%05u.gguf", part + 1, num_parts);
    LULL_RETURN_IF_ERROR(WriteFile(prefix + tail, head.keys_, tensors.subspan(first, last - first)));
  }
  return Status::Ok();
}

}  // namespace lull
