#pragma once

#include <cstdint>
#include <span>

#include "base/exec_context.h"
#include "ops/op_env.h"
#include "quant/packed_matrix.h"

namespace lull {

// out row i = scale * row tokens[i] of the packed matrix. Requires: every token < w.rows.
void EmbedTokens(const ExecContext& ctx, OpEnv& env, const PackedMatrix& w,
                 std::span<const int32_t> tokens, float scale, float* out);

}  // namespace lull
