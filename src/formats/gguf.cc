#include "formats/gguf.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "formats/gguf_parse.h"

namespace lull {
namespace {

constexpr uint64_t kMaxParts = 1024;

// "model-00002-of-00003.gguf": prefix "model", number 2, count 3.
struct SplitName {
  std::string prefix;
  uint64_t number = 0;
  uint64_t count = 0;

  std::string PartPath(uint64_t part_number) const {
    const auto five = [](uint64_t n) {
      const std::string digits = std::to_string(n);
      return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
    };
    return prefix + "-" + five(part_number) + "-of-" + five(count) + ".gguf";
  }
};

bool ParseFiveDigits(std::string_view text, uint64_t* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<SplitName> ParseSplitName(const std::string& path) {
  constexpr size_t kTail = sizeof("-00001-of-00003.gguf") - 1;
  if (path.size() <= kTail) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kTail);
  SplitName name;
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") return std::nullopt;
  if (!ParseFiveDigits(tail.substr(1, 5), &name.number) || !ParseFiveDigits(tail.substr(10, 5), &name.count))
    return std::nullopt;
  name.prefix = path.substr(0, path.size() - kTail);
  return name;
}

// Sign and magnitude wide enough for every integer type.
struct Integer {
  bool negative = false;
  uint64_t bits = 0;  // two's complement

  bool FitsInt64() const {
    return negative || bits <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  }
};

template <typename T>
T Load(const uint8_t* data) {
  T value;
  memcpy(&value, data, sizeof(T));
  return value;
}

template <typename T>
Integer FromSigned(const uint8_t* data) {
  const int64_t value = Load<T>(data);
  return {value < 0, static_cast<uint64_t>(value)};
}

std::optional<Integer> LoadInteger(GgufValueType type, const uint8_t* data) {
  switch (type) {
    case GgufValueType::kUint8: return Integer{false, Load<uint8_t>(data)};
    case GgufValueType::kUint16: return Integer{false, Load<uint16_t>(data)};
    case GgufValueType::kUint32: return Integer{false, Load<uint32_t>(data)};
    case GgufValueType::kUint64: return Integer{false, Load<uint64_t>(data)};
    case GgufValueType::kInt8: return FromSigned<int8_t>(data);
    case GgufValueType::kInt16: return FromSigned<int16_t>(data);
    case GgufValueType::kInt32: return FromSigned<int32_t>(data);
    case GgufValueType::kInt64: return FromSigned<int64_t>(data);
    default: return std::nullopt;
  }
}

std::string_view LoadString(const uint8_t* data) {
  return {reinterpret_cast<const char*>(data) + 8, static_cast<size_t>(Load<uint64_t>(data))};
}

// An array's directory entry, already checked against the file by ParseGgufPart.
struct ArrayView {
  GgufValueType type{};
  uint64_t count = 0;
  const uint8_t* data = nullptr;
};

ArrayView LoadArray(const uint8_t* data) {
  return {static_cast<GgufValueType>(Load<uint32_t>(data)), Load<uint64_t>(data + 4), data + 12};
}

std::string DescribeScalar(GgufValueType type, const uint8_t* data) {
  if (const auto integer = LoadInteger(type, data))
    return integer->negative ? std::to_string(static_cast<int64_t>(integer->bits))
                             : std::to_string(integer->bits);
  char text[32];
  switch (type) {
    case GgufValueType::kBool: return *data != 0 ? "true" : "false";
    case GgufValueType::kString: return GgufQuote(LoadString(data));
    case GgufValueType::kFloat32: {
      const auto [end, error] = std::to_chars(text, text + sizeof(text), Load<float>(data));
      return error == std::errc() ? std::string(text, end) : "?";
    }
    case GgufValueType::kFloat64: {
      const auto [end, error] = std::to_chars(text, text + sizeof(text), Load<double>(data));
      return error == std::errc() ? std::string(text, end) : "?";
    }
    default: return "?";
  }
}

}  // namespace

struct GgufFile::Rep {
  std::string path;
  std::vector<GgufPart> parts;
  std::vector<GgufTensor> tensors;
  std::vector<uint32_t> by_name;  // tensor indices sorted by name

  const GgufPart& first() const { return parts.front(); }
  const uint8_t* Value(const GgufEntry& entry) const { return first().file->bytes().data() + entry.offset; }
  std::string Where(const GgufEntry& entry) const {
    return first().file->path() + ": key " + GgufQuote(entry.key) + " at byte " + std::to_string(entry.offset);
  }
  Status WrongType(const GgufEntry& entry, const std::string& wanted) const {
    std::string found = GgufValueTypeName(entry.type);
    if (entry.type == GgufValueType::kArray)
      found = std::string("array of ") + GgufValueTypeName(LoadArray(Value(entry)).type);
    return Status(ErrorCode::kInvalidModel, "key is " + found + "; " + wanted + " is required", Where(entry));
  }
  Result<const GgufEntry*> Require(std::string_view key) const {
    const GgufEntry* entry = first().Find(key);
    if (entry != nullptr) return entry;
    return Status(ErrorCode::kInvalidModel, "required key " + GgufQuote(key) + " is missing",
                  first().file->path() + ": key " + GgufQuote(key));
  }
  Result<ArrayView> RequireArray(std::string_view key, const GgufEntry** entry) const {
    LULL_ASSIGN_OR_RETURN(*entry, Require(key));
    if ((*entry)->type != GgufValueType::kArray) return WrongType(**entry, "an array");
    return LoadArray(Value(**entry));
  }

  Result<uint64_t> OptionalCount(const GgufPart& part, std::string_view key, uint64_t fallback) const;
  Status OpenParts(WorkMeter* meter);
  Status CheckPart(const GgufPart& part, uint64_t index, uint64_t count) const;
  Status JoinTensors(WorkMeter* meter);
};

// split.* keys are stored as uint16 and int32 by writers in use; any integer is accepted.
Result<uint64_t> GgufFile::Rep::OptionalCount(const GgufPart& part, std::string_view key,
                                              uint64_t fallback) const {
  const GgufEntry* entry = part.Find(key);
  if (entry == nullptr) return fallback;
  const auto integer = LoadInteger(entry->type, part.file->bytes().data() + entry->offset);
  if (!integer || integer->negative)
    return Status(ErrorCode::kInvalidModel, std::string("key is ") + GgufValueTypeName(entry->type) +
                  ", or negative; a count is required",
                  part.file->path() + ": key " + GgufQuote(key) + " at byte " + std::to_string(entry->offset));
  return integer->bits;
}

Status GgufFile::Rep::CheckPart(const GgufPart& part, uint64_t index, uint64_t count) const {
  LULL_ASSIGN_OR_RETURN(const uint64_t own_count, OptionalCount(part, "split.count", 1));
  LULL_ASSIGN_OR_RETURN(const uint64_t own_index, OptionalCount(part, "split.no", 0));
  if (own_count == count && own_index == index) return Status::Ok();
  return Status(ErrorCode::kInvalidModel,
                "split part says it is number " + std::to_string(own_index) + " of " + std::to_string(own_count) +
                    " (split.no, split.count); number " + std::to_string(index) + " of " +
                    std::to_string(count) + " belongs here",
                part.file->path() + ": keys 'split.no', 'split.count'", "the parts of a split model must keep their names");
}

Status GgufFile::Rep::OpenParts(WorkMeter* meter) {
  const std::optional<SplitName> name = ParseSplitName(path);
  LULL_ASSIGN_OR_RETURN(GgufPart opened, ParseGgufPart(path, meter));
  LULL_ASSIGN_OR_RETURN(const uint64_t count, OptionalCount(opened, "split.count", 1));
  if (count > kMaxParts)
    return Status(ErrorCode::kInvalidModel, "split.count is " + std::to_string(count) + "; at most " +
                  std::to_string(kMaxParts) + " parts are read", path + ": key 'split.count'");
  const uint64_t named_count = name ? name->count : 1;
  if (count <= 1 && named_count <= 1) {
    parts.push_back(std::move(opened));
    return Status::Ok();
  }
  if (!name || named_count != count || name->number < 1 || name->number > count)
    return Status(ErrorCode::kInvalidModel,
                  "split.count is " + std::to_string(count) + ", which the file's name does not say",
                  path + ": key 'split.count'", "a split model's parts are named NAME-00001-of-00003.gguf");
  for (uint64_t index = 0; index < count; ++index) {
    if (index + 1 == name->number) {
      parts.push_back(std::move(opened));
    } else {
      LULL_ASSIGN_OR_RETURN(GgufPart part, ParseGgufPart(name->PartPath(index + 1), meter));
      parts.push_back(std::move(part));
    }
    LULL_RETURN_IF_ERROR(CheckPart(parts.back(), index, count));
  }
  return Status::Ok();
}

Status GgufFile::Rep::JoinTensors(WorkMeter* meter) {
  uint64_t total = 0;
  for (const GgufPart& part : parts) total += part.num_tensors;
  if (parts.size() > 1) {
    LULL_ASSIGN_OR_RETURN(const uint64_t stated, OptionalCount(first(), "split.tensors.count", total));
    if (stated != total)
      return Status(ErrorCode::kInvalidModel,
                    "split.tensors.count is " + std::to_string(stated) + ", but the " +
                        std::to_string(parts.size()) + " parts hold " + std::to_string(total) + " tensors",
                    first().file->path() + ": key 'split.tensors.count'");
  }
  if (total > kGgufMaxTensors)
    return Status(ErrorCode::kInvalidModel, std::to_string(total) + " tensors; at most " +
                  std::to_string(kGgufMaxTensors) + " are read", path);
  tensors.reserve(total);
  for (size_t i = 0; i < parts.size(); ++i)
    LULL_RETURN_IF_ERROR(AppendGgufTensors(parts[i], static_cast<int>(i), meter, &tensors));
  by_name.resize(total);
  for (size_t i = 0; i < by_name.size(); ++i) by_name[i] = static_cast<uint32_t>(i);
  std::sort(by_name.begin(), by_name.end(), [&](uint32_t a, uint32_t b) {
    meter->Spend(GgufCompareCost(tensors[a].name, tensors[b].name));
    return tensors[a].name < tensors[b].name;
  });
  for (size_t i = 1; i < by_name.size(); ++i) {
    const GgufTensor& tensor = tensors[by_name[i]];
    meter->Spend(GgufCompareCost(tensor.name, tensors[by_name[i - 1]].name));
    if (tensor.name == tensors[by_name[i - 1]].name)
      return Status(ErrorCode::kInvalidModel, "tensor appears twice",
                    parts[tensor.file_index].file->path() + ": tensor " + GgufQuote(tensor.name) +
                        " with data at byte " + std::to_string(tensor.file_offset));
  }
  return Status::Ok();
}

GgufFile::GgufFile() : rep_(std::make_unique<Rep>()) {}
GgufFile::~GgufFile() = default;

Result<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path, const ExecContext& ctx) {
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->rep_->path = path;
  WorkMeter meter(ctx);
  LULL_RETURN_IF_ERROR(file->rep_->OpenParts(&meter));
  LULL_RETURN_IF_ERROR(file->rep_->JoinTensors(&meter));
  return file;
}

uint32_t GgufFile::version() const { return rep_->first().version; }
const std::string& GgufFile::path() const { return rep_->path; }
const std::vector<GgufTensor>& GgufFile::tensors() const { return rep_->tensors; }

uint64_t GgufFile::file_bytes() const {
  uint64_t total = 0;
  for (const GgufPart& part : rep_->parts) total += part.file->bytes().size();
  return total;
}

GgufIdentity GgufFile::Identity(const ExecContext& ctx) const {
  constexpr uint64_t kPiece = 32768;  // 0.1 ms where SHA-256 has no instruction of its own
  GgufIdentity identity;
  identity.file_bytes = file_bytes();
  Sha256 sha;
  for (const GgufPart& part : rep_->parts) {
    identity.modified_ns = std::max(identity.modified_ns, part.file->modified_ns());
    const std::span<const uint8_t> bytes = part.file->bytes();
    const int64_t size_and_time[] = {static_cast<int64_t>(bytes.size()), part.file->modified_ns()};
    sha.Update(size_and_time, sizeof(size_and_time));
    const uint64_t end = std::min<uint64_t>(part.data_offset, bytes.size());
    for (uint64_t at = 0; at < end; at += kPiece) {
      sha.Update(bytes.data() + at, std::min(kPiece, end - at));
      ctx.Checkpoint();
    }
  }
  identity.headers = sha.Digest();
  return identity;
}

uint32_t GgufFile::owner_uid() const { return rep_->first().file->owner_uid(); }

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto it = std::lower_bound(rep_->by_name.begin(), rep_->by_name.end(), name,
                                   [&](uint32_t i, std::string_view n) { return rep_->tensors[i].name < n; });
  if (it == rep_->by_name.end() || rep_->tensors[*it].name != name) return nullptr;
  return &rep_->tensors[*it];
}

bool GgufFile::Has(std::string_view key) const { return rep_->first().Find(key) != nullptr; }

std::vector<std::string> GgufFile::Keys() const {
  std::vector<std::string> keys;
  keys.reserve(rep_->first().entries.size());
  for (const GgufEntry& entry : rep_->first().entries) keys.emplace_back(entry.key);
  return keys;
}

std::optional<GgufValueType> GgufFile::TypeOf(std::string_view key) const {
  const GgufEntry* entry = rep_->first().Find(key);
  if (entry == nullptr) return std::nullopt;
  return entry->type;
}

std::string_view GgufFile::RawValue(std::string_view key) const {
  const GgufEntry* entry = rep_->first().Find(key);
  const uint8_t* const begin = rep_->Value(*entry);
  const auto bytes = [begin](const uint8_t* end) {
    return std::string_view(reinterpret_cast<const char*>(begin), static_cast<size_t>(end - begin));
  };
  if (entry->type == GgufValueType::kString) return bytes(begin + 8 + LoadString(begin).size());
  if (entry->type != GgufValueType::kArray) return bytes(begin + GgufValueWidth(entry->type));
  const ArrayView array = LoadArray(begin);
  if (array.type != GgufValueType::kString) return bytes(array.data + array.count * GgufValueWidth(array.type));
  const uint8_t* end = array.data;
  for (uint64_t i = 0; i < array.count; ++i) end += 8 + LoadString(end).size();
  return bytes(end);
}

uint64_t GgufFile::OffsetOf(std::string_view key) const {
  const GgufEntry* entry = rep_->first().Find(key);
  return entry == nullptr ? 0 : entry->offset;
}

Error GgufFile::Locate(Error error) const {
  for (const GgufPart& part : rep_->parts)
    if (error.where.starts_with(part.file->path())) return error;
  if (const GgufEntry* entry = rep_->first().Find(error.where); entry != nullptr) {
    error.where = rep_->Where(*entry);
  } else if (const GgufTensor* tensor = FindTensor(error.where); tensor != nullptr) {
    error.where = rep_->parts[tensor->file_index].file->path() + ": tensor " + GgufQuote(tensor->name) +
                  " with data at byte " + std::to_string(tensor->file_offset);
  } else {
    error.where = rep_->path + (error.where.empty() ? "" : ": " + error.where);
  }
  return error;
}

Result<uint64_t> GgufFile::GetUint(std::string_view key) const {
  LULL_ASSIGN_OR_RETURN(const GgufEntry* entry, rep_->Require(key));
  const auto integer = LoadInteger(entry->type, rep_->Value(*entry));
  if (!integer) return rep_->WrongType(*entry, "an integer");
  if (integer->negative)
    return Status(ErrorCode::kInvalidModel, "value " + std::to_string(static_cast<int64_t>(integer->bits)) +
                  " is negative", rep_->Where(*entry));
  return integer->bits;
}

Result<int64_t> GgufFile::GetInt(std::string_view key) const {
  LULL_ASSIGN_OR_RETURN(const GgufEntry* entry, rep_->Require(key));
  const auto integer = LoadInteger(entry->type, rep_->Value(*entry));
  if (!integer) return rep_->WrongType(*entry, "an integer");
  if (!integer->FitsInt64())
    return Status(ErrorCode::kInvalidModel, "value " + std::to_string(integer->bits) + " exceeds 2^63 - 1",
                  rep_->Where(*entry));
  return static_cast<int64_t>(integer->bits);
}

Result<double> GgufFile::GetFloat(std::string_view key) const {
  LULL_ASSIGN_OR_RETURN(const GgufEntry* entry, rep_->Require(key));
  if (entry->type == GgufValueType::kFloat32) return double{Load<float>(rep_->Value(*entry))};
  if (entry->type == GgufValueType::kFloat64) return Load<double>(rep_->Value(*entry));
  return rep_->WrongType(*entry, "float32 or float64");
}

Result<bool> GgufFile::GetBool(std::string_view key) const {
  LULL_ASSIGN_OR_RETURN(const GgufEntry* entry, rep_->Require(key));
  if (entry->type != GgufValueType::kBool) return rep_->WrongType(*entry, "bool");
  return *rep_->Value(*entry) != 0;
}

Result<std::string_view> GgufFile::GetString(std::string_view key) const {
  LULL_ASSIGN_OR_RETURN(const GgufEntry* entry, rep_->Require(key));
  if (entry->type != GgufValueType::kString) return rep_->WrongType(*entry, "string");
  return LoadString(rep_->Value(*entry));
}

Result<uint64_t> GgufFile::ArraySize(std::string_view key) const {
  const GgufEntry* entry = nullptr;
  LULL_ASSIGN_OR_RETURN(const ArrayView array, rep_->RequireArray(key, &entry));
  return array.count;
}

Result<std::vector<std::string_view>> GgufFile::GetStringArray(std::string_view key,
                                                                     const ExecContext& ctx) const {
  const GgufEntry* entry = nullptr;
  LULL_ASSIGN_OR_RETURN(const ArrayView array, rep_->RequireArray(key, &entry));
  if (array.type != GgufValueType::kString) return rep_->WrongType(*entry, "an array of strings");
  WorkMeter meter(ctx);
  std::vector<std::string_view> strings;
  strings.reserve(array.count);
  const uint8_t* at = array.data;
  for (uint64_t i = 0; i < array.count; ++i) {
    meter.Spend(2);
    strings.push_back(LoadString(at));
    at += 8 + strings.back().size();
  }
  return strings;
}

Result<std::string_view> GgufFile::GetByteArray(std::string_view key) const {
  const GgufEntry* entry = nullptr;
  LULL_ASSIGN_OR_RETURN(const ArrayView array, rep_->RequireArray(key, &entry));
  if (array.type != GgufValueType::kUint8 && array.type != GgufValueType::kInt8)
    return rep_->WrongType(*entry, "an array of bytes");
  return std::string_view(reinterpret_cast<const char*>(array.data), array.count);
}

Result<std::vector<int64_t>> GgufFile::GetIntArray(std::string_view key,
                                                       const ExecContext& ctx) const {
  constexpr uint64_t kFreeElements = 65536;  // widening bytes to int64 beyond this would break the heap bound
  const GgufEntry* entry = nullptr;
  LULL_ASSIGN_OR_RETURN(const ArrayView array, rep_->RequireArray(key, &entry));
  const bool is_bool = array.type == GgufValueType::kBool;
  const GgufValueType type = is_bool ? GgufValueType::kUint8 : array.type;
  const uint64_t width = GgufValueWidth(type);
  if (width == 0 || type == GgufValueType::kFloat32 || type == GgufValueType::kFloat64)
    return rep_->WrongType(*entry, "an array of integers");
  if (width < 4 && array.count > kFreeElements)
    return Status(ErrorCode::kUnsupported, "array of " + std::to_string(array.count) + " " +
                  GgufValueTypeName(array.type) + " values; int32 is required beyond " +
                  std::to_string(kFreeElements), rep_->Where(*entry));
  WorkMeter meter(ctx);
  std::vector<int64_t> values;
  values.reserve(array.count);
  for (uint64_t i = 0; i < array.count; ++i) {
    meter.Spend(1);
    const Integer integer = *LoadInteger(type, array.data + i * width);
    if (!integer.FitsInt64())
      return Status(ErrorCode::kInvalidModel, "element " + std::to_string(i) + ", " +
                    std::to_string(integer.bits) + ", exceeds 2^63 - 1", rep_->Where(*entry));
    values.push_back(static_cast<int64_t>(integer.bits));
  }
  return values;
}

Result<std::vector<float>> GgufFile::GetFloatArray(std::string_view key,
                                                       const ExecContext& ctx) const {
  const GgufEntry* entry = nullptr;
  LULL_ASSIGN_OR_RETURN(const ArrayView array, rep_->RequireArray(key, &entry));
  if (array.type != GgufValueType::kFloat32 && array.type != GgufValueType::kFloat64)
    return rep_->WrongType(*entry, "an array of float32 or float64");
  WorkMeter meter(ctx);
  std::vector<float> values;
  values.reserve(array.count);
  for (uint64_t i = 0; i < array.count; ++i) {
    meter.Spend(1);
    values.push_back(array.type == GgufValueType::kFloat32
                         ? Load<float>(array.data + 4 * i)
                         : static_cast<float>(Load<double>(array.data + 8 * i)));
  }
  return values;
}

std::string GgufFile::Describe(std::string_view key) const {
  const GgufEntry* entry = rep_->first().Find(key);
  if (entry == nullptr) return "(absent)";
  if (entry->type != GgufValueType::kArray) return DescribeScalar(entry->type, rep_->Value(*entry));
  constexpr uint64_t kShown = 6;
  const ArrayView array = LoadArray(rep_->Value(*entry));
  std::string text = "[";
  const uint8_t* at = array.data;
  for (uint64_t i = 0; i < std::min(array.count, kShown); ++i) {
    text += (i == 0 ? "" : ", ") + DescribeScalar(array.type, at);
    at += array.type == GgufValueType::kString ? 8 + LoadString(at).size() : GgufValueWidth(array.type);
  }
  if (array.count > kShown) text += ", ... " + std::to_string(array.count) + " in all";
  return text + "]";
}

void GgufFile::DropPages(const GgufTensor& tensor) const {
  rep_->parts[tensor.file_index].file->DropPages(tensor.file_offset, tensor.data.size());
}

}  // namespace lull
