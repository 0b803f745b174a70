#include "formats/gguf_parse.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace lull {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place");

constexpr uint64_t kHeaderBytes = 24;
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;           // length, name, type, smallest value
constexpr uint64_t kMinInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;  // length, name, n_dims, dim, type, offset

bool CheckedMul(uint64_t a, uint64_t b, uint64_t* out) { return !__builtin_mul_overflow(a, b, out); }
bool CheckedAdd(uint64_t a, uint64_t b, uint64_t* out) { return !__builtin_add_overflow(a, b, out); }

// Reads little-endian values and refuses to step beyond the end.
class Cursor {
 public:
  Cursor(const os::MappedFile& file, uint64_t offset, WorkMeter* meter)
      : data_(file.bytes().data()), size_(file.bytes().size()), offset_(offset),
        path_(file.path()), meter_(meter) {}

  WorkMeter& meter() { return *meter_; }
  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return size_ - offset_; }

  std::string Where(const std::string& what, uint64_t offset) const {
    return path_ + ": " + what + " at byte " + std::to_string(offset);
  }
  Status Invalid(const std::string& message, const std::string& what, uint64_t offset) const {
    return Status(ErrorCode::kInvalidModel, message, Where(what, offset),
                  "the file is damaged or incomplete; download it again");
  }
  Status Truncated(const std::string& what, uint64_t need) const {
    return Invalid("file ends early: " + std::to_string(need) + " bytes needed, " +
                       std::to_string(remaining()) + " left", what, offset_);
  }

  template <typename T>
  bool TryRead(T* out) {
    if (remaining() < sizeof(T)) return false;
    memcpy(out, data_ + offset_, sizeof(T));
    offset_ += sizeof(T);
    return true;
  }
  bool TrySkip(uint64_t bytes) {
    if (remaining() < bytes) return false;
    offset_ += bytes;
    return true;
  }
  bool TryReadString(std::string_view* out) {
    const uint64_t start = offset_;
    uint64_t length = 0;
    if (!TryRead(&length)) return false;
    if (length > remaining()) {
      offset_ = start;
      return false;
    }
    *out = {reinterpret_cast<const char*>(data_ + offset_), static_cast<size_t>(length)};
    offset_ += length;
    return true;
  }
  Status StringTooLong(const std::string& what) const {
    uint64_t length = 0;
    if (remaining() < sizeof(length)) return Truncated(what, sizeof(length));
    memcpy(&length, data_ + offset_, sizeof(length));
    return Invalid("string of " + std::to_string(length) + " bytes, but only " +
                       std::to_string(remaining() - sizeof(length)) + " bytes are left",
                   what, offset_);
  }

 private:
  const uint8_t* data_;
  uint64_t size_;
  uint64_t offset_;
  const std::string& path_;
  WorkMeter* meter_;
};

// Key or tensor name. Messages before the name is known name its index instead.
Status ReadName(Cursor& cursor, const std::string& what, std::string_view* name) {
  const uint64_t start = cursor.offset();
  if (!cursor.TryReadString(name)) return cursor.StringTooLong(what);
  if (name->empty() || name->size() > kGgufMaxNameBytes)
    return cursor.Invalid("name of " + std::to_string(name->size()) + " bytes; 1 to " +
                              std::to_string(kGgufMaxNameBytes) + " are allowed", what, start);
  cursor.meter().Spend(16 + name->size() / 8);  // the message's prefix is built in any case
  for (char c : *name)
    if (static_cast<unsigned char>(c) < 0x20)
      return cursor.Invalid("control byte in name " + GgufQuote(*name), what, start);
  return Status::Ok();
}

Status SkipBools(Cursor& cursor, uint64_t count, const std::string& what) {
  for (uint64_t i = 0; i < count; ++i) {
    if ((i & 0xFF) == 0) cursor.meter().Spend(0x40);
    uint8_t value = 0;
    const uint64_t start = cursor.offset();
    if (!cursor.TryRead(&value)) return cursor.Truncated(what, count - i);
    if (value > 1)
      return cursor.Invalid("bool stored as " + std::to_string(value) + "; 0 or 1 is allowed", what, start);
  }
  return Status::Ok();
}

Status SkipArray(Cursor& cursor, const std::string& what) {
  const uint64_t start = cursor.offset();
  uint32_t type_id = 0;
  uint64_t count = 0;
  if (!cursor.TryRead(&type_id) || !cursor.TryRead(&count)) return cursor.Truncated(what, 12);
  const auto type = static_cast<GgufValueType>(type_id);
  if (type == GgufValueType::kArray)
    return Status(ErrorCode::kUnsupported, "array of arrays", cursor.Where(what, start),
                  "no model format that Lull reads has nested arrays");
  if (type == GgufValueType::kString) {
    // 8 bytes is the shortest string: a claimed count beyond that is refused before the loop.
    if (count > cursor.remaining() / 8)
      return cursor.Invalid("array of " + std::to_string(count) + " strings, but only " +
                                std::to_string(cursor.remaining()) + " bytes are left", what, start);
    std::string_view text;
    for (uint64_t i = 0; i < count; ++i) {
      cursor.meter().Spend(2);
      if (!cursor.TryReadString(&text))
        return cursor.StringTooLong(what + ", element " + std::to_string(i));
    }
    return Status::Ok();
  }
  const uint64_t width = GgufValueWidth(type);
  if (width == 0)
    return cursor.Invalid("unknown array element type " + std::to_string(type_id), what, start);
  if (count > cursor.remaining() / width)
    return cursor.Invalid("array of " + std::to_string(count) + " " + GgufValueTypeName(type) +
                              " values, but only " + std::to_string(cursor.remaining()) +
                              " bytes are left", what, start);
  if (type == GgufValueType::kBool) return SkipBools(cursor, count, what);
  cursor.TrySkip(count * width);
  return Status::Ok();
}

Status SkipValue(Cursor& cursor, GgufValueType type, const std::string& what) {
  if (type == GgufValueType::kArray) return SkipArray(cursor, what);
  if (type == GgufValueType::kString) {
    std::string_view text;
    return cursor.TryReadString(&text) ? Status::Ok() : cursor.StringTooLong(what);
  }
  if (type == GgufValueType::kBool) return SkipBools(cursor, 1, what);
  const uint64_t width = GgufValueWidth(type);
  if (width == 0)
    return cursor.Invalid("unknown value type " + std::to_string(static_cast<uint32_t>(type)), what,
                          cursor.offset() - 4);
  return cursor.TrySkip(width) ? Status::Ok() : cursor.Truncated(what, width);
}

Status CheckMagicAndVersion(Cursor& cursor, GgufPart* part) {
  char magic[4];
  if (!cursor.TryRead(&magic)) return cursor.Truncated("header", kHeaderBytes);
  if (memcmp(magic, "GGUF", 4) != 0)
    return Status(ErrorCode::kInvalidModel,
                  "not a GGUF file: it starts with " + GgufQuote({magic, 4}),
                  cursor.Where("header", 0), "give a .gguf model file");
  if (!cursor.TryRead(&part->version)) return cursor.Truncated("header", kHeaderBytes);
  if (part->version == 2 || part->version == 3) return Status::Ok();
  if (part->version == 1)
    return Status(ErrorCode::kUnsupported, "GGUF version 1 (32-bit lengths) is not supported",
                  cursor.Where("version", 4), "convert the model again; versions 2 and 3 are read");
  if (part->version != 0 && (part->version & 0xffffu) == 0)
    return Status(ErrorCode::kUnsupported,
                  "GGUF version " + std::to_string(__builtin_bswap32(part->version)) +
                      " in big-endian byte order is not supported",
                  cursor.Where("version", 4), "use a little-endian conversion of the model");
  return Status(ErrorCode::kUnsupported,
                "GGUF version " + std::to_string(part->version) + " is not known",
                cursor.Where("version", 4), "versions 2 and 3 are read");
}

// Both counts are held against their smallest possible encoding before anything is reserved.
Status ReadCounts(Cursor& cursor, GgufPart* part, uint64_t* num_keys) {
  if (!cursor.TryRead(&part->num_tensors)) return cursor.Truncated("tensor count", 8);
  if (!cursor.TryRead(num_keys)) return cursor.Truncated("key count", 8);
  if (part->num_tensors > kGgufMaxTensors || part->num_tensors > cursor.remaining() / kMinInfoBytes)
    return cursor.Invalid("tensor count " + std::to_string(part->num_tensors) +
                              " is more than the file can hold or than " +
                              std::to_string(kGgufMaxTensors), "tensor count", 8);
  if (*num_keys > kGgufMaxKeys || *num_keys > cursor.remaining() / kMinKeyBytes)
    return cursor.Invalid("key count " + std::to_string(*num_keys) +
                              " is more than the file can hold or than " +
                              std::to_string(kGgufMaxKeys), "key count", 16);
  return Status::Ok();
}

Status ReadKeys(Cursor& cursor, uint64_t num_keys, GgufPart* part) {
  part->entries.reserve(num_keys);
  for (uint64_t i = 0; i < num_keys; ++i) {
    GgufEntry entry;
    const std::string index = "key " + std::to_string(i);
    LULL_RETURN_IF_ERROR(ReadName(cursor, index, &entry.key));
    const std::string what = "key " + GgufQuote(entry.key);
    uint32_t type_id = 0;
    if (!cursor.TryRead(&type_id)) return cursor.Truncated(what, 4);
    entry.type = static_cast<GgufValueType>(type_id);
    entry.offset = cursor.offset();
    LULL_RETURN_IF_ERROR(SkipValue(cursor, entry.type, what));
    part->entries.push_back(entry);
  }
  part->by_key.resize(num_keys);
  for (uint64_t i = 0; i < num_keys; ++i) part->by_key[i] = static_cast<uint16_t>(i);
  const std::vector<GgufEntry>& entries = part->entries;
  std::sort(part->by_key.begin(), part->by_key.end(), [&](uint16_t a, uint16_t b) {
    cursor.meter().Spend(GgufCompareCost(entries[a].key, entries[b].key));
    return entries[a].key != entries[b].key ? entries[a].key < entries[b].key : a < b;
  });
  for (size_t i = 1; i < part->by_key.size(); ++i) {
    const GgufEntry& entry = entries[part->by_key[i]];
    cursor.meter().Spend(GgufCompareCost(entry.key, entries[part->by_key[i - 1]].key));
    if (entry.key == entries[part->by_key[i - 1]].key)
      return cursor.Invalid("key appears twice", "key " + GgufQuote(entry.key), entry.offset);
  }
  return Status::Ok();
}

Status ReadAlignment(const Cursor& cursor, GgufPart* part) {
  const GgufEntry* entry = part->Find("general.alignment");
  if (entry == nullptr) return Status::Ok();
  const std::string what = "key 'general.alignment'";
  if (entry->type != GgufValueType::kUint32)
    return cursor.Invalid(std::string("general.alignment is ") + GgufValueTypeName(entry->type) +
                              "; uint32 is required", what, entry->offset);
  uint32_t alignment = 0;
  memcpy(&alignment, part->file->bytes().data() + entry->offset, sizeof(alignment));
  if (!std::has_single_bit(alignment) || alignment < kGgufMinAlignment || alignment > kGgufMaxAlignment)
    return cursor.Invalid("alignment " + std::to_string(alignment) + " is not a power of two from " +
                              std::to_string(kGgufMinAlignment) + " to " +
                              std::to_string(kGgufMaxAlignment), what, entry->offset);
  part->alignment = alignment;
  return Status::Ok();
}

struct TensorInfo {
  std::string_view name;
  uint32_t num_dims = 0;
  uint64_t dims[4] = {};
  uint32_t type_id = 0;
  uint64_t data_offset = 0;  // from the start of the data section
  uint64_t data_bytes = 0;
  uint64_t info_offset = 0;  // where the info stands, for messages
};

// data_bytes from dims and type, every product checked.
Status SizeTensor(const Cursor& cursor, const std::string& what, TensorInfo* info) {
  uint64_t elements = 1;
  for (uint32_t d = 0; d < info->num_dims; ++d) {
    if (info->dims[d] == 0) return cursor.Invalid("dimension " + std::to_string(d) + " is 0", what, info->info_offset);
    if (!CheckedMul(elements, info->dims[d], &elements) ||
        elements > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return cursor.Invalid("dimensions multiply to more than 2^63 elements", what, info->info_offset);
  }
  const Result<uint64_t> row_bytes = GgufRowBytes(info->type_id, info->dims[0]);
  if (!row_bytes.ok()) {
    Error error = row_bytes.error();
    error.where = cursor.Where(what, info->info_offset);
    return error;
  }
  if (!CheckedMul(*row_bytes, elements / info->dims[0], &info->data_bytes))
    return cursor.Invalid("tensor size overflows 64 bits", what, info->info_offset);
  return Status::Ok();
}

Status ReadInfo(Cursor& cursor, uint64_t index, TensorInfo* info) {
  info->info_offset = cursor.offset();
  LULL_RETURN_IF_ERROR(ReadName(cursor, "tensor " + std::to_string(index), &info->name));
  const std::string what = "tensor " + GgufQuote(info->name);
  if (!cursor.TryRead(&info->num_dims)) return cursor.Truncated(what, 4);
  if (info->num_dims < 1 || info->num_dims > 4)
    return cursor.Invalid(std::to_string(info->num_dims) + " dimensions; 1 to 4 are allowed", what, info->info_offset);
  for (uint32_t d = 0; d < info->num_dims; ++d)
    if (!cursor.TryRead(&info->dims[d])) return cursor.Truncated(what, 8);
  if (!cursor.TryRead(&info->type_id) || !cursor.TryRead(&info->data_offset)) return cursor.Truncated(what, 12);
  return SizeTensor(cursor, what, info);
}

Status CheckExtent(const Cursor& cursor, const GgufPart& part, const TensorInfo& info) {
  const uint64_t file_bytes = part.file->bytes().size();
  const std::string what = "tensor " + GgufQuote(info.name);
  if (info.data_offset % part.alignment != 0)
    return cursor.Invalid("data offset " + std::to_string(info.data_offset) +
                              " is not a multiple of the alignment " + std::to_string(part.alignment),
                          what, info.info_offset);
  uint64_t begin = 0;
  uint64_t end = 0;
  if (!CheckedAdd(part.data_offset, info.data_offset, &begin) ||
      !CheckedAdd(begin, info.data_bytes, &end) || end > file_bytes)
    return cursor.Invalid("data of " + std::to_string(info.data_bytes) + " bytes from offset " +
                              std::to_string(info.data_offset) + " of the data section (byte " +
                              std::to_string(part.data_offset) + ") ends beyond the file's " +
                              std::to_string(file_bytes) + " bytes", what, info.info_offset);
  return Status::Ok();
}

// Two walks, because the data section starts where the infos end. Nothing is allocated, so a
// directory that lies costs no heap.
Status CheckTensors(Cursor& cursor, GgufPart* part) {
  part->infos_offset = cursor.offset();
  TensorInfo info;
  for (uint64_t i = 0; i < part->num_tensors; ++i) LULL_RETURN_IF_ERROR(ReadInfo(cursor, i, &info));
  const uint64_t file_bytes = part->file->bytes().size();
  part->data_offset = (cursor.offset() + part->alignment - 1) / part->alignment * part->alignment;
  if (part->num_tensors == 0) return Status::Ok();
  if (part->data_offset > file_bytes)
    return cursor.Invalid("file ends before its tensor data, which starts at byte " +
                              std::to_string(part->data_offset), "tensor data", file_bytes);
  Cursor again(*part->file, part->infos_offset, &cursor.meter());
  uint64_t left = file_bytes - part->data_offset;
  for (uint64_t i = 0; i < part->num_tensors; ++i) {
    LULL_RETURN_IF_ERROR(ReadInfo(again, i, &info));
    LULL_RETURN_IF_ERROR(CheckExtent(again, *part, info));
    if (info.data_bytes > left)
      return again.Invalid("tensors need more data than the file holds, so some overlap",
                           "tensor " + GgufQuote(info.name), info.info_offset);
    left -= info.data_bytes;
  }
  return Status::Ok();
}

}  // namespace

const GgufEntry* GgufPart::Find(std::string_view key) const {
  const auto it = std::lower_bound(by_key.begin(), by_key.end(), key,
                                   [&](uint16_t i, std::string_view k) { return entries[i].key < k; });
  if (it == by_key.end() || entries[*it].key != key) return nullptr;
  return &entries[*it];
}

Result<GgufPart> ParseGgufPart(const std::string& path, WorkMeter* meter) {
  GgufPart part;
  LULL_ASSIGN_OR_RETURN(part.file, os::MappedFile::Open(path));
  Cursor cursor(*part.file, 0, meter);
  uint64_t num_keys = 0;
  LULL_RETURN_IF_ERROR(CheckMagicAndVersion(cursor, &part));
  LULL_RETURN_IF_ERROR(ReadCounts(cursor, &part, &num_keys));
  LULL_RETURN_IF_ERROR(ReadKeys(cursor, num_keys, &part));
  LULL_RETURN_IF_ERROR(ReadAlignment(cursor, &part));
  LULL_RETURN_IF_ERROR(CheckTensors(cursor, &part));
  return part;
}

Status AppendGgufTensors(const GgufPart& part, int file_index, WorkMeter* meter,
                         std::vector<GgufTensor>* tensors) {
  Cursor cursor(*part.file, part.infos_offset, meter);
  const size_t first = tensors->size();
  TensorInfo info;
  for (uint64_t i = 0; i < part.num_tensors; ++i) {
    LULL_RETURN_IF_ERROR(ReadInfo(cursor, i, &info));
    GgufTensor& tensor = tensors->emplace_back();
    tensor.name = std::string(info.name);
    tensor.type_id = info.type_id;
    tensor.dims.assign(info.dims, info.dims + info.num_dims);
    tensor.file_offset = part.data_offset + info.data_offset;
    tensor.data = part.file->bytes().subspan(tensor.file_offset, info.data_bytes);
    tensor.file_index = file_index;
  }
  std::vector<uint32_t> by_offset(tensors->size() - first);
  for (size_t i = 0; i < by_offset.size(); ++i) by_offset[i] = static_cast<uint32_t>(first + i);
  std::sort(by_offset.begin(), by_offset.end(), [&](uint32_t a, uint32_t b) {
    meter->Spend(2);
    return (*tensors)[a].file_offset < (*tensors)[b].file_offset;
  });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    meter->Spend(2);
    const GgufTensor& before = (*tensors)[by_offset[i - 1]];
    const GgufTensor& tensor = (*tensors)[by_offset[i]];
    if (before.file_offset + before.data.size() > tensor.file_offset)
      return cursor.Invalid("data overlaps tensor " + GgufQuote(before.name),
                            "tensor " + GgufQuote(tensor.name), tensor.file_offset);
  }
  return Status::Ok();
}

uint64_t GgufValueWidth(GgufValueType type) {
  switch (type) {
    case GgufValueType::kUint8:
    case GgufValueType::kInt8:
    case GgufValueType::kBool: return 1;
    case GgufValueType::kUint16:
    case GgufValueType::kInt16: return 2;
    case GgufValueType::kUint32:
    case GgufValueType::kInt32:
    case GgufValueType::kFloat32: return 4;
    case GgufValueType::kUint64:
    case GgufValueType::kInt64:
    case GgufValueType::kFloat64: return 8;
    case GgufValueType::kString:
    case GgufValueType::kArray: return 0;
  }
  return 0;
}

const char* GgufValueTypeName(GgufValueType type) {
  static constexpr const char* kNames[] = {"uint8", "int8", "uint16", "int16", "uint32",
                                           "int32", "float32", "bool", "string", "array",
                                           "uint64", "int64", "float64"};
  const auto id = static_cast<uint32_t>(type);
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

std::string GgufQuote(std::string_view name) {
  constexpr size_t kShown = 80;
  constexpr char kHex[] = "0123456789abcdef";
  std::string text = "'";
  for (char c : name.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return text + (name.size() > kShown ? "...'" : "'");
}

}  // namespace lull
