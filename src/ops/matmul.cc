#include "ops/matmul.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "ops/matmul_observer.h"

namespace lull {
namespace {

// Groups are computed in pairs: the kernels' largest tile, and one block of a quantised result.
constexpr size_t kUnitGroups = 2;
constexpr size_t kUnitRows = 16 * kUnitGroups;

template <typename Item>
void TellObserver(const ExecContext& ctx, const OpEnv& env, std::span<const Item> items,
                  const PackedMatrix* Item::*matrix) {
  if (env.observer == nullptr) return;
  for (const Item& item : items)
    env.observer->Observe(ctx, *(item.*matrix), *item.x, item.row_begin, item.row_end);
}

template <typename AddFn>
void RunMatMul(const ExecContext& ctx, OpEnv& env, std::span<const MatMulItem> items, AddFn&& add) {
  env.plan.Clear();
  for (size_t i = 0; i < items.size(); ++i)
    env.plan.AddItem(env.kernels, i, *items[i].w, 1, items[i].x->has_super_blocks,
                     items[i].row_begin, items[i].row_end, kUnitGroups, 0);
  const size_t tiles = env.plan.Finish(ctx);
  ParallelFor(ctx, tiles, [&](size_t tile, int thread) {
    if (ctx.Cancelled()) return;
    size_t bytes = 0;
    env.plan.ForTile(tile, [&](const Strip& strip, size_t begin, size_t end) {
      const MatMulItem& item = items[strip.item];
      bytes += (end - begin) * kUnitGroups * item.w->group_bytes;
      const size_t first = begin * kUnitGroups;
      const size_t last = std::min(end * kUnitGroups, item.w->groups());
      float* out = item.out + strip.row_begin * item.out_stride + kUnitRows * begin;
      MultiplyGroups(env, thread, *item.w, first, last,
                     item.x->View(strip.row_begin, strip.row_end), out, item.out_stride);
      bytes += add(strip, thread, first, last, out);
    });
    ctx.AddBytes(bytes);
  });
}

// Numbers of a gate's product, and behind it of its up's.
size_t GateNumber(size_t item) { return 2 * item; }

void ProjectGated(const ExecContext& ctx, OpEnv& env, std::span<const GatedItem> items) {
  env.low_rank.Clear();
  for (size_t i = 0; i < items.size(); ++i) {
    const GatedItem& item = items[i];
    env.low_rank.AddProduct(GateNumber(i), *item.gate, *item.x, item.row_begin, item.row_end);
    env.low_rank.AddProduct(GateNumber(i) + 1, *item.up, *item.x, item.row_begin, item.row_end);
  }
  env.low_rank.Project(ctx, env);
}

}  // namespace

// The kernel sees a matrix and rows that begin at zero.
void MultiplyGroups(const OpEnv& env, int thread, const PackedMatrix& w, size_t group_begin,
                    size_t group_end, const Activations& x, float* out, size_t stride) {
  PackedMatrix part = w;
  part.data += group_begin * w.group_bytes;
  part.rows = std::min(w.rows, 16 * group_end) - 16 * group_begin;
  env.kernels.matmul(part, 0, group_end - group_begin, x, 0, x.rows, out, stride,
                     env.scratch.matmul(thread));
}

void PlainMatMul(const ExecContext& ctx, OpEnv& env, std::span<const MatMulItem> items) {
  RunMatMul(ctx, env, items, [](const Strip&, int, size_t, size_t, float*) { return size_t{0}; });
}

void MatMul(const ExecContext& ctx, OpEnv& env, std::span<const MatMulItem> items) {
  TellObserver(ctx, env, items, &MatMulItem::w);
  if (env.low_rank.empty()) return PlainMatMul(ctx, env, items);
  env.low_rank.Clear();
  for (size_t i = 0; i < items.size(); ++i)
    env.low_rank.AddProduct(i, *items[i].w, *items[i].x, items[i].row_begin, items[i].row_end);
  env.low_rank.Project(ctx, env);
  RunMatMul(ctx, env, items,
            [&](const Strip& strip, int thread, size_t first, size_t last, float* out) {
              return env.low_rank.AddTo(env, thread, strip.item, first, last, strip.row_begin,
                                        strip.row_end, out, items[strip.item].out_stride);
            });
}

void GatedMatMul(const ExecContext& ctx, OpEnv& env, std::span<const GatedItem> items,
                 GatedFn activation, ActivationBuffer* out) {
  TellObserver(ctx, env, items, &GatedItem::gate);
  TellObserver(ctx, env, items, &GatedItem::up);
  if (!env.low_rank.empty()) ProjectGated(ctx, env, items);
  env.plan.Clear();
  for (size_t i = 0; i < items.size(); ++i)
    env.plan.AddItem(env.kernels, i, *items[i].gate, 2, items[i].x->has_super_blocks,
                     items[i].row_begin, items[i].row_end, kUnitGroups, kScratchFloats);
  const size_t tiles = env.plan.Finish(ctx);
  ParallelFor(ctx, tiles, [&](size_t tile, int thread) {
    if (ctx.Cancelled()) return;
    float* gate = env.scratch.floats(thread, 0);
    float* up = env.scratch.floats(thread, 1);
    size_t bytes = 0;
    env.plan.ForTile(tile, [&](const Strip& strip, size_t begin, size_t end) {
      const GatedItem& item = items[strip.item];
      bytes += (end - begin) * kUnitGroups * (item.gate->group_bytes + item.up->group_bytes);
      const size_t rows = strip.row_end - strip.row_begin;
      const size_t step = std::max<size_t>(1, kScratchFloats / (kUnitRows * rows));
      for (size_t unit = begin; unit < end; unit += step) {
        const size_t last = std::min(end, unit + step);
        const size_t column = unit * kUnitRows;
        const size_t width = std::min(last * kUnitRows, item.gate->rows) - column;
        const size_t last_group = std::min(last * kUnitGroups, item.gate->groups());
        const Activations x = item.x->View(strip.row_begin, strip.row_end);
        size_t number = GateNumber(strip.item);
        for (const auto& [w, result] : {std::pair(item.gate, gate), std::pair(item.up, up)}) {
          MultiplyGroups(env, thread, *w, unit * kUnitGroups, last_group, x, result, width);
          if (!env.low_rank.empty())
            bytes += env.low_rank.AddTo(env, thread, number, unit * kUnitGroups, last_group,
                                        strip.row_begin, strip.row_end, result, width);
          ++number;
        }
        for (size_t r = 0; r < rows; ++r) {
          const size_t row = strip.row_begin + r;
          float* g = gate + r * width;
          float* u = up + r * width;
          if (item.gate_bias != nullptr) env.kernels.add(g, item.gate_bias + column, width, g);
          if (item.up_bias != nullptr) env.kernels.add(u, item.up_bias + column, width, u);
          activation(g, u, width, out->Row(row) + column);
          out->QuantizeBlocks(env.kernels, row, column, column + width);
        }
      }
    });
    ctx.AddBytes(bytes);
  });
  // A super-block may span tiles.
  if (out->has_super_blocks) QuantizeSuperRows(ctx, env, out);
}

}  // namespace lull
