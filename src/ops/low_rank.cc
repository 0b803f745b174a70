#include "ops/low_rank.h"

#include <algorithm>

#include "ops/matmul.h"
#include "ops/op_env.h"

namespace lull {
namespace {

constexpr size_t kGroup = 16;
constexpr size_t kStepRows = 256;  // of a matrix' outputs in a thread's scratch

}  // namespace

void LowRankRows::Begin(std::span<const LowRankRun> runs) {
  batch_.assign(runs.begin(), runs.end());
  runs_ = batch_;
}

void LowRankRows::Select(std::span<const int32_t> rows) {
  if (batch_.empty()) return;
  runs_.clear();
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<size_t>(rows[i]);
    const auto run = std::find_if(batch_.begin(), batch_.end(), [row](const LowRankRun& r) {
      return r.row_begin <= row && row < r.row_end;
    });
    if (run == batch_.end()) continue;
    const bool goes_on =
        !runs_.empty() && runs_.back().row_end == i && runs_.back().uses.data() == run->uses.data();
    if (goes_on) {
      ++runs_.back().row_end;
    } else {
      runs_.push_back({i, i + 1, run->uses});
    }
  }
}

void LowRankRows::AddProduct(size_t number, const PackedMatrix& w, const ActivationBuffer& x,
                             size_t row_begin, size_t row_end) {
  for (const LowRankRun& run : runs_) {
    const size_t begin = std::max(row_begin, run.row_begin), end = std::min(row_end, run.row_end);
    if (begin >= end) continue;
    for (const LowRankUse& use : run.uses) {
      const auto pair = use.table->find(&w);
      if (pair == use.table->end()) continue;
      terms_.push_back(
          {number, begin, end, &pair->second, use.scale, x.Part(begin, end - begin), 0});
    }
  }
}

void LowRankRows::Project(const ExecContext& ctx, OpEnv& env) {
  if (terms_.empty()) return;
  size_t floats = 0;
  for (Term& term : terms_) {
    term.at = floats;
    floats += (term.row_end - term.row_begin) * term.pair->a.rows;
  }
  if (projected_.size() < floats) projected_.resize(floats);
  const size_t scratch = static_cast<size_t>(NumThreads(ctx)) * kScratchFloats;
  if (scratch_.size() < scratch) scratch_.resize(scratch);
  std::vector<MatMulItem> items;
  for (const Term& term : terms_)
    items.push_back(
        {&term.pair->a, &term.x, 0, term.x.rows, projected_.data() + term.at, term.pair->a.rows});
  PlainMatMul(ctx, env, items);
  for (const Term& term : terms_) {
    float* values = projected_.data() + term.at;
    env.kernels.mul_scalar(values, term.scale, term.x.rows * term.pair->a.rows, values);
  }
}

size_t LowRankRows::AddTo(const OpEnv& env, int thread, size_t number, size_t group_begin,
                          size_t group_end, size_t row_begin, size_t row_end, float* out,
                          size_t stride) {
  size_t bytes = 0;
  const auto before = [](const Term& term, size_t n) { return term.number < n; };
  auto term = std::lower_bound(terms_.begin(), terms_.end(), number, before);
  for (; term != terms_.end() && term->number == number; ++term) {
    const size_t begin = std::max(row_begin, term->row_begin);
    const size_t end = std::min(row_end, term->row_end);
    if (begin >= end) continue;
    AddTerm(env, thread, *term, group_begin, group_end, begin, end,
            out + (begin - row_begin) * stride, stride);
    bytes += (group_end - group_begin) * term->pair->b.group_bytes;
  }
  return bytes;
}

// Pieces that fit the scratch, each computed as a product of its own and added.
void LowRankRows::AddTerm(const OpEnv& env, int thread, const Term& term, size_t group_begin,
                          size_t group_end, size_t row_begin, size_t row_end, float* out,
                          size_t stride) {
  float* piece = scratch_.data() + static_cast<size_t>(thread) * kScratchFloats;
  const size_t rank = term.pair->a.rows;
  const size_t step = kScratchFloats / (kStepRows * kGroup);
  for (size_t row = row_begin; row < row_end; row += kStepRows) {
    Activations x;
    x.rows = std::min(kStepRows, row_end - row);
    x.k = rank;
    x.f32 = projected_.data() + term.at + (row - term.row_begin) * rank;
    for (size_t group = group_begin; group < group_end; group += step) {
      const size_t last = std::min(group_end, group + step);
      const size_t width = std::min(term.pair->b.rows, last * kGroup) - group * kGroup;
      MultiplyGroups(env, thread, term.pair->b, group, last, x, piece, width);
      float* to = out + (row - row_begin) * stride + (group - group_begin) * kGroup;
      for (size_t r = 0; r < x.rows; ++r)
        env.kernels.add(to + r * stride, piece + r * width, width, to + r * stride);
    }
  }
}

}  // namespace lull
