#include "ops/tile_plan.h"

#include "ops/op_env.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

constexpr double kTileNs = 100e3;
constexpr double kInlineNs = 3e3;       // below, waking a thread costs more than it saves
constexpr double kBytesPerNs = 15.0;    // weights streamed by one thread
constexpr double kFloatSlowdown = 8.0;  // f32 products against int8 ones
// The kernels gather this many activation rows at a time: a call with as many rows and as many
// groups as fit a tile gathers them once for all of its groups.
constexpr size_t kPanelRows = 64, kSuperPanelRows = 128;

}  // namespace

void TilePlan::Clear() {
  strips_.clear();
  total_cost_ = 0;
  total_units_ = 0;
  tiles_ = 0;
}

void TilePlan::AddItem(const Kernels& kernels, size_t item, const PackedMatrix& w, size_t matrices,
                       bool super_blocks, size_t row_begin, size_t row_end, size_t unit_groups,
                       size_t max_outputs) {
  const size_t rows = row_end - row_begin;
  if (rows == 0 || w.rows == 0) return;
  const bool is_super =
      super_blocks && w.format->activations == ActivationForm::kBlocksOrSuperBlocks;
  double macs_per_ns = (is_super ? kernels.super_macs_per_us : kernels.macs_per_us) * 1e-3;
  if (w.format->activations == ActivationForm::kF32) macs_per_ns /= kFloatSlowdown;
  const double row_ns = static_cast<double>(16 * unit_groups * matrices * w.k) / macs_per_ns;
  size_t strip_rows = std::clamp<size_t>(static_cast<size_t>(kTileNs / row_ns), 1, is_super ? kSuperPanelRows : kPanelRows);
  if (max_outputs != 0)
    strip_rows = std::min(strip_rows, std::max<size_t>(1, max_outputs / (16 * unit_groups)));
  const size_t blocks = (rows + strip_rows - 1) / strip_rows;
  const double bytes_ns = static_cast<double>(w.group_bytes * unit_groups * matrices) / kBytesPerNs;
  for (size_t b = 0; b < blocks; ++b) {
    Strip strip;
    strip.item = item;
    strip.row_begin = row_begin + b * strip_rows;
    strip.row_end = std::min(row_end, strip.row_begin + strip_rows);
    strip.units = (w.groups() + unit_groups - 1) / unit_groups;
    const double compute_ns = row_ns * static_cast<double>(strip.row_end - strip.row_begin);
    strip.unit_cost = static_cast<uint64_t>(std::max({compute_ns, bytes_ns, 1.0}));
    strip.cost_begin = total_cost_;
    total_cost_ += strip.unit_cost * strip.units;
    total_units_ += strip.units;
    strips_.push_back(strip);
  }
}

size_t TilePlan::Finish(const ExecContext& ctx) {
  if (strips_.empty()) return tiles_ = 0;
  const size_t threads = static_cast<size_t>(NumThreads(ctx));
  size_t tiles = 1;
  if (static_cast<double>(total_cost_) > kInlineNs) {
    tiles = static_cast<size_t>(static_cast<double>(total_cost_) / kTileNs) + 1;
    tiles = (tiles + threads - 1) / threads * threads;
  }
  return tiles_ = std::min(tiles, total_units_);
}

TilePlan::Cut TilePlan::CutAt(size_t tile) const {
  if (tile == 0) return {};
  if (tile >= tiles_) return {strips_.size() - 1, strips_.back().units};
  const uint64_t at = total_cost_ / tiles_ * tile + total_cost_ % tiles_ * tile / tiles_;
  const auto after =
      std::upper_bound(strips_.begin(), strips_.end(), at,
                       [](uint64_t cost, const Strip& s) { return cost < s.cost_begin; });
  const Strip& strip = *(after - 1);
  const uint64_t unit = (at - strip.cost_begin + strip.unit_cost / 2) / strip.unit_cost;
  return {static_cast<size_t>(after - 1 - strips_.begin()),
          static_cast<size_t>(std::min<uint64_t>(unit, strip.units))};
}

}  // namespace lull
