#include <cstring>

#include "model/forward_state.h"

namespace lull {
namespace {

KvView ViewOf(const KvCache& cache, size_t layer) {
  const KvLayerPlace& place = cache.layout().place(layer);
  KvView view;
  view.base = cache.pool(place.group).base();
  view.page_bytes = cache.pool(place.group).page_bytes();
  view.offset = place.offset;
  view.head_bytes = place.head_bytes;
  view.type = cache.layout().type();
  return view;
}

void SetTables(ForwardState& s, int group) {
  for (const SequenceRun& run : s.runs) {
    const int32_t* pages = s.cache->table(run.sequence, group);
    const int64_t first_page = s.cache->first_page(run.sequence, group);
    for (size_t row = run.row_begin; row < run.row_begin + run.rows; ++row) {
      s.places[row].pages = pages;
      s.places[row].first_page = first_page;
    }
  }
}

}  // namespace

KvView UseKv(ForwardState& s, size_t layer) {
  SetTables(s, s.cache->layout().place(layer).group);
  return ViewOf(*s.cache, layer);
}

void NormInput(const ExecContext& ctx, ForwardState& s, const float* norm) {
  ResidualNormArgs args;
  args.x = s.x;
  args.rows = s.rows;
  args.n = static_cast<size_t>(s.h->embedding);
  args.delta = s.pending.delta;
  args.delta_bias = s.pending.bias;
  args.delta_norm = s.pending.norm;
  args.delta_scale = s.h->residual_scale;
  args.x_scale = s.pending.x_scale;
  args.norm = norm;
  args.eps = s.h->rms_eps;
  args.out = &s.normed;
  ResidualNorm(ctx, *s.env, args);
  s.pending = {};
}

GatedFn ActivationOf(const ForwardState& s) {
  const Kernels& kernels = s.env->kernels;
  switch (s.architecture->gate) {
    case GateFn::kSilu:
      return kernels.swiglu;
    case GateFn::kGelu:
      return kernels.geglu;
    case GateFn::kClampedSilu:
      return kernels.clamped_swiglu;
  }
  return kernels.swiglu;
}

void KeepActiveRows(ForwardState& s) {
  const size_t n = static_cast<size_t>(s.h->embedding);
  for (size_t i = 0; i < s.active.size(); ++i) {
    const auto from = static_cast<size_t>(s.active[i]);
    if (from != i) memcpy(s.x + i * n, s.x + from * n, n * sizeof(float));
  }
  s.rows = s.active.size();
  s.env->low_rank.Select(s.active);
}

}  // namespace lull
