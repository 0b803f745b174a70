#include "ops/op_env.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace lull {
namespace {

constexpr double kRowTileNs = 50e3;
constexpr double kInlineNs = 6e3;  // waking a thread costs a few microseconds

}  // namespace

Status ThreadScratch::Ensure(int threads) {
  if (threads <= num_threads_) return Status::Ok();
  auto slots = std::make_unique<PerThread[]>(static_cast<size_t>(threads));
  ArenaPlan plan;
  for (int i = 0; i < threads; ++i) AddTo(&plan, &slots[i]);
  LULL_ASSIGN_OR_RETURN(memory_, plan.Allocate());
  threads_ = std::move(slots);
  num_threads_ = threads;
  return Status::Ok();
}

void ThreadScratch::AddTo(ArenaPlan* plan, PerThread* slot) const {
  plan->Add(&slot->matmul, sizes_.matmul_bytes);
  plan->Add(&slot->a, kScratchFloats);
  plan->Add(&slot->b, kScratchFloats);
  plan->Add(&slot->row, sizes_.row);
  plan->Add(&slot->page, 2 * kPageTokens * sizes_.head_dim);
  plan->Add(&slot->heads, 2 * kBlockRows * sizes_.heads);
}

size_t ThreadScratch::Bytes(int threads) const {
  PerThread slot;
  ArenaPlan plan;
  AddTo(&plan, &slot);
  return plan.bytes() * static_cast<size_t>(threads);
}

int NumThreads(const ExecContext& ctx) { return ctx.pool == nullptr ? 1 : ctx.pool->threads(); }

RowTiles::RowTiles(const ExecContext& ctx, size_t rows, double ns_per_row) : rows(rows) {
  const double total_ns = ns_per_row * static_cast<double>(rows);
  size_t wanted = static_cast<size_t>(total_ns / kRowTileNs) + 1;
  if (total_ns > kInlineNs) wanted = std::max(wanted, static_cast<size_t>(NumThreads(ctx)));
  per_tile = rows == 0 ? 1 : std::max<size_t>(1, rows / std::min(wanted, rows));
  tiles = (rows + per_tile - 1) / per_tile;
}

double ElementwiseNs(const Kernels& kernels, size_t n) {
  return static_cast<double>(n) * (kernels.isa == Isa::kScalar ? 3.0 : 0.5);
}

}  // namespace lull
