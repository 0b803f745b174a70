// Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685): what the rows of a pass that have
// some get beside the product with a matrix: out += b (scale (a x)). Every product asks whether
// there are any, by the matrix' address, so no block knows of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/exec_context.h"
#include "ops/activations.h"
#include "quant/packed_matrix.h"

namespace lull {

struct OpEnv;

// Of a matrix [rows, k]: a [rank, k], b [rows, rank], of float types.
struct LowRankPair {
  PackedMatrix a, b;
};
// What an adapter has, by the matrix in ModelWeights. Its addresses are the model's.
using LowRankTable = std::unordered_map<const PackedMatrix*, LowRankPair>;

struct LowRankUse {
  const LowRankTable* table = nullptr;
  float scale = 1.0f;
};

// Rows of the batch with the same adapters, applied in this order. What is named must outlive the
// pass.
struct LowRankRun {
  size_t row_begin = 0;
  size_t row_end = 0;
  std::span<const LowRankUse> uses;
};

// What one pass adds. One owner. Keeps its capacity between passes.
class LowRankRows {
 public:
  // Ascending, apart from one another.
  void Begin(std::span<const LowRankRun> runs);
  // From now on row i of every buffer is row rows[i] of the batch.
  void Select(std::span<const int32_t> rows);
  bool empty() const { return runs_.empty(); }

  // For the products that follow: forgets the last ones, adds each (number: the caller's),
  // computes all a x, in one parallel phase.
  void Clear() { terms_.clear(); }
  void AddProduct(size_t number, const PackedMatrix& w, const ActivationBuffer& x, size_t row_begin,
                  size_t row_end);
  void Project(const ExecContext& ctx, OpEnv& env);
  // Adds to out [row_end - row_begin, columns of the groups], by one thread. Returns the bytes
  // read.
  size_t AddTo(const OpEnv& env, int thread, size_t number, size_t group_begin, size_t group_end,
               size_t row_begin, size_t row_end, float* out, size_t stride);

 private:
  struct Term {
    size_t number;
    size_t row_begin, row_end;
    const LowRankPair* pair;
    float scale;
    ActivationBuffer x;  // its rows
    size_t at;           // of scale (a x) in projected_, [rows, rank]
  };
  void AddTerm(const OpEnv& env, int thread, const Term& term, size_t group_begin, size_t group_end,
               size_t row_begin, size_t row_end, float* out, size_t stride);

  std::vector<LowRankRun> batch_, runs_;  // of all rows, and of those selected
  std::vector<Term> terms_;               // ascending numbers
  std::vector<float> projected_;
  std::vector<float> scratch_;  // of each thread
};

}  // namespace lull
