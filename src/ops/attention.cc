#include "ops/attention.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace lull {
namespace {

constexpr double kCheckpointNs = 100e3;

// A head's preparation: bias, norm, rotation.
void PrepareHead(const Kernels& kernels, const RotateStoreArgs& args, const float* bias,
                 const float* norm, const float* cos, const float* sin, float* head) {
  const size_t n = args.shape.head_dim;
  if (bias != nullptr) kernels.add(head, bias, n, head);
  if (norm != nullptr) kernels.rms_norm(head, norm, args.eps, n, head);
  kernels.rope(head, cos, sin, args.half, args.neox);
}

void RotateAndStoreRow(const Kernels& kernels, const RowPlace& place, const RotateStoreArgs& args,
                       size_t row) {
  const HeadShape& shape = args.shape;
  const size_t dim = shape.head_dim;
  const float* cos = args.cos + row * args.half;
  const float* sin = args.sin + row * args.half;
  const auto bias_of = [dim](const float* bias, size_t h) {
    return bias ? bias + h * dim : nullptr;
  };
  float* q = args.q + row * shape.num_heads * dim;
  for (size_t h = 0; h < shape.num_heads; ++h)
    PrepareHead(kernels, args, bias_of(args.q_bias, h), args.q_norm, cos, sin, q + h * dim);
  const int32_t page = place.pages[place.position / kPageTokens - place.first_page];
  const size_t slot = static_cast<size_t>(place.position % kPageTokens);
  for (size_t h = 0; h < shape.num_kv_heads; ++h) {
    const size_t at = (row * shape.num_kv_heads + h) * dim;
    PrepareHead(kernels, args, bias_of(args.k_bias, h), args.k_norm, cos, sin, args.k + at);
    if (args.v_bias != nullptr) kernels.add(args.v + at, args.v_bias + h * dim, dim, args.v + at);
    kernels.kv_write(args.kv.type, args.kv.Page(page, h), slot, args.k + at, args.v + at, dim);
  }
}

// Rough cost of one (row, KV head) item per KV page.
double PageNs(const Kernels& kernels, const HeadShape& shape) {
  const double macs = 2.0 * kPageTokens * static_cast<double>(shape.head_dim) *
                      static_cast<double>(shape.num_heads / shape.num_kv_heads);
  return macs / (kernels.macs_per_us * 1e-3 / 8.0);
}

int64_t FirstVisible(const AttentionOpArgs& args, int64_t position) {
  return args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
}

int64_t NumPages(const AttentionOpArgs& args, int64_t position) {
  const auto page = static_cast<int64_t>(kPageTokens);
  return position / page - FirstVisible(args, position) / page + 1;
}

struct Item {
  size_t out_row, row, kv_head;
  size_t q_begin, num_q;  // of the KV head's query heads
};

void AttendItem(const ExecContext& ctx, const OpEnv& env, const RowPlace& place, const Item& item,
                const AttentionOpArgs& op, size_t pages_per_call, int thread) {
  const size_t group = op.shape.num_heads / op.shape.num_kv_heads;
  const size_t head_offset = (item.kv_head * group + item.q_begin) * op.shape.head_dim;
  AttentionArgs args;
  args.q = op.q + item.row * op.shape.num_heads * op.shape.head_dim + head_offset;
  args.num_q = item.num_q;
  args.head_dim = op.shape.head_dim;
  args.scale = op.scale;
  args.kv_type = op.kv.type;
  args.begin_position = FirstVisible(op, place.position);
  args.end_position = place.position + 1;
  args.first_page = args.begin_position / static_cast<int64_t>(kPageTokens);
  args.out = op.out->Row(item.out_row) + head_offset;
  KvPage* pages = env.scratch.pages(thread);
  const auto num_pages = static_cast<size_t>(NumPages(op, place.position));
  const int32_t* table = place.pages + (args.first_page - place.first_page);
  for (size_t i = 0; i < num_pages; ++i) pages[i] = op.kv.Page(table[i], item.kv_head);
  args.pages = pages;
  const AttentionState state{env.scratch.heads(thread, 0), env.scratch.heads(thread, 1)};
  env.kernels.attention_begin(args, state);
  for (size_t begin = 0; begin < num_pages; begin += pages_per_call) {
    if (begin > 0) ctx.Checkpoint();
    if (ctx.Cancelled()) return;
    env.kernels.attention_pages(args, begin, std::min(num_pages, begin + pages_per_call), state);
  }
  env.kernels.attention_end(args, state);
}

}  // namespace

void RotateAndStore(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
                    const RotateStoreArgs& args) {
  const size_t values = (args.shape.num_heads + 2 * args.shape.num_kv_heads) * args.shape.head_dim;
  const RowTiles tiles(ctx, rows.size(), ElementwiseNs(env.kernels, 2 * values));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int) {
    const size_t end = std::min(rows.size(), (tile + 1) * tiles.per_tile);
    for (size_t row = tile * tiles.per_tile; row < end; ++row)
      RotateAndStoreRow(env.kernels, rows[row], args, row);
  });
}

void Attention(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
               std::span<const int32_t> source, const AttentionOpArgs& args) {
  args.out->rows = source.size();
  args.out->k = args.shape.num_heads * args.shape.head_dim;
  if (source.empty()) return;
  const size_t group = args.shape.num_heads / args.shape.num_kv_heads;
  const auto threads = static_cast<size_t>(NumThreads(ctx));
  // Query heads stand alone, so a KV head's may be shared out where there are too few items for
  // the threads; its K and V are then read once per part.
  size_t parts = 1;
  while (source.size() * args.shape.num_kv_heads * parts % threads != 0 && parts < threads &&
         source.size() * args.shape.num_kv_heads < 2 * threads && group % (parts + 1) == 0)
    ++parts;
  const size_t items = source.size() * args.shape.num_kv_heads * parts;
  const double page_ns = PageNs(env.kernels, args.shape) / static_cast<double>(parts);
  double pages = 0;
  for (int32_t row : source) pages += static_cast<double>(NumPages(args, rows[row].position));
  const RowTiles tiles(ctx, items, pages * page_ns / static_cast<double>(source.size()));
  const size_t pages_per_call = std::max<size_t>(1, static_cast<size_t>(kCheckpointNs / page_ns));
  // Tile t takes items t, t + tiles, ...: long and short rows mix, so tiles are about equal.
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    for (size_t i = tile; i < items; i += tiles.tiles) {
      const size_t out_row = i % source.size();
      const auto row = static_cast<size_t>(source[out_row]);
      const size_t head = i / source.size();
      const Item item{out_row, row, head / parts, head % parts * (group / parts), group / parts};
      AttendItem(ctx, env, rows[row], item, args, pages_per_call, thread);
    }
  });
}

}  // namespace lull
