#include "engine/kv_options.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "engine/memory_plan.h"
#include "engine/model_rep.h"
#include "engine/runtime_rep.h"

namespace lull {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 40;
constexpr int kMaxCount = 1 << 20;

Status CheckCount(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return Status::Ok();
  return {ErrorCode::kUsage, std::string(field) + " is " + std::to_string(value), field,
          "give a number from " + std::to_string(low) + " to " + std::to_string(high)};
}

struct KvTypeRow {
  const char* name;
  KvType type;
};
constexpr KvTypeRow kKvTypes[] = {{"f16", KvType::kF16},
                                  {"bf16", KvType::kBf16},
                                  {"f32", KvType::kF32},
                                  {"q8_0", KvType::kI8},
                                  {"int8", KvType::kI8}};

Result<KvType> ParseKvType(const std::string& name) {
  for (const KvTypeRow& row : kKvTypes)
    if (name == row.name) return row.type;
  return Error{ErrorCode::kUsage, "\"" + name + "\" is no KV type", "kv_type",
               "give f16, bf16, f32 or q8_0 (int8)"};
}

Result<bool> ParseWideActivations(const std::string& name) {
  if (name == "q8_0") return false;
  if (name == "q8_k") return true;
  return Error{ErrorCode::kUsage, "\"" + name + "\" is no activation type", "activation_type",
               "give q8_0, or q8_k for K-quants at the speed and precision of blocks of 256"};
}

class SharedRunner : public Runner {
 public:
  SharedRunner(std::unique_ptr<Runner> runner, Runtime::Rep& runtime, RunnerPlan plan)
      : plan_(std::move(plan)),
        runner_(std::move(runner)),
        compute_(runtime.compute),
        cached_in_all_(runtime.memory.cached_bytes()) {}
  ~SharedRunner() override { cached_in_all_ -= cached_bytes_; }

  int64_t vocab_size() const override { return runner_->vocab_size(); }
  int64_t max_context_tokens() const override { return runner_->max_context_tokens(); }
  int max_batch_rows() const override { return runner_->max_batch_rows(); }
  Result<int> OpenSequence() override { return runner_->OpenSequence(); }
  void CloseSequence(int sequence) override {
    runner_->CloseSequence(sequence);
    TellCached();
  }
  Status SetAdapters(int sequence, std::span<const AdapterUse> adapters) override {
    return runner_->SetAdapters(sequence, adapters);
  }
  int64_t AdoptPrefix(int sequence, std::span<const int32_t> tokens) override {
    const int64_t adopted = runner_->AdoptPrefix(sequence, tokens);
    TellCached();
    return adopted;
  }
  Status TruncateSequence(int sequence, int64_t length) override {
    return runner_->TruncateSequence(sequence, length);
  }
  int64_t SequenceLength(int sequence) const override { return runner_->SequenceLength(sequence); }
  bool HasRoom(int sequence, int64_t tokens) const override {
    return runner_->HasRoom(sequence, tokens);
  }
  KvUsage kv_usage() const override { return runner_->kv_usage(); }
  int64_t SequenceKvBytes(int sequence) const override {
    return runner_->SequenceKvBytes(sequence);
  }
  int64_t bytes_moved() const override { return runner_->bytes_moved(); }
  Status Forward(const ExecContext& ctx, std::span<const BatchRow> rows,
                 std::span<const int32_t> logits_rows, float* logits) override {
    std::lock_guard<FairMutex> lock(compute_);
    const Status status = runner_->Forward(ctx, rows, logits_rows, logits);
    TellCached();
    return status;
  }
  // Not worth waiting for another engine's pass.
  void ForEachRow(const ExecContext& ctx, size_t n,
                  const std::function<void(size_t)>& fn) override {
    if (n < 2) return runner_->ForEachRow(ctx, n, fn);
    std::unique_lock<FairMutex> lock(compute_, std::try_to_lock);
    ExecContext here = ctx;
    if (!lock.owns_lock()) here.pool = nullptr;
    runner_->ForEachRow(here, n, fn);
  }

 private:
  // To the ledger.
  void TellCached() {
    const int64_t now = runner_->kv_usage().bytes_cached;
    cached_in_all_ += now - std::exchange(cached_bytes_, now);
  }

  const RunnerPlan plan_;  // its promises end after the memory
  std::unique_ptr<Runner> runner_;
  FairMutex& compute_;
  std::atomic<int64_t>& cached_in_all_;  // by all runners of the runtime
  int64_t cached_bytes_ = 0;             // of it, this one's
};

}  // namespace

std::vector<std::string> KvTypeNames() {
  std::vector<std::string> names;
  for (const KvTypeRow& row : kKvTypes) names.push_back(row.name);
  return names;
}

Result<RunnerOptions> ToRunnerOptions(const ModelInfo& info, const KvRequest& request) {
  RunnerOptions options;
  LULL_ASSIGN_OR_RETURN(options.kv_type, ParseKvType(request.kv_type));
  LULL_ASSIGN_OR_RETURN(options.wide_activations, ParseWideActivations(request.activation_type));
  LULL_RETURN_IF_ERROR(CheckCount("max_context_tokens", request.max_context_tokens, 0, kMaxTokens));
  LULL_RETURN_IF_ERROR(CheckCount("kv_pool_tokens", request.kv_pool_tokens, 0, kMaxTokens));
  LULL_RETURN_IF_ERROR(
      CheckCount("prefix_cache_tokens", request.prefix_cache_tokens, 0, kMaxTokens));
  LULL_RETURN_IF_ERROR(CheckCount("max_sequences", request.max_sequences, 1, kMaxCount));
  LULL_RETURN_IF_ERROR(CheckCount("max_batch_rows", request.max_batch_rows, 1, kMaxCount));
  if (request.max_context_tokens > info.context_tokens) {
    return Error{ErrorCode::kUsage,
                 "max_context_tokens is " + std::to_string(request.max_context_tokens) +
                     ", the model was trained for " + std::to_string(info.context_tokens),
                 "max_context_tokens", "give at most that, or 0 for the default"};
  }
  options.max_context_tokens =
      request.max_context_tokens > 0 ? request.max_context_tokens : request.default_context_tokens;
  const int64_t page = static_cast<int64_t>(kPageTokens);
  const int64_t pool = request.kv_pool_tokens > 0 ? request.kv_pool_tokens
                                                  : std::clamp<int64_t>(request.default_contexts, 1,
                                                                        request.max_sequences) *
                                                        options.max_context_tokens;
  options.kv_pool_tokens = (pool + page - 1) / page * page;
  options.max_context_tokens = std::min(options.max_context_tokens, options.kv_pool_tokens);
  options.prefix_cache_tokens = std::min(request.prefix_cache_tokens, options.kv_pool_tokens);
  options.max_sequences = request.max_sequences;
  options.max_batch_rows = request.max_batch_rows;
  return options;
}

Result<std::unique_ptr<Runner>> MakeSharedRunner(const Model& model, Runtime& runtime,
                                                 RunnerPlan plan) {
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<Runner> runner,
                        MakeRunner(*model.rep().loaded, runtime.rep().kernels, plan.options));
  return std::unique_ptr<Runner>(
      new SharedRunner(std::move(runner), runtime.rep(), std::move(plan)));
}

}  // namespace lull
