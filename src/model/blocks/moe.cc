// Mixture of experts: each token goes through the experts its router picks; their outputs are
// added in ascending expert id, so a token's sum does not depend on its batch. Beside them there
// may be an expert for all tokens, or (Gemma 4) a dense network with norms of its own.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/forward_state.h"
#include "ops/for_rows.h"

namespace lull {
namespace {

constexpr float kMinWeightSum = 6.103515625e-5f;  // smallest normal half float

// Picks the `used` highest scores, ties to the lowest id, and lists them in ascending id.
void PickExperts(const float* score, size_t experts, size_t used, int32_t* id) {
  for (size_t picked = 0; picked < used; ++picked) {
    int32_t best = -1;
    for (size_t e = 0; e < experts; ++e) {
      const auto candidate = static_cast<int32_t>(e);
      if (std::find(id, id + picked, candidate) != id + picked) continue;
      if (best < 0 || score[e] > score[best]) best = candidate;
    }
    id[picked] = best;
  }
  std::sort(id, id + used);
}

void RouteRow(const ForwardState& s, const LayerWeights& w, RouterFn router, size_t row) {
  const Kernels& kernels = s.env->kernels;
  const auto experts = static_cast<size_t>(s.h->num_experts);
  const auto used = static_cast<size_t>(s.h->experts_used);
  float* probability = s.router + row * experts;
  if (w.router_input_bias != nullptr)
    kernels.add(probability, w.router_input_bias, experts, probability);
  (router == RouterFn::kSigmoid ? kernels.sigmoid : kernels.softmax)(probability, experts,
                                                                     probability);
  const float* score = probability;
  if (w.router_bias != nullptr) {
    float* biased = s.expert_score + row * experts;
    for (size_t e = 0; e < experts; ++e) biased[e] = probability[e] + w.router_bias[e];
    score = biased;
  }
  int32_t* id = s.expert_id + row * used;
  float* weight = s.expert_weight + row * used;
  PickExperts(score, experts, used, id);
  const bool norm = s.h->expert_weights_norm != 0;
  float sum = norm ? 0.0f : 1.0f;
  for (size_t i = 0; i < used && norm; ++i) sum += probability[id[i]];
  sum = std::max(sum, kMinWeightSum);
  const float scale = s.h->expert_weights_scale != 0.0f ? s.h->expert_weights_scale : 1.0f;
  for (size_t i = 0; i < used; ++i) {
    weight[i] = probability[id[i]] / sum * scale;
    if (w.down_experts_scale != nullptr) weight[i] *= w.down_experts_scale[id[i]];
  }
}

// Orders (row, expert) pairs by expert, then row: slots of the gathered buffers.
void AssignSlots(ForwardState& s) {
  const auto experts = static_cast<size_t>(s.h->num_experts);
  const size_t pairs = s.rows * static_cast<size_t>(s.h->experts_used);
  int32_t* begin = s.expert_begin;
  std::fill(begin, begin + experts + 1, 0);
  for (size_t i = 0; i < pairs; ++i) ++begin[s.expert_id[i] + 1];
  for (size_t e = 0; e < experts; ++e) begin[e + 1] += begin[e];
  for (size_t i = 0; i < pairs; ++i) s.expert_slot[i] = begin[s.expert_id[i]]++;
  for (size_t e = experts; e > 0; --e) begin[e] = begin[e - 1];
  begin[0] = 0;
}

// What the router and the experts read; the experts read copies.
void SetExpertReaders(ForwardState& s, const LayerWeights& w) {
  s.gathered.SetReaders({});
  for (size_t e = 0; e < w.gate_experts.size(); ++e) {
    s.gathered.AddReader(w.gate_experts[e]);
    s.gathered.AddReader(w.up_experts[e]);
  }
  s.normed.has_blocks = s.gathered.has_blocks;
  s.normed.has_super_blocks = s.gathered.has_super_blocks;
  s.normed.AddReader(w.router);
  if (w.shared_gate.format == nullptr) return;
  s.normed.AddReader(w.shared_gate);
  s.normed.AddReader(w.shared_up);
  if (w.shared_router.format != nullptr) s.normed.AddReader(w.shared_router);
}

const float* BiasOf(const float* biases, size_t expert, size_t n) {
  return biases == nullptr ? nullptr : biases + expert * n;
}

void RunExperts(const ExecContext& ctx, ForwardState& s, const LayerWeights& w) {
  s.gated_items.clear();
  s.matmul_items.clear();
  s.gated.k = w.gate_experts[0].rows;
  s.gated.rows = s.gathered.rows;
  s.gated.SetReaders({});
  for (const PackedMatrix& down : w.down_experts) s.gated.AddReader(down);
  for (size_t e = 0; e < w.gate_experts.size(); ++e) {
    const auto begin = static_cast<size_t>(s.expert_begin[e]);
    const auto end = static_cast<size_t>(s.expert_begin[e + 1]);
    if (begin == end) continue;
    const size_t ffn = w.gate_experts[e].rows;
    s.gated_items.push_back({&w.gate_experts[e], &w.up_experts[e], &s.gathered, begin, end,
                             BiasOf(w.gate_experts_bias, e, ffn),
                             BiasOf(w.up_experts_bias, e, ffn)});
    s.matmul_items.push_back(
        {&w.down_experts[e], &s.gated, begin, end, s.expert_out, w.down_experts[e].rows});
  }
  GatedMatMul(ctx, *s.env, s.gated_items, ActivationOf(s), &s.gated);
  MatMul(ctx, *s.env, s.matmul_items);
}

// The rows' sums of what their experts gave, weighted.
void SumExperts(const ForwardState& s, const LayerWeights& w, size_t row) {
  const Kernels& kernels = s.env->kernels;
  const auto used = static_cast<size_t>(s.h->experts_used);
  const auto n = static_cast<size_t>(s.h->embedding);
  float* sum = s.delta + row * n;
  memset(sum, 0, n * sizeof(float));
  for (size_t i = row * used; i < (row + 1) * used; ++i) {
    kernels.fma_scalar(s.expert_out + static_cast<size_t>(s.expert_slot[i]) * n, s.expert_weight[i],
                       n, sum);
    const float* bias = BiasOf(w.down_experts_bias, static_cast<size_t>(s.expert_id[i]), n);
    if (bias != nullptr) kernels.fma_scalar(bias, s.expert_weight[i], n, sum);
  }
}

// Adds what the expert of all tokens gives.
void RunSharedExpert(const ExecContext& ctx, ForwardState& s, const LayerWeights& w) {
  const auto n = static_cast<size_t>(s.h->embedding);
  s.gated.SetReaders({&w.shared_down});
  s.gated.k = w.shared_gate.rows;
  s.gated.rows = s.rows;
  const GatedItem gated{&w.shared_gate, &w.shared_up, &s.normed, 0, s.rows};
  GatedMatMul(ctx, *s.env, {&gated, 1}, ActivationOf(s), &s.gated);
  const MatMulItem down{&w.shared_down, &s.gated, 0, s.rows, s.expert_out, n};
  MatMul(ctx, *s.env, {&down, 1});
  const bool weighted = w.shared_router.format != nullptr;
  if (weighted) {
    const MatMulItem score{&w.shared_router, &s.normed, 0, s.rows, s.router, 1};
    MatMul(ctx, *s.env, {&score, 1});
    s.env->kernels.sigmoid(s.router, s.rows, s.router);
  }
  ForRows(ctx, s.rows, ElementwiseNs(s.env->kernels, 2 * n), [&](size_t row, int) {
    float* sum = s.delta + row * n;
    const float* out = s.expert_out + row * n;
    if (weighted) return s.env->kernels.fma_scalar(out, s.router[row], n, sum);
    s.env->kernels.add(sum, out, n, sum);
  });
}

// From the router's products in s.router and the normed rows, s.delta: what the experts give.
void RunRouted(const ExecContext& ctx, ForwardState& s, const LayerWeights& w) {
  const Kernels& kernels = s.env->kernels;
  const auto experts = static_cast<size_t>(s.h->num_experts);
  const auto used = static_cast<size_t>(s.h->experts_used);
  const auto n = static_cast<size_t>(s.h->embedding);
  const RouterFn router =
      s.h->expert_gating != 0 ? static_cast<RouterFn>(s.h->expert_gating) : s.architecture->router;
  ForRows(ctx, s.rows, static_cast<double>(experts * (used + 4)) * 1.5,
          [&](size_t row, int) { RouteRow(s, w, router, row); });
  AssignSlots(s);
  s.gathered.k = n;
  s.gathered.rows = s.rows * used;
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 2 * n * used), [&](size_t row, int) {
    for (size_t i = row * used; i < (row + 1) * used; ++i)
      s.gathered.CopyRow(s.normed, row, static_cast<size_t>(s.expert_slot[i]));
  });
  RunExperts(ctx, s, w);
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 2 * n * used),
          [&](size_t row, int) { SumExperts(s, w, row); });
}

void Route(const ExecContext& ctx, ForwardState& s, const LayerWeights& w) {
  const MatMulItem route{&w.router, &s.normed, 0, s.rows, s.router, w.router.rows};
  MatMul(ctx, *s.env, {&route, 1});
}

}  // namespace

void MoeBlock(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const LayerWeights& w = s.weights->layers[layer];
  SetExpertReaders(s, w);
  NormInput(ctx, s, w.ffn_norm);
  Route(ctx, s, w);
  RunRouted(ctx, s, w);
  if (w.shared_gate.format != nullptr) RunSharedExpert(ctx, s, w);
  s.pending = {s.delta, nullptr, w.ffn_post_norm};
}

void ParallelMoeBlock(const ExecContext& ctx, ForwardState& s, size_t layer) {
  const LayerWeights& w = s.weights->layers[layer];
  const Kernels& kernels = s.env->kernels;
  const auto n = static_cast<size_t>(s.h->embedding);
  FfnBlock(ctx, s, layer);
  s.pending = {};
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 3 * n), [&](size_t row, int) {
    kernels.rms_norm(s.delta + row * n, w.dense_post_norm, s.h->rms_eps, n, s.dense + row * n);
  });
  s.normed.SetReaders({&w.router});
  NormInput(ctx, s, w.router_scale);
  Route(ctx, s, w);
  kernels.mul_scalar(s.router, 1.0f / std::sqrt(static_cast<float>(n)), s.rows * w.router.rows,
                     s.router);
  SetExpertReaders(s, w);
  NormInput(ctx, s, w.experts_norm);
  RunRouted(ctx, s, w);
  ForRows(ctx, s.rows, ElementwiseNs(kernels, 4 * n), [&](size_t row, int) {
    float* out = s.delta + row * n;
    kernels.rms_norm(out, w.experts_post_norm, s.h->rms_eps, n, out);
    kernels.add(out, s.dense + row * n, n, out);
  });
  s.pending = {s.delta, nullptr, w.ffn_post_norm};
}

}  // namespace lull
