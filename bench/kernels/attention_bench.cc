// Speed of the kernels that run beside the matrix products: attention over the cached positions of
// one KV head, and the row kernels of one decoded token. Not a test: figures for people.
//   attention_bench [isa]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.h"

namespace lull {
namespace {

double NowNs() {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                 std::chrono::steady_clock::now().time_since_epoch())
                                 .count());
}

// Median over `rounds` of the time of one call, each round about 2 ms long.
template <typename Fn>
double MedianNs(const Fn& fn, int rounds = 15) {
  fn();
  double start = NowNs();
  fn();
  const int calls = 1 + static_cast<int>(2e6 / (NowNs() - start + 1));
  std::vector<double> times;
  for (int r = 0; r < rounds; ++r) {
    start = NowNs();
    for (int i = 0; i < calls; ++i) fn();
    times.push_back((NowNs() - start) / calls);
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

std::vector<float> Random(size_t n) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(rng);
  return x;
}

void BenchAttention(const Kernels& kernels, KvType type, size_t head_dim, size_t heads,
                    size_t depth) {
  const size_t pages = (depth + kPageTokens - 1) / kPageTokens;
  const size_t page_bytes = kPageTokens * head_dim * KvTypeBytes(type);
  std::vector<uint8_t> storage(2 * pages * page_bytes + 64);
  std::vector<KvPage> table;
  uint8_t* base = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
  for (size_t i = 0; i < pages; ++i)
    table.push_back({base + 2 * i * page_bytes, base + (2 * i + 1) * page_bytes});
  const auto row = Random(head_dim), q = Random(heads * head_dim);
  for (size_t t = 0; t < depth; ++t)
    kernels.kv_write(type, table[t / kPageTokens], t % kPageTokens, row.data(), row.data(), head_dim);
  std::vector<float> out(heads * head_dim), m(heads), l(heads);
  AttentionArgs args;
  args.q = q.data();
  args.num_q = heads;
  args.head_dim = head_dim;
  args.scale = 0.1f;
  args.kv_type = type;
  args.pages = table.data();
  args.end_position = static_cast<int64_t>(depth);
  args.out = out.data();
  const AttentionState state{m.data(), l.data()};
  const double ns = MedianNs([&] {
    kernels.attention_begin(args, state);
    kernels.attention_pages(args, 0, pages, state);
    kernels.attention_end(args, state);
  });
  const double bytes = 2.0 * static_cast<double>(depth * head_dim * KvTypeBytes(type));
  const double fmas = 2.0 * static_cast<double>(depth * head_dim * heads);
  std::printf("%-9s %-4s %8zu %5zu %5zu %10.0f %8.1f %8.1f\n", kernels.name,
              type == KvType::kF16 ? "f16" : type == KvType::kBf16 ? "bf16" : "f32", head_dim, heads,
              depth, ns, bytes / ns, fmas / ns);
}

void BenchRows(const Kernels& kernels, size_t n) {
  const auto x = Random(n), w = Random(n);
  std::vector<float> out(n), scale(n / 32), scaled_sum(n / 32);
  std::vector<int8_t> q(n);
  std::vector<int32_t> half_sums(n / 16);
  const auto print = [&](const char* what, double ns) {
    std::printf("%-9s %-13s n %6zu %9.0f ns %6.2f ns/16\n", kernels.name, what, n, ns,
                ns * 16 / static_cast<double>(n));
  };
  print("quantize_row", MedianNs([&] {
          kernels.quantize_row(x.data(), n, q.data(), scale.data(), scaled_sum.data(),
                               half_sums.data());
        }));
  print("rms_norm", MedianNs([&] { kernels.rms_norm(x.data(), w.data(), 1e-5f, n, out.data()); }));
  print("add", MedianNs([&] { kernels.add(x.data(), w.data(), n, out.data()); }));
  print("swiglu", MedianNs([&] { kernels.swiglu(x.data(), w.data(), n, out.data()); }));
  print("geglu", MedianNs([&] { kernels.geglu(x.data(), w.data(), n, out.data()); }));
  print("softmax", MedianNs([&] { kernels.softmax(x.data(), n, out.data()); }));
  volatile size_t sink = 0;
  print("argmax", MedianNs([&] { sink = kernels.argmax(x.data(), n); }));
}

int Main(int argc, char** argv) {
  const Kernels* kernels = &BestKernels();
  if (argc > 1) {
    const Result<const Kernels*> found = FindKernels(argv[1]);
    if (!found.ok()) {
      std::fprintf(stderr, "%s\n", found.status().ToString().c_str());
      return 2;
    }
    kernels = *found;
  }
  std::printf("isa       kv   head_dim heads depth    ns/call   KV GB/s  GFMA/s\n");
  for (size_t head_dim : {64, 128, 256}) {
    for (size_t heads : {1, 2, 3, 4}) {
      for (size_t depth : {64, 512, 4096})
        BenchAttention(*kernels, KvType::kF16, head_dim, heads, depth);
    }
  }
  BenchAttention(*kernels, KvType::kBf16, 64, 3, 4096);
  BenchAttention(*kernels, KvType::kF32, 64, 3, 4096);
  for (size_t n : {576, 1536, 49152}) BenchRows(*kernels, n);
  return 0;
}

}  // namespace
}  // namespace lull

int main(int argc, char** argv) { return lull::Main(argc, argv); }
