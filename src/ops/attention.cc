#include "ops/attention.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/thread_pool.h"

namespace lull {
namespace {

constexpr double kCheckpointNs = 100e3;
constexpr size_t kMaxHeadDim = 1024;
constexpr double kAloneNs = 6e3;  // less work than this is not worth waking a thread

// A head's preparation: bias, norm, rotation.
void PrepareHead(const Kernels& kernels, const RotateStoreArgs& args, const float* bias,
                 const float* norm, const float* cos, const float* sin, float* head) {
  const size_t n = args.shape.head_dim;
  if (bias != nullptr) kernels.add(head, bias, n, head);
  if (norm != nullptr && !args.whole_norms) kernels.rms_norm(head, norm, args.eps, n, head);
  if (args.half != 0) kernels.rope(head, cos, sin, args.half, args.neox);
}

// Norms over all heads together come before any head's rotation.
void NormWhole(const Kernels& kernels, const RotateStoreArgs& args, const float* norm,
               const float* bias, size_t heads, float* x) {
  if (!args.whole_norms || norm == nullptr) return;
  const size_t n = heads * args.shape.head_dim;
  if (bias != nullptr) kernels.add(x, bias, n, x);
  kernels.rms_norm(x, norm, args.eps, n, x);
}

// Heads that lie one behind the other move apart; what comes between is zero.
void PadHeads(const HeadShape& shape, float* q) {
  const size_t dim = shape.head_dim, padded = shape.padded_dim();
  if (padded == dim) return;
  for (size_t h = shape.num_heads; h-- > 0;) {
    memmove(q + h * padded, q + h * dim, dim * sizeof(float));
    memset(q + h * padded + dim, 0, (padded - dim) * sizeof(float));
  }
}

// The way back, for all rows; each moves towards the first, so they go in their order.
void CloseHeads(const ExecContext& ctx, const HeadShape& shape, ActivationBuffer* out) {
  const size_t dim = shape.head_dim, padded = shape.padded_dim();
  out->k = shape.num_heads * dim;
  if (padded == dim) return;
  for (size_t i = 0; i < out->rows; ++i, ctx.Checkpoint())
    for (size_t h = 0; h < shape.num_heads; ++h)
      memmove(out->Row(i) + h * dim, out->f32 + (i * shape.num_heads + h) * padded,
              dim * sizeof(float));
}

// K and V of a head go to their page by whole vectors.
void StoreHead(const Kernels& kernels, const RotateStoreArgs& args, const KvPage& page, size_t slot,
               const float* k, const float* v) {
  const size_t dim = args.shape.head_dim, padded = args.shape.padded_dim();
  if (padded == dim) return kernels.kv_write(args.kv.type, page, slot, k, v, dim);
  float heads[2][kMaxHeadDim] = {};
  memcpy(heads[0], k, dim * sizeof(float));
  memcpy(heads[1], v, dim * sizeof(float));
  kernels.kv_write(args.kv.type, page, slot, heads[0], heads[1], padded);
}

void RotateAndStoreRow(const Kernels& kernels, const RowPlace& place, const RotateStoreArgs& args,
                       size_t row) {
  const HeadShape& shape = args.shape;
  const size_t dim = shape.head_dim;
  const float* cos = args.cos + row * args.half;
  const float* sin = args.sin + row * args.half;
  // With norms over all heads the biases have been added before them.
  const auto bias_of = [&](const float* bias, const float* norm, size_t h) {
    return bias && !(args.whole_norms && norm) ? bias + h * dim : nullptr;
  };
  float* q = args.q + row * shape.q_stride();
  NormWhole(kernels, args, args.q_norm, args.q_bias, shape.num_heads, q);
  for (size_t h = 0; h < shape.num_heads; ++h)
    PrepareHead(kernels, args, bias_of(args.q_bias, args.q_norm, h), args.q_norm, cos, sin,
                q + h * dim);
  if (args.q_scale != nullptr) kernels.mul_scalar(q, args.q_scale[row], shape.num_heads * dim, q);
  PadHeads(shape, q);
  float* k = args.k + row * shape.num_kv_heads * dim;
  NormWhole(kernels, args, args.k_norm, args.k_bias, shape.num_kv_heads, k);
  const int32_t page = place.pages[place.position / kPageTokens - place.first_page];
  const size_t slot = static_cast<size_t>(place.position % kPageTokens);
  for (size_t h = 0; h < shape.num_kv_heads; ++h) {
    const size_t at = (row * shape.num_kv_heads + h) * dim;
    PrepareHead(kernels, args, bias_of(args.k_bias, args.k_norm, h), args.k_norm, cos, sin,
                args.k + at);
    if (args.v_bias != nullptr) kernels.add(args.v + at, args.v_bias + h * dim, dim, args.v + at);
    if (args.norm_values) kernels.rms_norm(args.v + at, nullptr, args.eps, dim, args.v + at);
    StoreHead(kernels, args, args.kv.Page(page, h), slot, args.k + at, args.v + at);
  }
}

constexpr double kReadBytesPerNs = 12.0;  // of KV pages, by one thread

// Rough cost of a page for one row and the query heads of one KV head.
double PageNs(const Kernels& kernels, const AttentionOpArgs& args) {
  const HeadShape& shape = args.shape;
  const double macs = 2.0 * kPageTokens * static_cast<double>(shape.padded_dim()) *
                      static_cast<double>(shape.num_heads / shape.num_kv_heads);
  const double compute_ns = macs / (kernels.macs_per_us * 1e-3 / 8.0);
  return std::max(compute_ns, 2.0 * static_cast<double>(args.kv.head_bytes) / kReadBytesPerNs);
}

int64_t FirstVisible(const AttentionOpArgs& args, int64_t position) {
  return args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
}

// The pages that some row of a block sees.
struct PageRange {
  int64_t begin = 0, end = 0;
};

PageRange VisiblePages(std::span<const RowPlace> rows, std::span<const int32_t> source,
                       const AttentionOpArgs& args, const RowBlock& block) {
  const auto page = static_cast<int64_t>(kPageTokens);
  PageRange range;
  for (size_t r = 0; r < block.rows; ++r) {
    const int64_t position = rows[static_cast<size_t>(source[block.begin + r])].position;
    const int64_t first = FirstVisible(args, position) / page;
    range.begin = r == 0 ? first : std::min(range.begin, first);
    range.end = std::max(range.end, position / page + 1);
  }
  return range;
}

// A block of rows by some KV heads and, of each, some of the query heads that share it.
struct Item {
  RowBlock block;
  size_t kv_begin, num_kv;
  size_t q_begin, num_q;
};

// Fewer rows read a page where it lies: widening it once costs as much as reading it twice.
constexpr size_t kWidenRows = 3;

// Attention of the rows of a block, page by page, and in a page head by head: what is read is one
// stream, and a page stays in cache for all rows.
class BlockAttention {
 public:
  BlockAttention(const ExecContext& ctx, const OpEnv& env, std::span<const RowPlace> rows,
                 std::span<const int32_t> source, const AttentionOpArgs& op, int thread)
      : ctx_(ctx), env_(env), rows_(rows), source_(source), op_(op), thread_(thread) {}

  // All of it. The state is the thread's own.
  void Run(const Item& item, double page_ns) {
    const PageRange all = VisiblePages(rows_, source_, op_, item.block);
    RunPart(item, all, all, page_ns, env_.scratch.heads(thread_, 0),
            env_.scratch.heads(thread_, 1));
  }

  // The pages of `part`: those of `all` in ascending order, whoever computes them. Maxima and sums
  // rest in m and l, [rows * KV heads * query heads] each, and sums of values in the output.
  void RunPart(const Item& item, PageRange all, PageRange part, double page_ns, float* m,
               float* l) {
    item_ = item;
    m_ = m;
    l_ = l;
    part_ = part;
    ctx_.AddBytes(static_cast<size_t>(part.end - part.begin) * item.num_kv * 2 * op_.kv.head_bytes);
    if (part.begin == all.begin) ForEachState(env_.kernels.attention_begin);
    for (int64_t page = part.begin; page < part.end; ++page) {
      if (ctx_.Cancelled()) return;
      for (size_t head = 0; head < item.num_kv; ++head) RunPage(page, head, page_ns);
    }
    if (part.end == all.end) ForEachState(env_.kernels.attention_end);
  }

 private:
  template <typename Fn>
  void ForEachState(const Fn& fn) {
    for (size_t head = 0; head < item_.num_kv; ++head)
      for (size_t r = 0; r < item_.block.rows; ++r) fn(Args(r, 1, head), State(r, head));
  }

  void RunPage(int64_t page, size_t head, double page_ns) {
    // Then there is one KV head, and the rows' states lie side by side.
    const bool many = item_.block.rows >= kWidenRows;
    const bool widen = many && op_.kv.type != KvType::kF32;
    KvPage kv = PageOf(page, head);
    if (widen) kv = Widen(kv);
    KvPage next;  // in the order of reading
    const bool last_head = head + 1 == item_.num_kv;
    const bool fetch = !many && (page + 1 < part_.end || !last_head);
    if (fetch) next = last_head ? PageOf(page + 1, 0) : PageOf(page, head + 1);
    for (size_t r = 0, rows; r < item_.block.rows; r += rows) {
      rows = many ? RowsAlike(r, page, page_ns) : 1;
      const double ns = page_ns * static_cast<double>(rows);
      if (since_checkpoint_ns_ + ns > kCheckpointNs) {
        ctx_.Checkpoint();
        since_checkpoint_ns_ = 0;
      }
      since_checkpoint_ns_ += ns;
      AttentionArgs args = Args(r, rows, head);
      args.pages = &kv;
      args.next = fetch ? &next : nullptr;
      args.first_page = page;
      args.kv_type = widen ? KvType::kF32 : op_.kv.type;
      env_.kernels.attention_pages(args, 0, 1, State(r, head));
    }
  }

  // How many rows from r on see the whole page, if it does; they fit between two checkpoints.
  size_t RowsAlike(size_t r, int64_t page, double page_ns) const {
    const auto size = static_cast<int64_t>(kPageTokens);
    const auto sees_all = [&](size_t row) {
      const int64_t position = Row(row).position;
      return FirstVisible(op_, position) <= page * size && position >= page * size + size - 1;
    };
    const auto most = static_cast<size_t>(std::max(kCheckpointNs / page_ns, 1.0));
    size_t rows = 1;
    if (!sees_all(r)) return rows;
    while (r + rows < item_.block.rows && rows < most && sees_all(r + rows)) ++rows;
    return rows;
  }

  const RowPlace& Row(size_t r) const {
    return rows_[static_cast<size_t>(source_[item_.block.begin + r])];
  }

  KvPage PageOf(int64_t page, size_t head) const {
    const RowPlace& place = Row(0);
    return op_.kv.Page(place.pages[page - place.first_page], item_.kv_begin + head);
  }

  // Of `rows` rows from r on. Valid until the next call.
  AttentionArgs Args(size_t r, size_t rows, size_t head) {
    const size_t group = op_.shape.num_heads / op_.shape.num_kv_heads;
    const size_t dim = op_.shape.padded_dim();
    const size_t offset = ((item_.kv_begin + head) * group + item_.q_begin) * dim;
    for (size_t i = 0; i < rows; ++i) {
      const size_t out_row = item_.block.begin + r + i;
      q_[i] = op_.q + static_cast<size_t>(source_[out_row]) * op_.shape.q_stride() + offset;
      out_[i] = op_.out->Row(out_row) + offset;
    }
    const int64_t position = Row(r).position;
    AttentionArgs args;
    args.num_rows = rows;
    args.q = q_;
    args.num_q = item_.num_q;
    args.head_dim = dim;
    args.scale = op_.scale;
    args.softcap = op_.softcap;
    if (op_.sinks != nullptr)
      args.sinks = op_.sinks + (item_.kv_begin + head) * group + item_.q_begin;
    args.begin_position = FirstVisible(op_, position);
    args.end_position = position + 1;
    args.out = out_;
    return args;
  }

  AttentionState State(size_t r, size_t head) const {
    const size_t at = (r * item_.num_kv + head) * item_.num_q;
    return {m_ + at, l_ + at};
  }

  KvPage Widen(const KvPage& page) {
    float* k = env_.scratch.page(thread_, 0);
    float* v = env_.scratch.page(thread_, 1);
    env_.kernels.kv_widen(op_.kv.type, page, op_.shape.padded_dim(), k, v);
    return {k, v};
  }

  const ExecContext& ctx_;
  const OpEnv& env_;
  std::span<const RowPlace> rows_;
  std::span<const int32_t> source_;
  const AttentionOpArgs& op_;
  int thread_;
  Item item_ = {};
  PageRange part_;
  float *m_ = nullptr, *l_ = nullptr;
  double since_checkpoint_ns_ = 0;
  const float* q_[kBlockRows];
  float* out_[kBlockRows];
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

// Few items for the threads, as when one sequence decodes: the items' pages are laid end to end and
// cut into equal stretches, one for each thread. Of an item that is cut the thread before the cut
// computes the first pages at once, the one behind it the rest last of all its work, from the state
// that the first has left. Nobody waits: who comes to the cut second computes the rest.
class Stretches {
 public:
  static constexpr size_t kMax = 256;

  Stretches(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
            std::span<const int32_t> source, const AttentionOpArgs& op, size_t parts, size_t count)
      : ctx_(ctx),
        env_(env),
        rows_(rows),
        source_(source),
        op_(op),
        parts_(parts),
        count_(count),
        heads_(op.shape.num_kv_heads * parts),
        num_q_(op.shape.num_heads / heads_),
        page_ns_(PageNs(env.kernels, op) / static_cast<double>(parts)) {
    env.attention.states.resize(std::max(env.attention.states.size(), count * StateFloats()));
    FindCuts();
  }

  void Run(size_t stretch, int thread) {
    const AttentionScratch::Cut from = CutAt(stretch), to = CutAt(stretch + 1);
    if (to.page > 0 && !(from.page > 0 && from.item == to.item)) {
      RunPart(to.item, 0, to.page, StateOf(stretch + 1), thread);
      Arrive(stretch + 1, thread);
    }
    RunWholes(from.page > 0 ? from.item + 1 : from.item, to.item, thread);
    if (from.page > 0) Arrive(stretch, thread);
  }

 private:
  // Shorter pieces are not worth a cut.
  static constexpr int64_t kLeastPages = 2;

  size_t StateFloats() const { return 2 * kBlockRows * num_q_; }
  AttentionScratch::Cut CutAt(size_t cut) const { return env_.attention.cuts[cut]; }
  const RowBlock& BlockOf(size_t item) const { return env_.attention.blocks[item / heads_]; }

  void FindCuts() {
    const std::vector<RowBlock>& blocks = env_.attention.blocks;
    int64_t total = 0;
    for (const RowBlock& block : blocks) total += Pages(block) * Rows(block);
    env_.attention.cuts.clear();
    size_t b = 0;
    int64_t before = 0;  // cost of one head of the blocks before b
    const auto heads = static_cast<int64_t>(heads_), count = static_cast<int64_t>(count_);
    for (int64_t t = 0; t < count; ++t) {
      const int64_t at = total * heads * t / count;
      while (at >= (before + Pages(blocks[b]) * Rows(blocks[b])) * heads) {
        before += Pages(blocks[b]) * Rows(blocks[b]);
        ++b;
      }
      const int64_t pages = Pages(blocks[b]), rest = at - before * heads;
      size_t item = b * heads_ + static_cast<size_t>(rest / (pages * Rows(blocks[b])));
      int64_t page = rest % (pages * Rows(blocks[b])) / Rows(blocks[b]);
      if (page < kLeastPages) page = 0;
      if (page > pages - kLeastPages && page > 0) {
        page = 0;
        ++item;
      }
      env_.attention.cuts.push_back({item, page});
    }
    env_.attention.cuts.push_back({blocks.size() * heads_, 0});
  }

  int64_t Pages(const RowBlock& block) const {
    const PageRange range = VisiblePages(rows_, source_, op_, block);
    return range.end - range.begin;
  }
  static int64_t Rows(const RowBlock& block) { return static_cast<int64_t>(block.rows); }

  // Of the item that is cut there, kept at its first cut.
  float* StateOf(size_t cut) {
    while (cut > 1 && CutAt(cut - 1).item == CutAt(cut).item && CutAt(cut - 1).page > 0) --cut;
    return env_.attention.states.data() + (cut - 1) * StateFloats();
  }

  void Arrive(size_t cut, int thread) {
    while (arrivals_[cut].fetch_add(1, std::memory_order_acq_rel) == 1) {
      const AttentionScratch::Cut from = CutAt(cut), to = CutAt(cut + 1);
      const bool cut_again = from.item == to.item;
      const int64_t end = cut_again ? to.page : Pages(BlockOf(from.item));
      RunPart(from.item, from.page, end, StateOf(cut), thread);
      if (!cut_again) return;
      ++cut;
    }
  }

  void RunPart(size_t item, int64_t begin, int64_t end, float* state, int thread) {
    const PageRange all = VisiblePages(rows_, source_, op_, BlockOf(item));
    BlockAttention(ctx_, env_, rows_, source_, op_, thread)
        .RunPart(ItemAt(item, 1), all, {all.begin + begin, all.begin + end}, page_ns_, state,
                 state + StateFloats() / 2);
  }

  void RunWholes(size_t begin, size_t end, int thread) {
    BlockAttention attention(ctx_, env_, rows_, source_, op_, thread);
    while (begin < end) {
      const size_t block_end = (begin / heads_ + 1) * heads_;
      const bool together = parts_ == 1 && BlockOf(begin).rows < kWidenRows;
      const size_t num_kv = together ? std::min(end, block_end) - begin : 1;
      attention.Run(ItemAt(begin, num_kv), page_ns_);
      begin += num_kv;
    }
  }

  Item ItemAt(size_t item, size_t num_kv) const {
    const size_t head = item % heads_;
    return {BlockOf(item), head / parts_, num_kv, head % parts_ * num_q_, num_q_};
  }

  const ExecContext& ctx_;
  OpEnv& env_;
  std::span<const RowPlace> rows_;
  std::span<const int32_t> source_;
  const AttentionOpArgs& op_;
  size_t parts_, count_;
  size_t heads_;  // items of a block
  size_t num_q_;  // query heads of an item
  double page_ns_;
  std::atomic<uint32_t> arrivals_[kMax + 1] = {};
};

// Tile t takes items t, t + tiles, ...: long and short rows mix, so tiles are about equal. Rows
// that share pages follow one another head by head; others, where there are enough of them for the
// threads, read all heads of a page at once.
void RunItems(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
              std::span<const int32_t> source, const AttentionOpArgs& args, size_t parts) {
  const std::vector<RowBlock>& blocks = env.attention.blocks;
  const HeadShape& shape = args.shape;
  const auto narrow = [](const RowBlock& block) { return block.rows < kWidenRows; };
  const auto threads = static_cast<size_t>(NumThreads(ctx));
  const bool together = std::all_of(blocks.begin(), blocks.end(), narrow) &&
                        (threads == 1 || blocks.size() >= 4 * threads);
  const size_t num_kv = together ? shape.num_kv_heads : 1;
  const size_t num_q = shape.num_heads / shape.num_kv_heads / parts;
  const size_t items = blocks.size() * shape.num_kv_heads / num_kv * parts;
  const double page_ns = PageNs(env.kernels, args) / static_cast<double>(parts);
  double pages = 0;
  for (const RowBlock& block : blocks) {
    const PageRange range = VisiblePages(rows, source, args, block);
    pages += static_cast<double>((range.end - range.begin) * static_cast<int64_t>(block.rows));
  }
  const RowTiles tiles(
      ctx, items,
      pages * page_ns * static_cast<double>(num_kv) / static_cast<double>(blocks.size()));
  ParallelFor(ctx, tiles.tiles, [&](size_t tile, int thread) {
    BlockAttention attention(ctx, env, rows, source, args, thread);
    for (size_t i = tile; i < items; i += tiles.tiles) {
      const size_t head = i / blocks.size();
      attention.Run({blocks[i % blocks.size()], head / parts, num_kv, head % parts * num_q, num_q},
                    page_ns);
    }
  });
}

void RunStretches(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
                  std::span<const int32_t> source, const AttentionOpArgs& args, size_t parts) {
  const HeadShape& shape = args.shape;
  double ns = 0;
  for (const RowBlock& block : env.attention.blocks) {
    const PageRange range = VisiblePages(rows, source, args, block);
    ns += static_cast<double>((range.end - range.begin) * static_cast<int64_t>(block.rows)) *
          static_cast<double>(shape.num_kv_heads) * PageNs(env.kernels, args);
  }
  const size_t items = env.attention.blocks.size() * shape.num_kv_heads * parts;
  const size_t count = std::min({items, static_cast<size_t>(NumThreads(ctx)), Stretches::kMax});
  Stretches stretches(ctx, env, rows, source, args, parts, ns < kAloneNs ? 1 : count);
  ParallelFor(ctx, ns < kAloneNs ? 1 : count,
              [&](size_t stretch, int thread) { stretches.Run(stretch, thread); });
}

void AttendAll(const ExecContext& ctx, OpEnv& env, std::span<const RowPlace> rows,
               std::span<const int32_t> source, const AttentionOpArgs& args) {
  SplitBlocks(rows, source, env.attention.blocks);
  const size_t group = args.shape.num_heads / args.shape.num_kv_heads;
  const auto threads = static_cast<size_t>(NumThreads(ctx));
  const size_t heads = env.attention.blocks.size() * args.shape.num_kv_heads;
  // Query heads stand alone, so a KV head's may be shared out where there are fewer KV heads than
  // threads; its K and V are then read once per part.
  size_t parts = 1;
  for (size_t p = 2; p <= group && heads * p <= threads; ++p)
    if (group % p == 0) parts = p;
  const bool few = heads * parts < 4 * threads && !ctx.capped();
  if (!few || threads == 1) return RunItems(ctx, env, rows, source, args, parts);
  RunStretches(ctx, env, rows, source, args, parts);
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
  args.out->k = args.shape.q_stride();
  if (!source.empty()) AttendAll(ctx, env, rows, source, args);
  CloseHeads(ctx, args.shape, args.out);
}

}  // namespace lull
