#include "model/adapter.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/thread_pool.h"
#include "model/weight_plan.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

constexpr uint64_t kMaxRank = 8192;
constexpr size_t kAlign = 64;
constexpr const char* kAlphaKey = "adapter.lora.alpha";

size_t AlignUp(size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// The two factors of one tensor's change.
struct Factors {
  const GgufTensor* a = nullptr;
  const GgufTensor* b = nullptr;
};

// One packed matrix on its way: file rows [begin, begin + rows) of a tensor, as F32.
struct Placement {
  const PackedMatrix* target = nullptr;
  bool is_b = false;
  const GgufTensor* tensor = nullptr;
  size_t begin = 0, rows = 0, k = 0;
  float scale = 1.0f;
  size_t offset = 0;
};

class AdapterLoader {
 public:
  AdapterLoader(const ExecContext& ctx, const GgufFile& file, const LoadedModel& model)
      : ctx_(ctx), file_(file), model_(model), f32_(*FindQuantFormat(kTypeF32)) {}

  Result<std::unique_ptr<Adapter::Rep>> Load(const ApproveAdapter& approve,
                                             const std::function<void()>& give_way) {
    LULL_RETURN_IF_ERROR(ReadKeys());
    LULL_RETURN_IF_ERROR(PairTensors());
    for (const auto& [name, factors] : factors_) LULL_RETURN_IF_ERROR(PlaceTensor(name, factors));
    auto rep = std::make_unique<Adapter::Rep>();
    rep->info = info_;
    rep->info.bytes = static_cast<int64_t>(bytes_);
    LULL_ASSIGN_OR_RETURN(rep->held, approve(rep->info.bytes));
    LULL_ASSIGN_OR_RETURN(rep->memory, os::Memory::Allocate(bytes_));
    for (const Placement& p : placements_) {
      LULL_RETURN_IF_ERROR(Pack(p, rep->memory.data()));
      if (give_way) give_way();
    }
    for (const Placement& p : placements_) {
      LowRankPair& pair = rep->table[p.target];
      (p.is_b ? pair.b : pair.a) = MatrixOf(p, rep->memory.data());
    }
    rep->info.matrices = static_cast<int64_t>(rep->table.size());
    rep->model_id = model_.id();
    static std::atomic<uint64_t> last_id{0};
    rep->info.id = ++last_id;
    return rep;
  }

 private:
  Status Want(const char* key, const std::string& value) const {
    const Result<std::string_view> have = file_.GetString(key);
    if (have.ok() && *have == value) return Status::Ok();
    if (!have.ok() && file_.Has(key)) return have.status();
    const std::string text = have.ok() ? GgufQuote(*have) : std::string("missing");
    return Status(
        ErrorCode::kInvalidModel,
        std::string(key) + " is " + text + ", an adapter of this model has \"" + value + "\"", key);
  }

  Status ReadKeys() {
    LULL_RETURN_IF_ERROR(Want("general.type", "adapter"));
    LULL_RETURN_IF_ERROR(Want("adapter.type", "lora"));
    LULL_RETURN_IF_ERROR(Want("general.architecture", model_.architecture().name));
    for (const char* key : {"adapter.alora.invocation_tokens"})
      if (file_.Has(key))
        return Status(ErrorCode::kUnsupported,
                      "adapters that begin at certain tokens (aLoRA) are not supported", key);
    if (file_.Has(kAlphaKey)) {
      LULL_ASSIGN_OR_RETURN(info_.alpha, file_.GetFloat(kAlphaKey));
    }
    if (!std::isfinite(info_.alpha))
      return Status(ErrorCode::kInvalidModel, "not a finite number", kAlphaKey);
    info_.path = file_.path();
    info_.name = info_.path.substr(info_.path.find_last_of('/') + 1);
    if (auto name = file_.GetString("general.name"); name.ok()) info_.name = std::string(*name);
    return Status::Ok();
  }

  Status PairTensors() {
    constexpr std::string_view kA = ".lora_a", kB = ".lora_b";
    for (const GgufTensor& tensor : file_.tensors()) {
      const bool is_a = tensor.name.ends_with(kA), is_b = tensor.name.ends_with(kB);
      if (!is_a && !is_b)
        return Status(ErrorCode::kUnsupported,
                      "the tensor " + tensor.name + " is neither NAME.lora_a nor NAME.lora_b",
                      tensor.name);
      Factors& factors = factors_[tensor.name.substr(0, tensor.name.size() - kA.size())];
      (is_a ? factors.a : factors.b) = &tensor;
    }
    for (const auto& [name, factors] : factors_)
      if (factors.a == nullptr || factors.b == nullptr)
        return Status(
            ErrorCode::kInvalidModel,
            "the tensor " + name + (factors.a == nullptr ? ".lora_a" : ".lora_b") + " is missing",
            name);
    if (factors_.empty()) return Status(ErrorCode::kInvalidModel, "the adapter has no tensors");
    return Status::Ok();
  }

  Status PlaceTensor(const std::string& name, const Factors& factors) {
    bool found = false;
    for (const MatrixRole& role : FindMatrixRoles(model_.architecture(), model_.hparams(), name)) {
      const PackedMatrix* target = role.In(model_.weights());
      if (target->format == nullptr) continue;
      found = true;
      LULL_RETURN_IF_ERROR(PlaceRole(name, factors, role, target));
    }
    if (found || IsUnread(model_.architecture(), model_.hparams(), name)) return Status::Ok();
    return Status(ErrorCode::kUnsupported,
                  "the adapter changes " + name + ", which is no matrix of this model that can be",
                  name, "adapters of embeddings, experts and vectors are not supported");
  }

  Status PlaceRole(const std::string& name, const Factors& factors, const MatrixRole& role,
                   const PackedMatrix* target) {
    const std::vector<uint64_t>&a = factors.a->dims, &b = factors.b->dims;
    const bool fits = a.size() == 2 && b.size() == 2 && a[0] == role.k && a[1] == b[0] &&
                      b[1] == role.file_rows && a[1] <= kMaxRank;
    if (!fits)
      return Status(ErrorCode::kInvalidModel,
                    "the factors of " + name + " have shapes " + GgufDims(factors.a->dims) +
                        " and " + GgufDims(factors.b->dims) + "; wanted: [" +
                        std::to_string(role.k) + ", rank] and [rank, " +
                        std::to_string(role.file_rows) + "], with a rank up to " +
                        std::to_string(kMaxRank),
                    factors.a->name);
    const auto twice = [target](const Placement& p) { return p.target == target; };
    if (std::any_of(placements_.begin(), placements_.end(), twice))
      return Status(ErrorCode::kInvalidModel,
                    "the matrix that " + name + " changes is changed under another name too",
                    factors.a->name);
    const auto rank = static_cast<size_t>(a[1]);
    info_.rank = std::max(info_.rank, static_cast<int64_t>(rank));
    const double scale = info_.alpha == 0.0 ? 1.0 : info_.alpha / static_cast<double>(rank);
    Add({target, false, factors.a, 0, rank, role.k, 1.0f, 0});
    Add({target, true, factors.b, role.file_begin, role.rows, rank, static_cast<float>(scale), 0});
    for (const GgufTensor* tensor : {factors.a, factors.b})
      LULL_RETURN_IF_ERROR(CheckType(*tensor));
    return Status::Ok();
  }

  static Status CheckType(const GgufTensor& tensor) {
    const QuantFormat* format = FindQuantFormat(tensor.type_id);
    if (format != nullptr && tensor.dims[0] % format->block_k == 0) return Status::Ok();
    return Status(ErrorCode::kUnsupported,
                  "the tensor " + tensor.name + " has type " + GgufTypeName(tensor.type_id) +
                      ", which is not supported here",
                  tensor.name);
  }

  void Add(Placement p) {
    p.offset = bytes_;
    bytes_ += AlignUp((p.rows + 15) / 16 * f32_.GroupBytes(p.k));
    placements_.push_back(p);
  }

  PackedMatrix MatrixOf(const Placement& p, const uint8_t* memory) const {
    return {&f32_, p.rows, p.k, f32_.GroupBytes(p.k), memory + p.offset};
  }

  // Through the packed form of the file's type, whose values are the gguf package's.
  Status Pack(const Placement& p, uint8_t* memory) const {
    const QuantFormat& format = *FindQuantFormat(p.tensor->type_id);
    const size_t row_bytes = p.k / format.block_k * format.file_block_bytes;
    const size_t groups = (p.rows + 15) / 16;
    std::atomic<bool> finite{true};
    ParallelFor(ctx_, groups, [&](size_t g, int) {
      if (ctx_.Cancelled()) return;
      const size_t rows = std::min<size_t>(16, p.rows - 16 * g);
      std::vector<uint8_t> packed(format.GroupBytes(p.k) + kAlign);
      std::vector<float> values(rows * p.k);
      format.repack_group(p.tensor->data.data() + (p.begin + 16 * g) * row_bytes, rows, p.k,
                          packed.data());
      for (size_t r = 0; r < rows; ++r)
        format.dequantize_row(packed.data(), r, p.k, values.data() + r * p.k);
      for (float& value : values) {
        value *= p.scale;
        if (!std::isfinite(value)) finite = false;
      }
      f32_.repack_group(reinterpret_cast<const uint8_t*>(values.data()), rows, p.k,
                        memory + p.offset + g * f32_.GroupBytes(p.k));
    });
    if (ctx_.Cancelled()) return Status(ErrorCode::kCancelled, "loading was cancelled");
    if (!finite)
      return Status(ErrorCode::kInvalidModel,
                    "the tensor " + p.tensor->name + " has values that are not finite",
                    p.tensor->name);
    return Status::Ok();
  }

  const ExecContext& ctx_;
  const GgufFile& file_;
  const LoadedModel& model_;
  const QuantFormat& f32_;
  AdapterInfo info_;
  std::map<std::string, Factors> factors_;  // by the tensor they change
  std::vector<Placement> placements_;
  size_t bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Adapter::Rep>> LoadAdapter(const ExecContext& ctx, const GgufFile& file,
                                                  const LoadedModel& model,
                                                  const ApproveAdapter& approve,
                                                  const std::function<void()>& give_way) {
  return AdapterLoader(ctx, file, model).Load(approve, give_way);
}

Adapter::Adapter(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Adapter::~Adapter() = default;
const AdapterInfo& Adapter::info() const { return rep_->info; }

}  // namespace lull
