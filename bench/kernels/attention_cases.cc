// Attention as the forward pass calls it: query heads of two KV heads, three to each, over pages
// of a pool. Decoding walks through as many layers as memory has to deliver.
#include <algorithm>
#include <cstring>
#include <random>

#include "base/thread_pool.h"
#include "bench/kernels/op_counts.h"
#include "bench/kernels/session.h"
#include "ops/attention.h"

namespace lull {
namespace {

constexpr size_t kKvHeads = 2, kGroup = 3;
constexpr size_t kDecodeBytes = size_t{128} << 20;  // of all layers, like a model's whole cache

// One sequence's pages, each with its part of every layer side by side.
class Cache {
 public:
  static Result<Cache> Make(const Kernels& kernels, size_t head_dim, size_t depth, size_t bytes) {
    Cache cache;
    cache.view_.type = KvType::kF16;
    cache.view_.head_bytes = KvHeadBytes(KvType::kF16, head_dim);
    cache.layer_bytes_ = 2 * kKvHeads * cache.view_.head_bytes;
    const size_t pages = (depth + kPageTokens - 1) / kPageTokens;
    cache.layers_ = std::max<size_t>(1, bytes / (pages * cache.layer_bytes_));
    cache.view_.page_bytes = cache.layers_ * cache.layer_bytes_;
    LULL_ASSIGN_OR_RETURN(cache.memory_, os::Memory::Allocate(pages * cache.view_.page_bytes));
    cache.view_.base = cache.memory_.data();
    for (size_t page = 0; page < pages; ++page) {
      cache.table_.push_back(static_cast<int32_t>(page));
      if (page == 0) cache.FillFirst(kernels, head_dim);
      uint8_t* first = cache.memory_.data() + page * cache.view_.page_bytes;
      for (size_t layer = page == 0 ? 1 : 0; layer < cache.layers_; ++layer)
        memcpy(first + layer * cache.layer_bytes_, cache.memory_.data(), cache.layer_bytes_);
    }
    return cache;
  }
  RowPlace Place(int64_t position) const { return {table_.data(), 0, position}; }
  std::span<const uint8_t> bytes() const { return {memory_.data(), memory_.size()}; }
  size_t layer_bytes() const { return layer_bytes_ * table_.size(); }
  KvView Turn() {
    KvView view = view_;
    view.offset = next_ * layer_bytes_;
    next_ = (next_ + 1) % layers_;
    return view;
  }

 private:
  void FillFirst(const Kernels& kernels, size_t head_dim) {
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    std::vector<float> k(head_dim), v(head_dim);
    for (size_t head = 0; head < kKvHeads; ++head) {
      for (size_t slot = 0; slot < kPageTokens; ++slot) {
        for (float& x : k) x = normal(rng);
        for (float& x : v) x = normal(rng);
        kernels.kv_write(view_.type, view_.Page(0, head), slot, k.data(), v.data(), head_dim);
      }
    }
  }
  KvView view_;
  size_t layer_bytes_ = 0, layers_ = 1, next_ = 0;
  os::Memory memory_;
  std::vector<int32_t> table_;
};

// `rows` rows that end at position depth - 1, each attending to all before it.
Status AddCase(Session& session, const ExecContext& ctx, size_t head_dim, size_t rows,
               size_t depth) {
  const size_t q_dim = kKvHeads * kGroup * head_dim;
  Figure figure;
  figure.kernel = rows == 1 ? "attend_decode" : "attend_prefill";
  figure.type = "F16";
  figure.shape = "hd" + std::to_string(head_dim) + " at " + std::to_string(depth);
  figure.rows = rows;
  figure.threads = session.options.threads;
  if (!session.Wanted(figure)) return Status();
  LULL_ASSIGN_OR_RETURN(
      Cache cache, Cache::Make(session.kernels, head_dim, depth, rows == 1 ? kDecodeBytes : 0));
  double positions = 0;
  std::vector<RowPlace> places;
  std::vector<int32_t> source;
  for (size_t r = 0; r < rows; ++r) {
    const size_t position = depth - rows + r;
    places.push_back(cache.Place(static_cast<int64_t>(position)));
    source.push_back(static_cast<int32_t>(r));
    positions += static_cast<double>(position + 1);
  }
  const double scores = positions * static_cast<double>(kKvHeads * kGroup);
  figure.work.f32_ops = scores * (2 * static_cast<double>(head_dim) + kSoftmaxOps);
  figure.work.read_bytes = static_cast<double>(cache.layer_bytes());
  figure.work.resident_bytes = cache.layer_bytes();

  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  std::vector<float> q(rows * q_dim);
  for (float& x : q) x = normal(rng);
  ActivationBuffer out;
  ArenaPlan arena;
  out.AddTo(&arena, rows, q_dim);
  LULL_ASSIGN_OR_RETURN(const os::Memory out_memory, arena.Allocate());
  ThreadScratch::Sizes sizes;
  sizes.head_dim = head_dim;
  sizes.heads = kKvHeads * kGroup;
  ThreadScratch scratch(sizes);
  LULL_RETURN_IF_ERROR(scratch.Ensure(session.options.threads));
  TilePlan plan;
  OpEnv env{session.kernels, scratch, plan};
  AttentionOpArgs args;
  args.shape = {kKvHeads * kGroup, kKvHeads, head_dim};
  args.q = q.data();
  args.scale = 0.1f;
  args.out = &out;
  double bandwidth = 0;
  if (rows == 1) {
    LULL_ASSIGN_OR_RETURN(bandwidth, session.ReadBandwidthOf(cache.bytes()));
  }
  return session.Add(figure, Repeat([&] {
                       args.kv = cache.Turn();
                       Attention(ctx, env, places, source, args);
                     }),
                     bandwidth);
}

}  // namespace

Status AddAttention(Session& session) {
  ThreadPool pool(session.options.threads);
  LULL_RETURN_IF_ERROR(pool.start_status());
  ExecContext ctx;
  if (session.options.threads > 1) ctx.pool = &pool;
  for (const size_t head_dim : {64, 128, 256}) {
    LULL_RETURN_IF_ERROR(AddCase(session, ctx, head_dim, 512, 512));
    for (const size_t depth : {512, 4096, 16384})
      LULL_RETURN_IF_ERROR(AddCase(session, ctx, head_dim, 1, depth));
  }
  return Status();
}

}  // namespace lull
