// Matrix products as the forward pass calls them: packed weights, quantised rows, tiles over the
// threads.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/thread_pool.h"
#include "bench/kernels/session.h"
#include "ops/matmul.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

// Bytes of weights that no cache holds.
size_t MemoryBytes(const Options& options) {
  if (options.memory_mib > 0) return options.memory_mib << 20;
  const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const size_t caches = static_cast<size_t>(std::max(l2, 0L) + std::max(l3, 0L));
  return std::clamp<size_t>(caches / 4 * 5, size_t{128} << 20, size_t{1} << 30);
}

// `copies` of a matrix one after the other.
struct Weights {
  PackedMatrix w;
  size_t copies = 1, next = 0;
  os::Memory memory;

  static Result<Weights> Make(const QuantFormat& format, Shape shape, size_t bytes) {
    Weights weights;
    weights.w = {&format, shape.n, shape.k, format.GroupBytes(shape.k), nullptr};
    weights.copies = std::max<size_t>(1, bytes / weights.w.packed_bytes());
    LULL_ASSIGN_OR_RETURN(weights.memory,
                          os::Memory::Allocate(weights.copies * weights.w.packed_bytes()));
    // Any bytes will do, as long as no scale is infinite, NaN or denormal.
    std::mt19937 rng(5);
    std::vector<uint8_t> file(16 * shape.k / format.block_k * format.file_block_bytes);
    for (uint8_t& b : file) b = static_cast<uint8_t>(0x2c + rng() % 4);
    uint8_t* first = weights.memory.data();
    format.repack_group(file.data(), 16, shape.k, first);
    for (size_t g = 1; g < weights.copies * weights.w.groups(); ++g)
      memcpy(first + g * weights.w.group_bytes, first, weights.w.group_bytes);
    weights.w.data = first;
    return weights;
  }
  std::span<const uint8_t> bytes() const { return {memory.data(), copies * w.packed_bytes()}; }
  // The next copy.
  const PackedMatrix& Turn() {
    w.data = memory.data() + next * w.packed_bytes();
    next = (next + 1) % copies;
    return w;
  }
};

Result<os::Memory> MakeRows(const Kernels& kernels, const QuantFormat& format, size_t rows,
                            size_t k, bool wide_blocks, ActivationBuffer* x) {
  ArenaPlan plan;
  x->AddTo(&plan, rows, k);
  LULL_ASSIGN_OR_RETURN(os::Memory memory, plan.Allocate());
  x->k = k;
  x->rows = rows;
  PackedMatrix reader;
  reader.format = &format;
  x->wide_blocks = wide_blocks;
  x->SetReaders({&reader});
  std::mt19937 rng(3);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < rows * k; ++i) x->f32[i] = normal(rng);
  for (size_t r = 0; r < rows; ++r) x->QuantizeRow(kernels, r);
  return memory;
}

Figure MatMulFigure(const Session& session, const QuantFormat& format, bool wide_blocks,
                    Shape shape, bool cached, size_t rows) {
  Figure figure;
  figure.kernel = "matmul";
  figure.type = std::string(format.name) + (wide_blocks ? "/q8_k" : "");
  figure.shape = Label(shape, cached);
  figure.rows = rows;
  figure.threads = session.options.threads;
  const double macs = static_cast<double>(rows * shape.k * shape.n);
  (format.activations == ActivationForm::kF32 ? figure.work.f32_ops : figure.work.int_macs) = macs;
  // Few rows are the vector units' with tiles, too.
  figure.work.tiles =
      session.kernels.isa == Isa::kAmx && format.activations != ActivationForm::kF32 && rows > 8;
  figure.work.read_bytes = static_cast<double>(format.GroupBytes(shape.k) * ((shape.n + 15) / 16));
  figure.work.resident_bytes = static_cast<size_t>(figure.work.read_bytes);
  return figure;
}

// wide_blocks: K-quants by activations in super-blocks.
Status AddShape(Session& session, const ExecContext& ctx, const QuantFormat& format,
                bool wide_blocks, bool cached) {
  const Options& options = session.options;
  const Shape shape = cached ? options.cached : options.memory;
  if (shape.k % format.block_k != 0 || shape.k % 32 != 0) return Status();
  if (!session.Wanted(MatMulFigure(session, format, wide_blocks, shape, cached, 1)))
    return Status();
  LULL_ASSIGN_OR_RETURN(Weights weights,
                        Weights::Make(format, shape, cached ? 0 : MemoryBytes(options)));
  const size_t max_rows = *std::max_element(options.rows.begin(), options.rows.end());
  ActivationBuffer x;
  LULL_ASSIGN_OR_RETURN(const os::Memory x_memory,
                        MakeRows(session.kernels, format, max_rows, shape.k, wide_blocks, &x));
  LULL_ASSIGN_OR_RETURN(const os::Memory out,
                        os::Memory::Allocate(max_rows * shape.n * sizeof(float)));
  ThreadScratch::Sizes sizes;
  sizes.matmul_bytes = session.kernels.matmul_scratch_bytes(weights.w);
  ThreadScratch scratch(sizes);
  LULL_RETURN_IF_ERROR(scratch.Ensure(options.threads));
  TilePlan plan;
  OpEnv env{session.kernels, scratch, plan};
  double bandwidth = 0;
  for (const size_t rows : options.rows) {
    // Memory's speed drifts: measured beside each figure that depends on it.
    if (!cached && rows <= 16) {
      LULL_ASSIGN_OR_RETURN(const double now, session.ReadBandwidthOf(weights.bytes()));
      bandwidth = std::max(bandwidth, now);
    }
    LULL_RETURN_IF_ERROR(session.Add(
        MatMulFigure(session, format, wide_blocks, shape, cached, rows), Repeat([&] {
          const MatMulItem item{&weights.Turn(), &x, 0, rows, reinterpret_cast<float*>(out.data()),
                                shape.n};
          MatMul(ctx, env, {&item, 1});
        }),
        bandwidth));
  }
  return Status();
}

}  // namespace

Status AddMatMul(Session& session) {
  ThreadPool pool(session.options.threads);
  LULL_RETURN_IF_ERROR(pool.start_status());
  ExecContext ctx;
  if (session.options.threads > 1) ctx.pool = &pool;
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  for (size_t i = 0; i < count; ++i) {
    const std::vector<std::string>& types = session.options.types;
    if (!types.empty() && std::find(types.begin(), types.end(), formats[i]->name) == types.end())
      continue;
    for (const bool wide : {false, true}) {
      if (wide && formats[i]->activations != ActivationForm::kBlocksOrSuperBlocks) continue;
      LULL_RETURN_IF_ERROR(AddShape(session, ctx, *formats[i], wide, false));
      LULL_RETURN_IF_ERROR(AddShape(session, ctx, *formats[i], wide, true));
    }
  }
  return Status();
}

}  // namespace lull
