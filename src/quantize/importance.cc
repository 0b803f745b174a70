#include "quantize/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/os/os.h"
#include "formats/gguf_writer.h"

namespace lull {
namespace {

constexpr uint32_t kTypeF32 = 0;
constexpr char kSumsSuffix[] = ".in_sum2";
constexpr char kCountsSuffix[] = ".counts";

Status Bad(const std::string& message, const std::string& where) {
  return Status(ErrorCode::kInvalidInput, message, where,
                "give a file that `lull imatrix` or llama-imatrix wrote");
}

Status CheckNumbers(std::span<const float> numbers, const std::string& where) {
  for (const float number : numbers)
    if (!std::isfinite(number) || number < 0.0f)
      return Bad("a number is negative or not finite: " + std::to_string(number), where);
  return Status();
}

Status CheckEntry(const Importance& entry, const std::string& where) {
  if (entry.sums.empty() || entry.counts.empty() || entry.sums.size() % entry.counts.size() != 0)
    return Bad(std::to_string(entry.sums.size()) + " sums and " +
                   std::to_string(entry.counts.size()) + " counts do not go together",
               where);
  LULL_RETURN_IF_ERROR(CheckNumbers(entry.sums, where));
  return CheckNumbers(entry.counts, where);
}

Result<std::vector<float>> Floats(const GgufTensor& tensor, const std::string& where) {
  if (tensor.type_id != kTypeF32)
    return Bad(std::string("the type is ") + GgufTypeName(tensor.type_id) + ", not F32", where);
  std::vector<float> floats(tensor.data.size() / sizeof(float));
  memcpy(floats.data(), tensor.data.data(), floats.size() * sizeof(float));
  return floats;
}

uint32_t CountAt(const GgufFile& file, const char* key) {
  const Result<uint64_t> count = file.GetUint(key);
  return count.ok() ? static_cast<uint32_t>(std::min<uint64_t>(*count, UINT32_MAX)) : 0;
}

Result<ImportanceMatrix> FromGguf(const GgufFile& file, const ExecContext& ctx) {
  ImportanceMatrix matrix;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSumsSuffix)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - (sizeof(kSumsSuffix) - 1));
    const std::string where = file.path() + ": tensor " + GgufQuote(tensor.name);
    const GgufTensor* counts = file.FindTensor(name + kCountsSuffix);
    if (counts == nullptr) return Bad("it has sums, but no counts", where);
    Importance entry;
    LULL_ASSIGN_OR_RETURN(entry.sums, Floats(tensor, where));
    LULL_ASSIGN_OR_RETURN(entry.counts, Floats(*counts, where));
    LULL_RETURN_IF_ERROR(CheckEntry(entry, where));
    matrix.tensors.emplace(name, std::move(entry));
    ctx.Checkpoint();
  }
  if (matrix.tensors.empty())
    return Bad("not an importance matrix: nothing is summed", file.path());
  const Result<std::vector<std::string_view>> datasets =
      file.GetStringArray("imatrix.datasets", ctx);
  if (datasets.ok()) matrix.datasets.assign(datasets->begin(), datasets->end());
  matrix.chunks = CountAt(file, "imatrix.chunk_count");
  matrix.chunk_tokens = CountAt(file, "imatrix.chunk_size");
  return matrix;
}

// Numbers and texts one after the other.
class DatReader {
 public:
  explicit DatReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  bool ReadCount(int32_t* count) {
    if (bytes_.size() < sizeof(*count)) return false;
    memcpy(count, bytes_.data(), sizeof(*count));
    bytes_ = bytes_.subspan(sizeof(*count));
    return *count >= 0;
  }
  bool ReadText(std::string* text) {
    int32_t length = 0;
    if (!ReadCount(&length) || static_cast<size_t>(length) > bytes_.size()) return false;
    text->assign(reinterpret_cast<const char*>(bytes_.data()), static_cast<size_t>(length));
    bytes_ = bytes_.subspan(static_cast<size_t>(length));
    return true;
  }
  bool ReadFloats(std::vector<float>* floats) {
    int32_t count = 0;
    if (!ReadCount(&count) || count == 0 ||
        static_cast<size_t>(count) > bytes_.size() / sizeof(float))
      return false;
    floats->resize(static_cast<size_t>(count));
    memcpy(floats->data(), bytes_.data(), floats->size() * sizeof(float));
    bytes_ = bytes_.subspan(floats->size() * sizeof(float));
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace

Result<ImportanceMatrix> ParseImportanceDat(std::span<const uint8_t> bytes,
                                            const std::string& where) {
  DatReader reader(bytes);
  ImportanceMatrix matrix;
  int32_t entries = 0;
  if (!reader.ReadCount(&entries) || entries == 0) return Bad("not an importance matrix", where);
  for (int32_t i = 0; i < entries; ++i) {
    std::string name;
    int32_t calls = 0;
    Importance entry;
    if (!reader.ReadText(&name) || !reader.ReadCount(&calls) || !reader.ReadFloats(&entry.sums))
      return Bad("entry " + std::to_string(i) + " is not complete", where);
    entry.counts = {static_cast<float>(calls)};
    LULL_RETURN_IF_ERROR(CheckEntry(entry, where + ": " + GgufQuote(name)));
    matrix.tensors.insert_or_assign(std::move(name), std::move(entry));
  }
  int32_t chunks = 0;
  std::string dataset;
  if (reader.ReadCount(&chunks)) matrix.chunks = static_cast<uint32_t>(chunks);
  if (reader.ReadText(&dataset) && !dataset.empty()) matrix.datasets.push_back(dataset);
  return matrix;
}

bool Importance::Fits(const GgufTensor& tensor) const {
  uint64_t slices = 1;
  for (size_t i = 2; i < tensor.dims.size(); ++i) slices *= tensor.dims[i];
  const uint64_t columns = tensor.dims[0];
  if (sums.size() == columns) return counts.size() == 1;
  return sums.size() / columns == slices && sums.size() % columns == 0 &&
         (counts.size() == slices || counts.size() == 1);
}

std::vector<float> Importance::Means(uint64_t columns, uint64_t slice) const {
  if (sums.size() == columns) slice = 0;
  const float count = counts[counts.size() == 1 ? 0 : slice];
  if (count == 0.0f) return {};
  std::vector<float> means(sums.begin() + static_cast<std::ptrdiff_t>(slice * columns),
                           sums.begin() + static_cast<std::ptrdiff_t>((slice + 1) * columns));
  for (float& mean : means) mean /= count;
  return means;
}

Result<ImportanceMatrix> ImportanceMatrix::Read(const std::string& path, const ExecContext& ctx) {
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<os::MappedFile> file, os::MappedFile::Open(path));
  const std::span<const uint8_t> bytes = file->bytes();
  if (bytes.size() < 4 || memcmp(bytes.data(), "GGUF", 4) != 0)
    return ParseImportanceDat(bytes, path);
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> gguf, GgufFile::Open(path, ctx));
  return FromGguf(*gguf, ctx);
}

Status ImportanceMatrix::Write(const std::string& path, bool durable) const {
  GgufWriter writer;
  writer.set_durable(durable);
  writer.AddString("general.type", "imatrix");
  writer.AddStringArray("imatrix.datasets", datasets);
  writer.AddUint32("imatrix.chunk_count", chunks);
  writer.AddUint32("imatrix.chunk_size", chunk_tokens);
  const auto add = [&writer](const std::string& name, std::vector<uint64_t> dims,
                             const std::vector<float>& values) {
    std::vector<uint8_t> bytes(values.size() * sizeof(float));
    memcpy(bytes.data(), values.data(), bytes.size());
    writer.AddTensor(name, kTypeF32, std::move(dims), std::move(bytes));
  };
  for (const auto& [name, entry] : tensors) {
    LULL_RETURN_IF_ERROR(CheckEntry(entry, name));
    const uint64_t slices = entry.counts.size();
    add(name + kSumsSuffix, {entry.sums.size() / slices, slices}, entry.sums);
    add(name + kCountsSuffix, {1, slices}, entry.counts);
  }
  return writer.Write(path);
}

}  // namespace lull
