// The kernels of one instruction set, as a table of plain functions. Single-threaded: a call is a
// piece of a tile; src/ops splits work, draws tiles and checkpoints. Every function gives the same
// bits on every instruction set (docs/design/arithmetic.md). Pointers may be unaligned unless said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lull/status.h"
#include "quant/packed_matrix.h"

namespace lull {

enum class Isa { kScalar, kAvx2, kAvx2Vnni, kAvx512, kAmx };

// KV element type. A parameter everywhere; arithmetic is f32 after widening. kI8: a token's values
// of one head in blocks of 32 (the last may have 16) with an f16 scale each.
enum class KvType { kF16, kBf16, kF32, kI8 };
// Of one value; the scales of kI8 come on top.
constexpr size_t KvTypeBytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kI8 ? 1 : 2;
}
constexpr size_t kPageTokens = 64;  // KV page: positions [64 i, 64 i + 64) of a sequence
// Of K, and of V, of one KV head in a page.
constexpr size_t KvHeadBytes(KvType type, size_t head_dim) {
  const size_t scale_bytes = type == KvType::kI8 ? (head_dim + 31) / 32 * 2 : 0;
  return kPageTokens * (head_dim * KvTypeBytes(type) + scale_bytes);
}

// Rows of activations, quantised once by quantize_row and shared by every matrix that reads them.
// Row r: q + r * k, scale + r * (k / 32), ... k is a multiple of 32 for q; f32 always holds [k].
struct Activations {
  size_t rows = 0;
  size_t k = 0;
  const float* f32 = nullptr;          // [rows, k], for float weight types
  const int8_t* q = nullptr;           // [rows, k], -127..127
  const float* scale = nullptr;        // [rows, k / 32]: value = q * scale
  const float* scaled_sum = nullptr;   // [rows, k / 32]: scale * (sum of the block's q)
  const int32_t* half_sums = nullptr;  // [rows, k / 16]: integer sum of each 16
  // The same rows in super-blocks of 256; k is a multiple of 256. Where they are set products with
  // K-quants read them and not the blocks of 32.
  const int8_t* super_q = nullptr;     // [rows, k], -127..127
  const float* super_scale = nullptr;  // [rows, k / 256]: value = super_q * super_scale
  const int16_t* sums32 = nullptr;     // [rows, k / 32]: integer sum of each 32
  const int16_t* sums16 = nullptr;     // [rows, k / 16]
};

// One KV page of one KV head. K is [head_dim][64] (lane = position). V lies in blocks of 64
// dimensions, the last as wide as what is left, each [64][width]: ValueOffset. Behind the int8
// values of kI8 either has its scales, [blocks of 32][64]. Both are allocated whole; slots that no
// position has reached may hold anything.
struct KvPage {
  void* k = nullptr;
  void* v = nullptr;
};

inline constexpr size_t kValueBlock = 64;
inline size_t ValueBlockWidth(size_t head_dim, size_t d) {
  const size_t left = head_dim - d / kValueBlock * kValueBlock;
  return left < kValueBlock ? left : kValueBlock;
}
// Where dimension d of a slot's value lies in V, in elements.
inline size_t ValueOffset(size_t head_dim, size_t slot, size_t d) {
  return d / kValueBlock * kValueBlock * kPageTokens + slot * ValueBlockWidth(head_dim, d) +
         d % kValueBlock;
}

// Rows that see the same positions of the same pages.
struct AttentionArgs {
  size_t num_rows = 1;
  const float* const* q = nullptr;  // of each row [num_q, head_dim]: heads that share this KV head
  size_t num_q = 0;
  size_t head_dim = 0;  // K and V head size, a multiple of 16
  float scale = 1.0f;   // scores = scale * q.k
  KvType kv_type = KvType::kF16;
  const KvPage* pages = nullptr;  // pages[i] holds positions [(first_page + i) * 64, ...)
  const KvPage* next = nullptr;  // fetched into cache while the last of `pages` is read; null: none
  int64_t first_page = 0;
  int64_t begin_position = 0;    // first visible position (sliding window); may be in any page
  int64_t end_position = 0;      // one past the last visible position (the query's own + 1)
  float* const* out = nullptr;   // of each row [num_q, head_dim]
  float softcap = 0.0f;          // scores = softcap * tanh(scores / softcap); 0: not
  const float* sinks = nullptr;  // [num_q], a score each head has beside, without a value; or null
};
// Running state between calls: attention over many pages is cut at page ends so that the caller
// can checkpoint, and takes other rows together for every page. o lives in args.out (unnormalised).
struct AttentionState {
  float* m = nullptr;  // [num_rows, num_q], running maximum
  float* l = nullptr;  // [num_rows, num_q], running sum
};

using NormFn = void (*)(const float* x, const float* weight, float eps, size_t n, float* out);

struct Kernels {
  Isa isa;
  const char* name;  // "scalar", "avx2", "avx2vnni", "avx512", "amx"
  // Rough int8 speed of one thread, to size tiles: products with blocks of 32, and with K-quants.
  double macs_per_us;
  double super_macs_per_us;

  // x [k] (k multiple of 32) to int8 per 32 values: see Activations.
  void (*quantize_row)(const float* x, size_t k, int8_t* q, float* scale, float* scaled_sum,
                       int32_t* half_sums);
  // x [k] (k multiple of 256) to int8 per 256 values.
  void (*quantize_super_row)(const float* x, size_t k, int8_t* q, float* scale, int16_t* sums32,
                             int16_t* sums16);
  // out[c * out_stride + r] = sum_k w[r, k] * x[c, k] for the 16-row groups [group_begin,
  // group_end) and activation rows [row_begin, row_end). Writes only r < w.rows. scratch:
  // matmul_scratch_bytes.
  void (*matmul)(const PackedMatrix& w, size_t group_begin, size_t group_end, const Activations& x,
                 size_t row_begin, size_t row_end, float* out, size_t out_stride, void* scratch);
  size_t (*matmul_scratch_bytes)(const PackedMatrix& w);

  // out = x / sqrt(mean(x^2) + eps) * weight. In place allowed. weight may be null (all ones).
  NormFn rms_norm;
  // The same of x - mean(x).
  NormFn layer_norm;
  void (*add)(const float* a, const float* b, size_t n, float* out);  // out = a + b
  void (*mul_scalar)(const float* x, float s, size_t n, float* out);
  void (*swiglu)(const float* gate, const float* up, size_t n, float* out);  // silu(gate) * up
  void (*geglu)(const float* gate, const float* up, size_t n, float* out);   // gelu_tanh(gate) * up
  // g sigmoid(1.702 g) (u + 1) with g = min(gate, 7), u = up within -7..7.
  void (*clamped_swiglu)(const float* gate, const float* up, size_t n, float* out);
  void (*fma_scalar)(const float* x, float s, size_t n, float* out);  // out += s * x
  // Rotates the first 2 * half values of one head. neox: pairs (i, i + half); else (2i, 2i + 1).
  void (*rope)(float* head, const float* cos, const float* sin, size_t half, bool neox);
  // out[c] = sum_{t} weight[c * taps + t] * in_t[c]; in_t = window + t * n. t ascending, FMA chain.
  void (*short_conv)(const float* window, const float* weight, size_t taps, size_t n, float* out);
  void (*softmax)(const float* x, size_t n, float* out);  // max-subtracted; fixed tree
  void (*sigmoid)(const float* x, size_t n, float* out);
  void (*soft_cap)(const float* x, float cap, size_t n, float* out);  // cap * tanh(x / cap)
  void (*silu)(const float* x, size_t n, float* out);                 // x sigmoid(x)
  void (*exp)(const float* x, size_t n, float* out);
  void (*softplus)(const float* x, size_t n, float* out);  // ln(1 + e^x)

  // One token of a recurrence; y may be where x (or v) is.
  // Mamba, for each of some channels: state [n] = e^(width rate) state + width x b;
  // y = state . c + skip x. rate [channels, n]; b, c [n].
  void (*diagonal_scan)(float* state, const float* rate, const float* width, const float* x,
                        const float* b, const float* c, size_t channels, size_t n,
                        const float* skip, float* y);
  // Mamba 2, for one head of dim channels: the same with one decay for all.
  void (*scalar_scan)(float* state, float decay, float width, const float* x, const float* b,
                      const float* c, size_t dim, size_t n, float skip, float* y);
  // Gated delta rule, for one head: state [dim, dim] = decay state + share (v - decay state k) k^T;
  // out = state q.
  void (*delta_step)(float* state, float decay, float share, const float* q, const float* k,
                     const float* v, size_t dim, float* out);

  // Writes one token's K and V (f32 [head_dim] each) at slot 0..63 of a page.
  void (*kv_write)(KvType type, KvPage page, size_t slot, const float* k, const float* v,
                   size_t head_dim);
  // A page's values as f32, exactly, in the same places. For many queries of it.
  void (*kv_widen)(KvType type, KvPage page, size_t head_dim, float* k, float* v);
  // Scores, page-ordered online softmax. attention_begin sets the state, attention_pages consumes
  // pages [page_begin, page_end) of args.pages in ascending order, attention_end normalises out.
  void (*attention_begin)(const AttentionArgs& args, AttentionState state);
  void (*attention_pages)(const AttentionArgs& args, size_t page_begin, size_t page_end,
                          AttentionState state);
  void (*attention_end)(const AttentionArgs& args, AttentionState state);

  // Index of the largest value, ties to the lowest index.
  size_t (*argmax)(const float* x, size_t n);
};

// Kernels of the best instruction set this machine has.
const Kernels& BestKernels();
// By name; kUsage where the name is unknown (hint: the names) or the machine lacks it (message:
// what).
Result<const Kernels*> FindKernels(const char* name);
bool MachineHas(Isa isa);
// Every name, slowest first: "scalar, avx2, ...".
std::string IsaNames();

}  // namespace lull
