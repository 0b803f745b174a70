// What every op needs beside its arguments: the kernels, and scratch memory per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/arena.h"
#include "base/exec_context.h"
#include "base/os/os.h"
#include "kernels/kernels.h"
#include "lull/status.h"
#include "ops/low_rank.h"
#include "ops/tile_plan.h"

namespace lull {

// Outputs of one tile that stay in a thread's scratch; tiles are cut to fit.
constexpr size_t kScratchFloats = 16384;

// Rows of one sequence that read its KV pages together.
constexpr size_t kBlockRows = 32;
struct RowBlock {
  size_t begin, rows;
};

// Allocated when a larger pool is first seen, not during the passes after it.
class ThreadScratch {
 public:
  struct Sizes {
    size_t matmul_bytes = 0;  // largest Kernels::matmul_scratch_bytes
    size_t row = 0;           // values of the longest row that is worked on
    size_t head_dim = 0;
    size_t heads = 0;  // query heads
  };
  explicit ThreadScratch(const Sizes& sizes) : sizes_(sizes) {}

  Status Ensure(int threads);
  size_t Bytes(int threads) const;  // what Ensure allocates

  void* matmul(int thread) const { return At(thread).matmul; }
  float* floats(int thread, int which) const { return which == 0 ? At(thread).a : At(thread).b; }
  // A KV page widened: its K, then its V, [64 * head_dim] each.
  float* page(int thread, int which) const {
    return At(thread).page + (which ? kPageTokens * sizes_.head_dim : 0);
  }
  float* row(int thread) const { return At(thread).row; }
  // Attention's running maxima, then its sums, of the rows of a block.
  float* heads(int thread, int which) const {
    return At(thread).heads + (which ? kBlockRows * sizes_.heads : 0);
  }

 private:
  struct PerThread {
    uint8_t* matmul = nullptr;
    float* a = nullptr;      // [kScratchFloats]
    float* b = nullptr;      // [kScratchFloats]
    float* row = nullptr;    // [row]
    float* page = nullptr;   // [2, 64 * head_dim]
    float* heads = nullptr;  // [2, kBlockRows * heads]
  };
  const PerThread& At(int thread) const { return threads_[thread]; }
  void AddTo(ArenaPlan* plan, PerThread* slot) const;

  Sizes sizes_;
  int num_threads_ = 0;
  std::unique_ptr<PerThread[]> threads_;
  os::Memory memory_;
};

// Of Attention; keeps its capacity between uses.
struct AttentionScratch {
  struct Cut {
    size_t item;
    int64_t page;  // of the item's
  };
  std::vector<RowBlock> blocks;
  std::vector<Cut> cuts;
  std::vector<float> states;  // of items that two threads compute one after the other
};

class MatMulObserver;  // ops/matmul_observer.h

// One owner; the ops of one forward pass use it in turn.
struct OpEnv {
  const Kernels& kernels;
  ThreadScratch& scratch;
  TilePlan& plan;
  AttentionScratch attention = {};
  MatMulObserver* observer = nullptr;  // of every product; null: none
  LowRankRows low_rank = {};           // what adapters add; empty where no row has any
  NormFn norm = kernels.rms_norm;      // of the residual
};

int NumThreads(const ExecContext& ctx);

// Splits [0, rows) into tiles of about 50 us given the cost of a row; short jobs stay one tile,
// which the calling thread runs without waking anybody.
struct RowTiles {
  size_t rows, per_tile, tiles;
  RowTiles(const ExecContext& ctx, size_t rows, double ns_per_row);
};
// Rough cost of one pass over n floats.
double ElementwiseNs(const Kernels& kernels, size_t n);

}  // namespace lull
