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

// A block of rows by some of the query heads that share one KV head.
struct Item {
  RowBlock block;
  size_t kv_head;
  size_t q_begin, num_q;  // of the KV head's query heads
};

// Fewer rows read a page where it lies: widening it once costs as much as reading it twice.
constexpr size_t kWidenRows = 3;

// Attention of the rows of a block, page by page: the page stays in cache for all of them.
class BlockAttention {
 public:
  BlockAttention(const ExecContext& ctx, const OpEnv& env, std::span<const RowPlace> rows,
                 std::span<const int32_t> source, const AttentionOpArgs& op, int thread)
      : ctx_(ctx), env_(env), rows_(rows), source_(source), op_(op), thread_(thread) {}

  void Run(const Item& item, double page_ns) {
    const RowPlace& place = rows_[static_cast<size_t>(source_[item.block.begin])];
    Begin(item);
    const bool widen = item.block.rows >= kWidenRows && op_.kv.type != KvType::kF32;
    double since_checkpoint_ns = 0;
    for (int64_t page = first_page_; page <= last_page_; ++page) {
      if (ctx_.Cancelled()) return;
      KvPage kv = op_.kv.Page(place.pages[page - place.first_page], item.kv_head);
      if (widen) kv = Widen(kv);
      KvPage next;
      if (page < last_page_)
        next = op_.kv.Page(place.pages[page + 1 - place.first_page], item.kv_head);
      for (size_t r = 0; r < item.block.rows; ++r) {
        since_checkpoint_ns += page_ns;
        if (since_checkpoint_ns > kCheckpointNs) {
          ctx_.Checkpoint();
          since_checkpoint_ns = 0;
        }
        args_[r].pages = &kv;
        args_[r].next = widen || page == last_page_ ? nullptr : &next;
        args_[r].first_page = page;
        args_[r].kv_type = widen ? KvType::kF32 : op_.kv.type;
        env_.kernels.attention_pages(args_[r], 0, 1, states_[r]);
      }
    }
    for (size_t r = 0; r < item.block.rows; ++r) env_.kernels.attention_end(args_[r], states_[r]);
  }

 private:
  void Begin(const Item& item) {
    const size_t group = op_.shape.num_heads / op_.shape.num_kv_heads;
    const size_t dim = op_.shape.head_dim;
    const size_t head_offset = (item.kv_head * group + item.q_begin) * dim;
    const auto page = static_cast<int64_t>(kPageTokens);
    for (size_t r = 0; r < item.block.rows; ++r) {
      const size_t out_row = item.block.begin + r;
      const auto row = static_cast<size_t>(source_[out_row]);
      const int64_t position = rows_[row].position;
      AttentionArgs& args = args_[r];
      args.q = op_.q + row * op_.shape.num_heads * dim + head_offset;
      args.num_q = item.num_q;
      args.head_dim = dim;
      args.scale = op_.scale;
      args.begin_position = FirstVisible(op_, position);
      args.end_position = position + 1;
      args.out = op_.out->Row(out_row) + head_offset;
      states_[r] = {env_.scratch.heads(thread_, 0) + r * item.num_q,
                    env_.scratch.heads(thread_, 1) + r * item.num_q};
      env_.kernels.attention_begin(args, states_[r]);
      first_page_ = std::min(r == 0 ? position : first_page_, args.begin_position / page);
      last_page_ = std::max(r == 0 ? 0 : last_page_, position / page);
    }
  }

  KvPage Widen(const KvPage& page) {
    float* k = env_.scratch.page(thread_, 0);
    float* v = env_.scratch.page(thread_, 1);
    env_.kernels.kv_widen(op_.kv.type, page, op_.shape.head_dim, k, v);
    return {k, v};
  }

  const ExecContext& ctx_;
  const OpEnv& env_;
  std::span<const RowPlace> rows_;
  std::span<const int32_t> source_;
  const AttentionOpArgs& op_;
  int thread_;
  int64_t first_page_ = 0, last_page_ = 0;
  AttentionArgs args_[kBlockRows];
  AttentionState states_[kBlockRows];
};

// Neighbouring rows of one sequence, up to kBlockRows together.
void SplitBlocks(std::span<const RowPlace> rows, std::span<const int32_t> source,
                 std::vector<RowBlock>& blocks) {
  blocks.clear();
  for (size_t i = 0; i < source.size(); ++i) {
    const RowPlace& place = rows[static_cast<size_t>(source[i])];
    const bool joins = !blocks.empty() && blocks.back().rows < kBlockRows &&
                       rows[static_cast<size_t>(source[i - 1])].pages == place.pages;
    if (joins) {
      ++blocks.back().rows;
    } else {
      blocks.push_back({i, 1});
    }
  }
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
  SplitBlocks(rows, source, env.row_blocks);
  const std::vector<RowBlock>& blocks = env.row_blocks;
  const size_t items = blocks.size() * args.shape.num_kv_heads * parts;
  const double page_ns = PageNs(env.kernels, args.shape) / static_cast<double>(parts);
  double pages = 0;
  for (int32_t row : source) pages += static_cast<double>(NumPages(args, rows[row].position));
  const RowTiles tiles(ctx, items, pages * page_ns / static_cast<double>(blocks.size()));
  // Tile t takes items t, t + tiles, ...: long and short rows mix, so tiles are about equal.
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    BlockAttention attention(ctx, env, rows, source, args, thread);
    for (size_t i = tile; i < items; i += tiles.tiles) {
      const size_t head = i / blocks.size();
      attention.Run(
          {blocks[i % blocks.size()], head / parts, head % parts * (group / parts), group / parts},
          page_ns);
    }
  });
}

}  // namespace lull
