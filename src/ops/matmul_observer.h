// Who is told what enters matrix products: for statistics of activations.
#pragma once

#include <cstddef>

#include "base/exec_context.h"
#include "ops/activations.h"

namespace lull {

class MatMulObserver {
 public:
  virtual ~MatMulObserver() = default;
  // Before the product of w with rows [row_begin, row_end) of x, whose f32 form is filled; in the
  // order of the products, with nothing running on the context's pool.
  virtual void Observe(const ExecContext& ctx, const PackedMatrix& w, const ActivationBuffer& x,
                       size_t row_begin, size_t row_end) = 0;
};

}  // namespace lull
