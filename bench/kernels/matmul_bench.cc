// matmul_bench [--isa NAME] [--type NAME] [--tile GROUPSxROWS] [--reps N]: speed of the matrix
// products of one thread, beside what the machine can do. Times are the thread's CPU time, the best
// of N repetitions.
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "quant/quant_format.h"

#define LULL_ISA_FILE "bench/kernels/peak-inl.h"
#include "simd/foreach_isa.h"

namespace lull {
namespace {

struct Peak {
  Isa isa;
  int32_t (*dots)(size_t, const uint8_t*);
  int32_t (*read)(const uint8_t*, size_t);
};
const Peak kPeaks[] = {
#define LULL_ISA_ROW(ns, isa, name) {Isa::isa, ns::PeakDots, ns::ReadAll},
#include "simd/isa_list.inc"
#undef LULL_ISA_ROW
    // Shares of the vector units' peak: above 1 where tiles do what no vector could.
    {Isa::kAmx, avx512::PeakDots, avx512::ReadAll},
};

double CpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <typename Fn>
double BestSeconds(int reps, Fn&& fn) {
  double best = 1e30;
  for (int i = 0; i < reps; ++i) {
    const double start = CpuSeconds();
    fn();
    best = std::min(best, CpuSeconds() - start);
  }
  return best;
}

// Huge pages where the system gives them, as the weight arena asks for.
struct AlignedBytes {
  explicit AlignedBytes(size_t bytes) : size((bytes + kHugePage) / kHugePage * kHugePage) {
    data = static_cast<uint8_t*>(std::aligned_alloc(kHugePage, size));
    madvise(data, size, MADV_HUGEPAGE);
    std::memset(data, 1, size);
  }
  ~AlignedBytes() { std::free(data); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  static constexpr size_t kHugePage = size_t{2} << 20;
  size_t size;
  uint8_t* data;
};

struct Shape {
  size_t rows, k;
};

struct Options {
  std::string isa, type;
  size_t tile_groups = 8, tile_rows = 64;
  int reps = 7;
};

struct Acts {
  std::vector<float> f32, scale, sum;
  std::vector<int8_t> q;
  std::vector<int32_t> halves;
  Activations view;
  Acts(const Kernels& kernels, size_t rows, size_t k)
      : f32(rows * k),
        scale(rows * k / 32),
        sum(rows * k / 32),
        q(rows * k),
        halves(rows * k / 16) {
    std::mt19937 rng(3);
    std::normal_distribution<float> normal;
    for (float& f : f32) f = normal(rng);
    for (size_t r = 0; r < rows; ++r) {
      kernels.quantize_row(&f32[r * k], k, &q[r * k], &scale[r * (k / 32)], &sum[r * (k / 32)],
                           &halves[r * (k / 16)]);
    }
    view = {rows, k, f32.data(), q.data(), scale.data(), sum.data(), halves.data()};
  }
};

// As many copies of the matrix as exceed the caches, so that one row reads memory.
void BenchShape(const Kernels& kernels, const QuantFormat& format, Shape shape,
                const Options& options, double peak_macs, double peak_bytes) {
  PackedMatrix w = {&format, shape.rows, shape.k, format.GroupBytes(shape.k), nullptr};
  const size_t copies = std::max<size_t>(1, (size_t{192} << 20) / w.packed_bytes());
  AlignedBytes weights(copies * w.packed_bytes());
  // Any bytes will do: no kernel's speed depends on them, but infinities and denormals might.
  std::mt19937 rng(5);
  std::vector<uint8_t> file(16 * shape.k / format.block_k * format.file_block_bytes);
  for (uint8_t& b : file) b = static_cast<uint8_t>(0x2c + rng() % 4);
  for (size_t g = 0; g < copies * w.groups(); ++g) {
    format.repack_group(file.data(), 16, shape.k, weights.data + g * w.group_bytes);
  }
  Acts acts(kernels, 512, shape.k);
  std::vector<float> out(512 * shape.rows);
  AlignedBytes scratch(kernels.matmul_scratch_bytes(w));
  std::printf("%-9s %-5s %6zu x %-6zu", kernels.name, format.name, shape.rows, shape.k);
  for (const size_t rows : {1, 2, 4, 8, 16, 64, 512}) {
    size_t copy = 0;
    const auto whole = [&] {
      w.data = weights.data + copy * w.packed_bytes();
      copy = (copy + 1) % copies;
      for (size_t r = 0; r < rows; r += options.tile_rows) {
        for (size_t g = 0; g < w.groups(); g += options.tile_groups) {
          kernels.matmul(w, g, std::min(w.groups(), g + options.tile_groups), acts.view, r,
                         std::min(rows, r + options.tile_rows), out.data(), shape.rows,
                         scratch.data);
        }
      }
    };
    const double macs = static_cast<double>(rows * shape.rows * shape.k);
    const int calls = std::max(1, static_cast<int>(4e7 / macs));
    const double seconds = BestSeconds(options.reps,
                                       [&] {
                                         for (int i = 0; i < calls; ++i) whole();
                                       }) /
                           calls;
    if (rows == 1) {
      const double bytes = static_cast<double>(w.packed_bytes()) / seconds;
      std::printf("  1: %5.1f GB/s (%3.0f%%)", bytes * 1e-9, 100 * bytes / peak_bytes);
    } else {
      std::printf("  %zu: %5.1f (%2.0f%%)", rows, macs / seconds * 1e-9,
                  100 * macs / seconds / peak_macs);
    }
  }
  std::printf("\n");
  std::fflush(stdout);
}

void BenchIsa(const Peak& peak, const Options& options) {
  if (!MachineHas(peak.isa)) return;
  const Kernels* kernels = nullptr;
  for (const char* name : {"scalar", "avx2", "avx2vnni", "avx512", "amx"}) {
    const Result<const Kernels*> found = FindKernels(name);
    if (found.ok() && found.value()->isa == peak.isa) kernels = found.value();
  }
  if (kernels == nullptr || (!options.isa.empty() && options.isa != kernels->name)) return;
  AlignedBytes buffer(size_t{256} << 20);
  volatile int32_t sink = 0;
  const size_t steps = peak.isa == Isa::kScalar ? 20000 : 1000000;
  const double macs = 12.0 * 64 * static_cast<double>(steps) /
                      BestSeconds(options.reps, [&] { sink = peak.dots(steps, buffer.data); });
  const double bytes = static_cast<double>(size_t{256} << 20) / BestSeconds(options.reps, [&] {
                         sink = peak.read(buffer.data, size_t{256} << 20);
                       });
  std::printf("%-9s peak %.1f GMAC/s, memory read %.1f GB/s\n", kernels->name, macs * 1e-9,
              bytes * 1e-9);
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  for (size_t i = 0; i < count; ++i) {
    if (!options.type.empty() && options.type != formats[i]->name) continue;
    for (const Shape shape :
         {Shape{1536, 576}, Shape{576, 1536}, Shape{4096, 4096}, Shape{1024, 14336}}) {
      if (shape.k % formats[i]->block_k != 0) continue;
      BenchShape(*kernels, *formats[i], shape, options, macs, bytes);
    }
  }
}

// False where an option is unknown or lacks its value.
bool ParseOptions(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) return false;
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--isa") {
      options->isa = value;
    } else if (name == "--type") {
      options->type = value;
    } else if (name == "--reps") {
      options->reps = std::max(1, std::atoi(value));
    } else if (name == "--tile") {
      char* end = nullptr;
      options->tile_groups = std::max(1ul, std::strtoul(value, &end, 10));
      if (*end == 'x') options->tile_rows = std::max(1ul, std::strtoul(end + 1, nullptr, 10));
    } else {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) {
    std::fprintf(
        stderr, "usage: matmul_bench [--isa NAME] [--type NAME] [--tile GROUPSxROWS] [--reps N]\n");
    return 2;
  }
  std::printf("GB/s for 1 row, GMAC/s (share of peak) for more; tiles of %zu groups x %zu rows\n",
              options.tile_groups, options.tile_rows);
  for (const Peak& peak : kPeaks) BenchIsa(peak, options);
  return 0;
}

}  // namespace
}  // namespace lull

int main(int argc, char** argv) { return lull::Main(argc, argv); }
