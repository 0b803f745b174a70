#include "formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>

#include "base/json_reader.h"
#include "base/os/os.h"
#include "formats/gguf.h"

namespace lull {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are read in place");

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;

struct DtypeWidth {
  std::string_view name;
  uint64_t bytes;
};
constexpr DtypeWidth kWidths[] = {{"F64", 8},     {"F32", 4},     {"F16", 2}, {"BF16", 2},
                                  {"I64", 8},     {"U64", 8},     {"I32", 4}, {"U32", 4},
                                  {"I16", 2},     {"U16", 2},     {"I8", 1},  {"U8", 1},
                                  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}};

uint64_t WidthOf(std::string_view dtype) {
  for (const DtypeWidth& width : kWidths)
    if (width.name == dtype) return width.bytes;
  return 0;
}

struct Entry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  bool has_shape = false;
};

// Accepts {"name": {"dtype": text, "shape": [n...], "data_offsets": [begin, end]}, ...,
// "__metadata__": {text: text}} and nothing else.
class HeaderReader : public JsonReader<Json> {
 public:
  std::vector<Entry> entries;
  std::string problem;

  bool null() override { return Refuse("null"); }
  bool boolean(bool) override { return Refuse("a boolean"); }
  bool number_integer(number_integer_t) override { return Refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Refuse("a fraction"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (list_ == nullptr) return Refuse("a number");
    if (list_->size() >= kSafetensorsMaxDims) return Refuse("a list that long");
    list_->push_back(value);
    return true;
  }
  bool string(string_t& text) override {
    if (metadata_ && depth_ == 2) return true;
    if (depth_ != 2 || field_ != "dtype") return Refuse("a string");
    entries.back().dtype = text;
    return true;
  }
  bool start_object(std::size_t) override {
    if (++depth_ > 2 || list_ != nullptr) return Refuse("an object");
    if (depth_ == 2 && !metadata_) {
      if (entries.size() >= kSafetensorsMaxTensors) return Refuse("one more tensor");
      entries.emplace_back().name = name_;
    }
    return true;
  }
  bool end_object() override {
    --depth_;
    field_.clear();
    return true;
  }
  bool key(string_t& text) override {
    if (depth_ == 1) {
      name_ = text;
      metadata_ = text == "__metadata__";
    } else {
      field_ = text;
    }
    return true;
  }
  bool start_array(std::size_t) override {
    const bool in_tensor = depth_ == 2 && !metadata_ && list_ == nullptr;
    if (!in_tensor || (field_ != "shape" && field_ != "data_offsets")) return Refuse("a list");
    Entry& entry = entries.back();
    entry.has_shape |= field_ == "shape";
    list_ = field_ == "shape" ? &entry.shape : &entry.offsets;
    list_->clear();
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }

 private:
  bool Refuse(const char* what) {
    problem = std::string(what) + " is not expected there (tensor " + GgufQuote(name_) +
              (field_.empty() ? "" : ", field " + GgufQuote(field_)) + ")";
    return false;
  }

  int depth_ = 0;
  bool metadata_ = false;
  std::string name_, field_;
  std::vector<uint64_t>* list_ = nullptr;  // of the last entry; none is added while it is set
};

class Parser {
 public:
  Parser(std::span<const uint8_t> file, const std::string& where) : file_(file), where_(where) {}

  Result<std::vector<SafetensorsTensor>> Parse() {
    LULL_ASSIGN_OR_RETURN(std::vector<Entry> entries, ReadHeader());
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.offsets, a.name) < std::tie(b.offsets, b.name);
    });
    std::vector<SafetensorsTensor> tensors;
    tensors.reserve(entries.size());
    std::set<std::string_view> names;
    uint64_t end = 0;
    for (Entry& entry : entries) {
      const std::string where = "tensor " + GgufQuote(entry.name);
      if (!names.insert(entry.name).second) return Bad("there twice", where);
      if (entry.offsets[0] < end) return Bad("its data overlaps another tensor's", where);
      end = std::max(end, entry.offsets[1]);
      tensors.push_back({entry.name, entry.dtype, entry.shape,
                         data_.subspan(entry.offsets[0], entry.offsets[1] - entry.offsets[0])});
    }
    return tensors;
  }

 private:
  Status Bad(const std::string& message, const std::string& what) const {
    return Status(ErrorCode::kInvalidModel, message, where_ + ": " + what,
                  "the file is damaged or incomplete; download it again");
  }

  Result<std::vector<Entry>> ReadHeader() {
    if (file_.size() < kLengthBytes) return Bad("too short for a safetensors file", "byte 0");
    uint64_t header_bytes = 0;
    memcpy(&header_bytes, file_.data(), kLengthBytes);
    if (header_bytes > std::min(kSafetensorsMaxHeaderBytes, file_.size() - kLengthBytes))
      return Bad("a header of " + std::to_string(header_bytes) + " bytes, in a file of " +
                     std::to_string(file_.size()) + "; at most 100000000 are read",
                 "byte 0");
    data_ = file_.subspan(kLengthBytes + header_bytes);
    const auto* text = reinterpret_cast<const char*>(file_.data()) + kLengthBytes;
    if (header_bytes == 0 || text[0] != '{') return Bad("the header is no object", "byte 8");
    HeaderReader reader;
    if (!Json::sax_parse(std::string_view(text, header_bytes), &reader)) {
      if (reader.failed())
        return Bad("the header is not JSON",
                   "byte " + std::to_string(kLengthBytes + reader.error_offset()));
      return Bad(reader.problem, "header");
    }
    for (const Entry& entry : reader.entries) LULL_RETURN_IF_ERROR(Check(entry));
    return std::move(reader.entries);
  }

  Status Check(const Entry& entry) const {
    const std::string where = "tensor " + GgufQuote(entry.name);
    uint64_t bytes = WidthOf(entry.dtype);
    if (bytes == 0)
      return Status(ErrorCode::kUnsupported, "unknown dtype " + GgufQuote(entry.dtype),
                    where_ + ": " + where);
    if (!entry.has_shape || entry.offsets.size() != 2)
      return Bad("it needs dtype, shape and two data_offsets", where);
    for (const uint64_t dim : entry.shape)
      if (__builtin_mul_overflow(bytes, dim, &bytes)) return Bad("its shape overflows", where);
    const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    if (begin > end || end > data_.size())
      return Bad("data_offsets " + std::to_string(begin) + " to " + std::to_string(end) +
                     " lie outside the file's " + std::to_string(data_.size()) + " bytes of data",
                 where);
    if (end - begin != bytes)
      return Bad("shape and dtype need " + std::to_string(bytes) + " bytes, data_offsets give " +
                     std::to_string(end - begin),
                 where);
    return Status();
  }

  std::span<const uint8_t> file_, data_;
  const std::string& where_;
};

}  // namespace

Result<std::vector<SafetensorsTensor>> ParseSafetensors(std::span<const uint8_t> file,
                                                        const std::string& where) {
  return Parser(file, where).Parse();
}

SafetensorsFile::SafetensorsFile() = default;
SafetensorsFile::~SafetensorsFile() = default;
const std::string& SafetensorsFile::path() const { return file_->path(); }

Result<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  std::unique_ptr<SafetensorsFile> result(new SafetensorsFile());
  LULL_ASSIGN_OR_RETURN(result->file_, os::MappedFile::Open(path));
  LULL_ASSIGN_OR_RETURN(result->tensors_, ParseSafetensors(result->file_->bytes(), path));
  return result;
}

}  // namespace lull
