// What the blocks of one forward pass share. Built once per runner, filled anew by every pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/exec_context.h"
#include "cache/kv_cache.h"
#include "model/architecture.h"
#include "model/hparams.h"
#include "model/weights.h"
#include "ops/activations.h"
#include "ops/attention.h"
#include "ops/for_rows.h"
#include "ops/matmul.h"
#include "ops/op_env.h"

namespace lull {

// Rows of one sequence, consecutive in the batch.
struct SequenceRun {
  int sequence = 0;
  size_t row_begin = 0;
  size_t rows = 0;
};

// What the last half-block produced and has not yet been added to the residual.
struct PendingDelta {
  const float* delta = nullptr;
  const float* bias = nullptr;
  const float* norm = nullptr;
  float x_scale = 1.0f;  // of the residual, after the addition
};

struct ForwardState {
  // Fixed for the life of the runner.
  const Architecture* architecture = nullptr;
  const Hparams* h = nullptr;
  const ModelWeights* weights = nullptr;
  KvCache* cache = nullptr;
  OpEnv* env = nullptr;

  // Buffers of max_batch_rows rows.
  float* x = nullptr;      // [rows, embedding], the residual stream
  float* delta = nullptr;  // [rows, embedding]
  float* q = nullptr;      // [rows, q_dim], or what a recurrent block projects its input to
  float* k = nullptr;      // [rows, largest kv_dim]
  float* v = nullptr;
  float* cos[2] = {};  // [rows, rope half]: global, local base
  float* sin[2] = {};
  float* q_scale = nullptr;  // [rows]; unset where Q is not scaled by its position
  ActivationBuffer normed;   // [rows, embedding]
  ActivationBuffer mixed;    // [rows, q_dim or embedding], attention or convolution output
  ActivationBuffer gated;    // [rows (x experts used), ffn]

  // Mixture of experts; unset where the model has none.
  float* router = nullptr;          // [rows, experts]
  float* expert_weight = nullptr;   // [rows, used], ascending expert id
  int32_t* expert_id = nullptr;     // [rows, used], ascending
  int32_t* expert_slot = nullptr;   // [rows, used], row in the gathered buffers
  ActivationBuffer gathered;        // [rows x used, embedding], by expert
  float* expert_out = nullptr;      // [rows x used, embedding]
  float* expert_score = nullptr;    // [rows, experts], what the selection compares
  int32_t* expert_begin = nullptr;  // [experts + 1], first slot of each expert

  // Convolutions: per run, taps - 1 rows of state and then the run's rows.
  float* conv_input = nullptr;  // [rows + max_sequences (taps - 1), channels]

  int32_t* conv_row = nullptr;  // [rows], row of conv_input
  float* conv_out = nullptr;    // [rows, channels], of recurrences; then what they gave

  float* gate = nullptr;   // [rows, width], what an attention's or a delta net's output is gated by
  float* dt = nullptr;     // [rows, channels] or [rows, 2 heads], of recurrences
  float* dense = nullptr;  // [rows, embedding], of a dense network beside experts, or attention
                           // beside the network
  float* per_layer = nullptr;            // [rows, layers, values]
  float* per_layer_projected = nullptr;  // [rows, layers, values]
  ActivationBuffer low_rank;             // [rows, rank], of Mamba

  // Of this pass.
  std::vector<SequenceRun> runs;
  std::vector<RowPlace> places;  // per row; pages set per layer group
  std::vector<int32_t> active;   // rows that go on after K and V are written, ascending
  size_t rows = 0;               // of the residual stream now (fewer in the last layer)
  PendingDelta pending;
  std::vector<MatMulItem> matmul_items;  // capacity kept
  std::vector<GatedItem> gated_items;
  std::vector<ActivationBuffer> head_parts;
};

// Each block reads the residual (adding what is pending), and leaves its own output pending.
// last: rows outside `active` are dropped as soon as their K and V (or state) are written.
void AttentionBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last);
void LatentAttentionBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last);
void ShortConvBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last);
void MambaBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last);
void Mamba2Block(const ExecContext& ctx, ForwardState& s, size_t layer, bool last);
void DeltaNetBlock(const ExecContext& ctx, ForwardState& s, size_t layer, bool last);
void ParallelMoeBlock(const ExecContext& ctx, ForwardState& s, size_t layer);
// What every layer gets of every token beside the residual; and a layer's use of it.
void PerLayerInputs(const ExecContext& ctx, ForwardState& s, std::span<const int32_t> tokens);
void PerLayerBlock(const ExecContext& ctx, ForwardState& s, size_t layer);
void FfnBlock(const ExecContext& ctx, ForwardState& s, size_t layer);
// Reads the residual without what attention is about to add to it. Neither has a norm or a bias
// behind it.
void ParallelFfnBlock(const ExecContext& ctx, ForwardState& s, size_t layer);
void MoeBlock(const ExecContext& ctx, ForwardState& s, size_t layer);

// Adds what is pending, normalises into s.normed.
void NormInput(const ExecContext& ctx, ForwardState& s, const float* norm);
// The kernel of the architecture's gated activation.
GatedFn ActivationOf(const ForwardState& s);
// What attention of a layer reads and writes; the rows' places are set to its pages.
KvView UseKv(ForwardState& s, size_t layer);
// Keeps the residual rows of `active` alone.
void KeepActiveRows(ForwardState& s);

}  // namespace lull
