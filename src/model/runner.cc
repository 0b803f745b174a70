#include "model/runner.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "base/exact_math.h"
#include "base/thread_pool.h"
#include "model/adapter.h"
#include "model/forward_state.h"
#include "model/loaded_model.h"
#include "model/kv_shapes.h"
#include "model/mixer_sizes.h"
#include "model/rope.h"
#include "ops/embedding.h"

namespace lull {
namespace {

Status Usage(const std::string& message) { return Status(ErrorCode::kUsage, message, "rows"); }

template <typename Fn>
void ForEachMatrix(const ModelWeights& weights, Fn&& fn) {
  fn(weights.output);
  fn(weights.per_layer_projection);
  for (const LayerWeights& w : weights.layers) {
    for (const PackedMatrix* m : {&w.q,
                                  &w.k,
                                  &w.v,
                                  &w.o,
                                  &w.gate,
                                  &w.up,
                                  &w.down,
                                  &w.router,
                                  &w.conv_in,
                                  &w.conv_out,
                                  &w.shared_router,
                                  &w.shared_gate,
                                  &w.shared_up,
                                  &w.shared_down,
                                  &w.ssm_x,
                                  &w.ssm_dt,
                                  &w.attn_gate,
                                  &w.delta_alpha,
                                  &w.delta_beta,
                                  &w.q_a,
                                  &w.kv_a,
                                  &w.per_layer_gate,
                                  &w.per_layer_projection})
      fn(*m);
    for (const auto* experts : {&w.gate_experts, &w.up_experts, &w.down_experts, &w.k_b, &w.v_b})
      if (!experts->empty()) fn(experts->front());
  }
}

ThreadScratch::Sizes ScratchSizes(const LoadedModel& model, const Kernels& kernels) {
  const Hparams& h = model.hparams();
  ThreadScratch::Sizes sizes;
  ForEachMatrix(model.weights(), [&](const PackedMatrix& m) {
    if (m.format != nullptr)
      sizes.matmul_bytes = std::max(sizes.matmul_bytes, kernels.matmul_scratch_bytes(m));
  });
  const MixerSizes mixers = SizesOfMixers(h, model.architecture().gated_attention);
  sizes.row = std::max(static_cast<size_t>(h.embedding), mixers.mixed);
  for (const LayerPlan& layer : h.layers)
    sizes.head_dim = std::max(sizes.head_dim, PaddedHeadDim(static_cast<size_t>(layer.head_dim)));
  sizes.heads = static_cast<size_t>(h.num_heads);
  return sizes;
}

class ModelRunner : public Runner {
 public:
  static Result<std::unique_ptr<Runner>> Make(const LoadedModel& model, const Kernels& kernels,
                                              const RunnerOptions& options);
  static Result<RunnerMemory> Measure(const LoadedModel& model, const Kernels& kernels,
                                      const RunnerOptions& options, int threads);

  int64_t vocab_size() const override { return h_.vocab; }
  int64_t max_context_tokens() const override { return options_.max_context_tokens; }
  int max_batch_rows() const override { return options_.max_batch_rows; }
  Result<int> OpenSequence() override { return cache_->Open(); }
  void CloseSequence(int sequence) override {
    cache_->Close(sequence);
    if (!cache_->IsOpen(sequence) && HasPlace(sequence)) adapters_of(sequence) = {};
  }
  Status SetAdapters(int sequence, std::span<const AdapterUse> adapters) override;
  int64_t AdoptPrefix(int sequence, std::span<const int32_t> tokens) override {
    if (!HasPlace(sequence)) return 0;
    return cache_->AdoptPrefix(sequence, tokens, adapters_of(sequence).variant);
  }
  Status TruncateSequence(int sequence, int64_t length) override {
    return cache_->Truncate(sequence, length);
  }
  int64_t SequenceLength(int sequence) const override { return cache_->length(sequence); }
  bool HasRoom(int sequence, int64_t tokens) const override {
    return cache_->length(sequence) + tokens <= options_.max_context_tokens &&
           cache_->HasRoom(sequence, tokens);
  }
  KvUsage kv_usage() const override { return cache_->usage(); }
  int64_t SequenceKvBytes(int sequence) const override { return cache_->SequenceBytes(sequence); }
  int64_t bytes_moved() const override { return bytes_moved_; }
  Status Forward(const ExecContext& ctx, std::span<const BatchRow> rows,
                 std::span<const int32_t> logits_rows, float* logits) override;
  void ForEachRow(const ExecContext& ctx, size_t n,
                  const std::function<void(size_t)>& fn) override {
    if (n == 1) return fn(0);  // not worth waking anyone
    ParallelFor(ctx, n, [&fn](size_t row, int) { fn(row); });
  }

 private:
  // Nothing is allocated yet. kUsage where the options are not possible.
  static Result<std::unique_ptr<ModelRunner>> Begin(const LoadedModel& model,
                                                    const Kernels& kernels, RunnerOptions options);
  ModelRunner(const LoadedModel& model, const Kernels& kernels, const RunnerOptions& options)
      : model_(model),
        h_(model.hparams()),
        weights_(model.weights()),
        architecture_(model.architecture()),
        options_(options),
        scratch_(ScratchSizes(model, kernels)),
        env_{kernels, scratch_, plan_} {
    if (architecture_.layer_norm) env_.norm = kernels.layer_norm;
    env_.observer = options.observer;
  }

  KvCacheOptions CacheOptions() const;
  size_t PerLayerValues() const {
    return static_cast<size_t>(h_.num_layers * h_.per_layer_embedding);
  }
  void PlanBuffers(ArenaPlan* plan);
  Status AllocateBuffers();
  std::vector<RopeAngles> Ropes() const;
  Status SplitRuns(std::span<const BatchRow> rows);
  Status CheckTokens(std::span<const BatchRow> rows) const;
  Status CheckLogitsRows(std::span<const BatchRow> rows,
                         std::span<const int32_t> logits_rows) const;
  Status ReserveAll();
  void Prepare(const ExecContext& ctx, std::span<const BatchRow> rows,
               std::span<const int32_t> logits_rows);
  Status Compute(const ExecContext& ctx, std::span<const BatchRow> rows,
                 std::span<const int32_t> logits_rows, float* logits);
  void ComputeLogits(const ExecContext& ctx, std::span<const int32_t> logits_rows, float* logits);

  // Of an open sequence; most have none.
  struct SequenceAdapters {
    std::vector<std::shared_ptr<const Adapter>> held;
    std::vector<LowRankUse> uses;
    std::vector<uint64_t> variant;  // of their K and V: ids and scales
  };
  bool HasPlace(int sequence) const {
    return sequence >= 0 && static_cast<size_t>(sequence) < adapters_.size();
  }
  SequenceAdapters& adapters_of(int sequence) { return adapters_[static_cast<size_t>(sequence)]; }
  void BeginLowRank();

  const LoadedModel& model_;
  const Hparams& h_;
  const ModelWeights& weights_;
  const Architecture& architecture_;
  int64_t bytes_moved_ = 0;
  RunnerOptions options_;
  ThreadScratch scratch_;
  TilePlan plan_;
  OpEnv env_;
  std::unique_ptr<KvCache> cache_;
  std::vector<RopeTable> ropes_;  // as Ropes()
  os::Memory memory_;
  ForwardState s_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> all_rows_;     // 0, 1, 2, ...
  std::vector<int32_t> active_rows_;  // of the last layer
  std::vector<int32_t> logits_source_;
  std::vector<char> sequence_seen_;
  std::vector<SequenceAdapters> adapters_;  // by sequence
  std::vector<LowRankRun> low_rank_runs_;
};

Result<std::unique_ptr<ModelRunner>> ModelRunner::Begin(const LoadedModel& model,
                                                        const Kernels& kernels,
                                                        RunnerOptions options) {
  const Hparams& h = model.hparams();
  if (options.max_context_tokens < 0 || options.kv_pool_tokens < 0 || options.max_sequences < 1 ||
      options.max_sequences > (1 << 16) || options.max_batch_rows < 1 ||
      options.max_batch_rows > (1 << 16) || options.prefix_cache_tokens < 0)
    return Usage(
        "a runner needs 1 to 65536 sequences and batch rows, and no negative token counts");
  if (options.max_context_tokens == 0) options.max_context_tokens = h.context;
  options.max_context_tokens = std::min(options.max_context_tokens, h.context);
  if (options.kv_pool_tokens == 0) options.kv_pool_tokens = options.max_context_tokens;
  return std::unique_ptr<ModelRunner>(new ModelRunner(model, kernels, options));
}

KvCacheOptions ModelRunner::CacheOptions() const {
  KvCacheOptions cache;
  cache.pool_tokens = options_.kv_pool_tokens;
  cache.max_context_tokens = options_.max_context_tokens;
  cache.max_sequences = options_.max_sequences;
  cache.max_batch_rows = options_.max_batch_rows;
  cache.prefix_cache_tokens = options_.prefix_cache_tokens;
  return cache;
}

Result<std::unique_ptr<Runner>> ModelRunner::Make(const LoadedModel& model, const Kernels& kernels,
                                                  const RunnerOptions& options) {
  LULL_ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner, Begin(model, kernels, options));
  LULL_ASSIGN_OR_RETURN(runner->cache_,
                        KvCache::Create(KvLayout(options.kv_type, KvShapes(model.hparams())),
                                        runner->CacheOptions()));
  LULL_RETURN_IF_ERROR(runner->AllocateBuffers());
  for (const RopeAngles& angles : runner->Ropes())
    runner->ropes_.emplace_back(angles, runner->options_.max_context_tokens);
  return std::unique_ptr<Runner>(std::move(runner));
}

Result<RunnerMemory> ModelRunner::Measure(const LoadedModel& model, const Kernels& kernels,
                                          const RunnerOptions& options, int threads) {
  LULL_ASSIGN_OR_RETURN(const std::unique_ptr<ModelRunner> runner, Begin(model, kernels, options));
  const KvBytes kv =
      KvCacheBytes(KvLayout(options.kv_type, KvShapes(model.hparams())), runner->CacheOptions());
  ArenaPlan plan;
  runner->PlanBuffers(&plan);
  RunnerMemory memory;
  memory.kv_bytes = static_cast<int64_t>(kv.all);
  memory.sequence_kv_bytes = static_cast<int64_t>(kv.sequence);
  size_t activations = plan.bytes() + runner->scratch_.Bytes(threads);
  for (const RopeAngles& angles : runner->Ropes())
    activations += RopeTable::Bytes(angles, runner->options_.max_context_tokens);
  memory.activation_bytes = static_cast<int64_t>(activations);
  return memory;
}

void ModelRunner::PlanBuffers(ArenaPlan* plan_out) {
  ArenaPlan& plan = *plan_out;
  const auto rows = static_cast<size_t>(options_.max_batch_rows);
  const auto n = static_cast<size_t>(h_.embedding);
  const auto used = static_cast<size_t>(h_.experts_used);
  size_t ffn = 0, expert_ffn = 0;
  bool parallel = false;
  for (const LayerPlan& layer : h_.layers) {
    size_t& longest = layer.moe ? expert_ffn : ffn;
    longest = std::max(longest, static_cast<size_t>(layer.ffn_length));
    ffn = std::max({ffn, static_cast<size_t>(layer.dense_ffn_length),
                    static_cast<size_t>(h_.per_layer_embedding)});
    parallel |= layer.dense_ffn_length > 0 || layer.parallel;
    if (layer.shared_expert) ffn = std::max(ffn, static_cast<size_t>(h_.shared_ffn_length));
  }
  const bool moe = expert_ffn > 0;
  const MixerSizes mixers = SizesOfMixers(h_, architecture_.gated_attention);
  plan.Add(&s_.x, rows * n);
  plan.Add(&s_.delta, rows * n);
  plan.Add(&s_.q, rows * mixers.projected);
  plan.Add(&s_.k, rows * mixers.keys);
  plan.Add(&s_.v, rows * mixers.keys);
  for (int i = 0; i < 2; ++i) {
    const size_t half = static_cast<size_t>(std::max(h_.rope_dims, h_.rope_dims_local)) / 2;
    plan.Add(&s_.cos[i], rows * half);
    plan.Add(&s_.sin[i], rows * half);
  }
  if (h_.per_layer_embedding > 0) {
    plan.Add(&s_.per_layer, rows * PerLayerValues());
    plan.Add(&s_.per_layer_projected, rows * PerLayerValues());
  }
  if (h_.attention_temperature != 0.0f) plan.Add(&s_.q_scale, rows);
  for (ActivationBuffer* buffer : {&s_.normed, &s_.mixed, &s_.gated, &s_.gathered, &s_.low_rank})
    buffer->wide_blocks = options_.wide_activations;
  s_.normed.AddTo(&plan, rows, n);
  s_.mixed.AddTo(&plan, rows, mixers.mixed);
  // In values: the longer of all rows dense and all rows times experts.
  const size_t gated = std::max(rows * ffn, rows * used * expert_ffn);
  s_.gated.AddTo(&plan, 1, (gated + 31) / 32 * 32);
  if (parallel) plan.Add(&s_.dense, rows * n);
  if (moe) {
    const auto experts = static_cast<size_t>(h_.num_experts);
    plan.Add(&s_.router, rows * experts);
    plan.Add(&s_.expert_score, rows * experts);
    plan.Add(&s_.expert_begin, experts + 1);
    plan.Add(&s_.expert_weight, rows * used);
    plan.Add(&s_.expert_id, rows * used);
    plan.Add(&s_.expert_slot, rows * used);
    plan.Add(&s_.expert_out, rows * used * n);
    s_.gathered.AddTo(&plan, rows * used, n);
    s_.gated_items.reserve(experts);
    s_.matmul_items.reserve(experts);
  }
  if (mixers.conv_channels > 0) {
    const size_t state_rows =
        static_cast<size_t>(options_.max_sequences) * static_cast<size_t>(h_.conv_taps - 1);
    plan.Add(&s_.conv_input, (rows + state_rows) * mixers.conv_channels);
    plan.Add(&s_.conv_row, rows);
  }
  if (mixers.conv_out > 0) plan.Add(&s_.conv_out, rows * mixers.conv_out);
  if (mixers.gate > 0) plan.Add(&s_.gate, rows * mixers.gate);
  if (mixers.dt > 0) plan.Add(&s_.dt, rows * mixers.dt);
  if (mixers.low_rank > 0) s_.low_rank.AddTo(&plan, rows, (mixers.low_rank + 31) / 32 * 32);
}

Status ModelRunner::AllocateBuffers() {
  const auto rows = static_cast<size_t>(options_.max_batch_rows);
  ArenaPlan plan;
  PlanBuffers(&plan);
  LULL_ASSIGN_OR_RETURN(memory_, plan.Allocate());
  s_.architecture = &architecture_;
  s_.h = &h_;
  s_.weights = &weights_;
  s_.cache = cache_.get();
  s_.env = &env_;
  s_.runs.reserve(rows);
  s_.places.reserve(rows);
  s_.active.reserve(rows);
  tokens_.reserve(rows);
  active_rows_.reserve(rows);
  s_.head_parts.reserve(static_cast<size_t>(h_.num_heads));
  s_.matmul_items.reserve(static_cast<size_t>(std::max(h_.num_heads, h_.num_experts)));
  logits_source_.reserve(rows);
  all_rows_.resize(rows);
  for (size_t i = 0; i < rows; ++i) all_rows_[i] = static_cast<int32_t>(i);
  sequence_seen_.resize(static_cast<size_t>(options_.max_sequences));
  adapters_.resize(static_cast<size_t>(options_.max_sequences));
  return Status::Ok();
}

// Global, then local where a layer uses it.
std::vector<RopeAngles> ModelRunner::Ropes() const {
  if (!h_.has_attention()) return {};
  std::vector<RopeAngles> ropes{GlobalRope(h_, weights_, options_.max_context_tokens)};
  const auto local = [](const LayerPlan& layer) { return layer.local_rope; };
  if (std::any_of(h_.layers.begin(), h_.layers.end(), local)) ropes.push_back(LocalRope(h_));
  return ropes;
}

// What Q at a position is multiplied by, so that far contexts do not wash attention out.
float TemperatureAt(const Hparams& h, int64_t position) {
  const auto stretches = static_cast<double>(position / h.rope_original_context);
  return static_cast<float>(1.0 + static_cast<double>(h.attention_temperature) *
                                      exact::Log(1.0 + stretches));
}

// Rows of one sequence must be adjacent and continue it.
Status ModelRunner::SplitRuns(std::span<const BatchRow> rows) {
  s_.runs.clear();
  std::fill(sequence_seen_.begin(), sequence_seen_.end(), 0);
  for (size_t i = 0; i < rows.size(); ++i) {
    const BatchRow& row = rows[i];
    const std::string which = "row " + std::to_string(i);
    if (s_.runs.empty() || s_.runs.back().sequence != row.sequence) {
      if (!cache_->IsOpen(row.sequence))
        return Usage(which + ": sequence " + std::to_string(row.sequence) + " is not open");
      if (sequence_seen_[static_cast<size_t>(row.sequence)])
        return Usage(which + ": the rows of sequence " + std::to_string(row.sequence) +
                     " are not adjacent");
      sequence_seen_[static_cast<size_t>(row.sequence)] = 1;
      s_.runs.push_back({row.sequence, i, 0});
    }
    SequenceRun& run = s_.runs.back();
    const int64_t expected = cache_->length(row.sequence) + static_cast<int64_t>(run.rows);
    if (row.position != expected)
      return Usage(which + " has position " + std::to_string(row.position) + "; sequence " +
                   std::to_string(row.sequence) + " continues at " + std::to_string(expected));
    if (row.position >= options_.max_context_tokens)
      return Status(ErrorCode::kContextOverflow,
                    "position " + std::to_string(row.position) +
                        " is beyond the context: a sequence may have " +
                        std::to_string(options_.max_context_tokens) + " tokens",
                    which, "shorten the prompt, or ask for fewer new tokens");
    ++run.rows;
  }
  return Status::Ok();
}

Status ModelRunner::CheckTokens(std::span<const BatchRow> rows) const {
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].token < 0 || rows[i].token >= h_.vocab)
      return Usage("row " + std::to_string(i) + ": token " + std::to_string(rows[i].token) +
                   " is outside the vocabulary (0 to " + std::to_string(h_.vocab - 1) + ")");
  return Status::Ok();
}

Status ModelRunner::CheckLogitsRows(std::span<const BatchRow> rows,
                                    std::span<const int32_t> logits_rows) const {
  if (logits_rows.size() > static_cast<size_t>(options_.max_batch_rows))
    return Usage("more logits rows than the batch may have");
  for (int32_t row : logits_rows)
    if (row < 0 || static_cast<size_t>(row) >= rows.size())
      return Usage("logits are asked of row " + std::to_string(row) + ", but the batch has " +
                   std::to_string(rows.size()) + " rows");
  return Status::Ok();
}

Status ModelRunner::ReserveAll() {
  for (size_t i = 0; i < s_.runs.size(); ++i) {
    const Status status =
        cache_->Reserve(s_.runs[i].sequence, static_cast<int64_t>(s_.runs[i].rows));
    if (status.ok()) continue;
    for (size_t j = 0; j < i; ++j) cache_->Release(s_.runs[j].sequence);
    return status;
  }
  return Status::Ok();
}

Status ModelRunner::SetAdapters(int sequence, std::span<const AdapterUse> adapters) {
  if (!cache_->IsOpen(sequence) || cache_->length(sequence) > 0)
    return Usage("adapters are set for an open, empty sequence");
  if (adapters.size() > kMaxAdapters)
    return Status(ErrorCode::kUsage, std::to_string(adapters.size()) + " adapters for one request",
                  "adapters", "give at most " + std::to_string(kMaxAdapters));
  SequenceAdapters set;
  for (const AdapterUse& use : adapters) {
    const auto scale = static_cast<float>(use.scale);
    if (use.adapter == nullptr || use.adapter->rep().model_id != model_.id())
      return Status(ErrorCode::kUsage, "an adapter of another model", "adapters");
    if (!std::isfinite(scale))
      return Status(ErrorCode::kUsage, "the scale of an adapter is no finite number", "adapters");
    if (scale == 0.0f) continue;  // the bits of the model alone
    set.held.push_back(use.adapter);
    set.uses.push_back({&use.adapter->rep().table, scale});
    set.variant.push_back(use.adapter->info().id);
    set.variant.push_back(std::bit_cast<uint32_t>(scale));
  }
  adapters_of(sequence) = std::move(set);
  return Status::Ok();
}

void ModelRunner::BeginLowRank() {
  low_rank_runs_.clear();
  for (const SequenceRun& run : s_.runs) {
    const std::vector<LowRankUse>& uses = adapters_of(run.sequence).uses;
    if (!uses.empty()) low_rank_runs_.push_back({run.row_begin, run.row_begin + run.rows, uses});
  }
  env_.low_rank.Begin(low_rank_runs_);
}

// Row places, rotary angles, and which rows the last layer still needs.
void ModelRunner::Prepare(const ExecContext& ctx, std::span<const BatchRow> rows,
                          std::span<const int32_t> logits_rows) {
  s_.places.resize(rows.size());
  tokens_.resize(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    s_.places[i] = {nullptr, 0, rows[i].position};
    tokens_[i] = rows[i].token;
    if (s_.q_scale != nullptr) s_.q_scale[i] = TemperatureAt(h_, rows[i].position);
  }
  const double row_ns =
      1.0 + static_cast<double>(h_.rope_dims) * static_cast<double>(ropes_.size());
  ForRows(ctx, rows.size(), row_ns, [&](size_t i, int) {
    for (size_t r = 0; r < ropes_.size(); ++r)
      ropes_[r].Row(rows[i].position, s_.cos[r] + i * ropes_[r].half(),
                    s_.sin[r] + i * ropes_[r].half());
  });
  active_rows_.assign(logits_rows.begin(), logits_rows.end());
  if (options_.observer != nullptr)
    active_rows_.assign(all_rows_.begin(),
                        all_rows_.begin() + static_cast<std::ptrdiff_t>(rows.size()));
  std::sort(active_rows_.begin(), active_rows_.end());
  active_rows_.erase(std::unique(active_rows_.begin(), active_rows_.end()), active_rows_.end());
  s_.active.assign(all_rows_.begin(), all_rows_.begin() + static_cast<std::ptrdiff_t>(rows.size()));
  s_.rows = rows.size();
  s_.pending = {};
  BeginLowRank();
}

void ModelRunner::ComputeLogits(const ExecContext& ctx, std::span<const int32_t> logits_rows,
                                float* logits) {
  const auto vocab = static_cast<size_t>(h_.vocab);
  // The residual holds the active rows alone: find each asked row among them.
  logits_source_.clear();
  for (int32_t row : logits_rows)
    logits_source_.push_back(static_cast<int32_t>(
        std::lower_bound(active_rows_.begin(), active_rows_.end(), row) - active_rows_.begin()));
  ResidualNormArgs add;
  add.x = s_.x;
  add.rows = s_.rows;
  add.n = static_cast<size_t>(h_.embedding);
  add.delta = s_.pending.delta;
  add.delta_bias = s_.pending.bias;
  add.delta_norm = s_.pending.norm;
  add.delta_scale = h_.residual_scale;
  add.x_scale = s_.pending.x_scale;
  add.eps = h_.rms_eps;
  ResidualNorm(ctx, env_, add);
  s_.normed.SetReaders({&weights_.output});
  GatherNorm(ctx, env_, s_.x, add.n, logits_source_.data(), logits_source_.size(),
             weights_.output_norm, h_.rms_eps, &s_.normed);
  env_.low_rank.Select(logits_rows);
  const MatMulItem head{&weights_.output, &s_.normed, 0, logits_rows.size(), logits, vocab};
  MatMul(ctx, env_, {&head, 1});
  if (h_.final_softcap == 0.0f && h_.logit_divisor == 1.0f) return;
  const RowTiles tiles(ctx, logits_rows.size(), ElementwiseNs(env_.kernels, 8 * vocab));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(logits_rows.size(), (tile + 1) * tiles.per_tile);
    for (size_t i = tile * tiles.per_tile; i < end; ++i) {
      float* row = logits + i * vocab;
      if (h_.logit_divisor != 1.0f)
        env_.kernels.mul_scalar(row, 1.0f / h_.logit_divisor, vocab, row);
      if (h_.final_softcap != 0.0f) env_.kernels.soft_cap(row, h_.final_softcap, vocab, row);
    }
  });
}

using MixerBlock = void (*)(const ExecContext&, ForwardState&, size_t, bool);

MixerBlock BlockOf(Mixer mixer) {
  switch (mixer) {
    case Mixer::kAttention:
      return AttentionBlock;
    case Mixer::kLatentAttention:
      return LatentAttentionBlock;
    case Mixer::kShortConv:
      return ShortConvBlock;
    case Mixer::kMamba:
      return MambaBlock;
    case Mixer::kMamba2:
      return Mamba2Block;
    case Mixer::kDeltaNet:
      return DeltaNetBlock;
  }
  return AttentionBlock;
}

auto FeedForwardOf(const LayerPlan& layer) {
  if (!layer.moe) return layer.parallel ? ParallelFfnBlock : FfnBlock;
  return layer.dense_ffn_length > 0 ? ParallelMoeBlock : MoeBlock;
}

Status ModelRunner::Compute(const ExecContext& ctx, std::span<const BatchRow> rows,
                            std::span<const int32_t> logits_rows, float* logits) {
  Prepare(ctx, rows, logits_rows);
  EmbedTokens(ctx, env_, weights_.token_embd, tokens_, h_.embedding_scale, s_.x);
  if (h_.per_layer_embedding > 0) PerLayerInputs(ctx, s_, tokens_);
  const size_t num_layers = h_.layers.size();
  for (size_t layer = 0; layer < num_layers; ++layer) {
    if (ctx.Cancelled()) break;
    const bool last = layer + 1 == num_layers;
    if (last) s_.active.assign(active_rows_.begin(), active_rows_.end());
    BlockOf(h_.layers[layer].mixer)(ctx, s_, layer, last);
    if (s_.rows == 0) break;
    if (!h_.layers[layer].feed_forward) continue;
    FeedForwardOf(h_.layers[layer])(ctx, s_, layer);
    if (h_.per_layer_embedding > 0) PerLayerBlock(ctx, s_, layer);
    if (weights_.layers[layer].out_scale != nullptr)
      s_.pending.x_scale = weights_.layers[layer].out_scale[0];
  }
  if (!ctx.Cancelled() && !logits_rows.empty()) ComputeLogits(ctx, logits_rows, logits);
  if (ctx.Cancelled()) return Status(ErrorCode::kCancelled, "the forward pass was cancelled");
  return Status::Ok();
}

Status ModelRunner::Forward(const ExecContext& ctx, std::span<const BatchRow> rows,
                            std::span<const int32_t> logits_rows, float* logits) {
  if (rows.empty())
    return logits_rows.empty() ? Status::Ok() : Usage("logits are asked of an empty batch");
  if (rows.size() > static_cast<size_t>(options_.max_batch_rows))
    return Usage("a batch of " + std::to_string(rows.size()) + " rows; at most " +
                 std::to_string(options_.max_batch_rows) + " are allowed");
  LULL_RETURN_IF_ERROR(CheckTokens(rows));
  LULL_RETURN_IF_ERROR(CheckLogitsRows(rows, logits_rows));
  LULL_RETURN_IF_ERROR(SplitRuns(rows));
  LULL_RETURN_IF_ERROR(scratch_.Ensure(NumThreads(ctx)));
  LULL_RETURN_IF_ERROR(ReserveAll());
  const int64_t moved_before = ctx.bytes_moved();
  const Status status = Compute(ctx, rows, logits_rows, logits);
  bytes_moved_ += ctx.bytes_moved() - moved_before;
  for (const SequenceRun& run : s_.runs) {
    if (status.ok()) {
      cache_->Commit(run.sequence, static_cast<int64_t>(run.rows), tokens_.data() + run.row_begin);
    } else {
      cache_->Release(run.sequence);
    }
  }
  return status;
}

}  // namespace

Result<RunnerMemory> MeasureRunner(const LoadedModel& model, const Kernels& kernels,
                                   const RunnerOptions& options, int threads) {
  return ModelRunner::Measure(model, kernels, options, threads);
}

Result<std::unique_ptr<Runner>> MakeRunner(const LoadedModel& model, const Kernels& kernels,
                                           const RunnerOptions& options) {
  return ModelRunner::Make(model, kernels, options);
}

}  // namespace lull
