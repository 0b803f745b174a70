// One instruction set being measured: its roofs, and the figures so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "lull/status.h"

namespace lull {

struct Shape {
  size_t k = 0, n = 0;
};

struct Options {
  std::vector<std::string> isas, types;  // empty: all (isas: all but scalar)
  std::vector<size_t> rows = {1, 2, 4, 8, 16, 64, 512};
  int threads = 1;
  std::string filter;        // part of "matmul Q4_1 4096x4096"; empty: everything
  Shape memory{4096, 4096};  // matrices that come from memory
  Shape cached{1024, 1024};  // one that stays in the caches
  size_t memory_mib = 0;     // of all copies of the first; 0: more than the caches hold
  double ms = 60;            // each figure takes about so long
  double quiet = 0.1;        // CPUs that others may use meanwhile
  int retries = 3;           // of a figure that was disturbed
  bool json = false;
  std::string record;
};

// What a call has to do at least. Its roof is the largest of: each of these at the machine's peak.
struct Work {
  double int_macs = 0;  // int8
  double f32_ops = 0;   // vector operations on f32 lanes, a fused multiply-add being one
  double divides = 0;   // f32
  double read_bytes = 0, write_bytes = 0;
  size_t resident_bytes = 0;  // the memory that is read over and over: its bandwidth counts
  bool tiles = false;         // int_macs go to the tile unit
};

struct Figure {
  std::string kernel, type, shape;
  size_t rows = 0;  // of activations; 0: the kernel has none
  int threads = 1;
  Work work;
  // Measured:
  std::vector<double> samples_ns;  // of a call, one for each round
  double ns = 0;                   // their median
  double roof_ns = 0;
  const char* bound = "";    // what the roof is made of
  double other_cpus = 0;     // busy with other work meanwhile
  double vector_share = -1;  // with tiles: of the vector units' peak

  double share() const { return roof_ns / ns; }
};

// Runs `calls` calls.
using Calls = std::function<void(size_t calls)>;
template <typename Fn>
Calls Repeat(Fn fn) {
  return [fn](size_t calls) mutable {
    for (size_t i = 0; i < calls; ++i) fn();
  };
}

class Session {
 public:
  Session(const Options& options, const Kernels& kernels) : options(options), kernels(kernels) {}
  Status MeasureRoofs();
  bool Wanted(const Figure& figure) const;
  // Times the calls. read_bandwidth: of the very memory they read (bytes/s); 0: of a buffer of
  // resident_bytes.
  Status Add(Figure figure, const Calls& calls, double read_bandwidth = 0);
  // The best of the ways to read this memory now.
  Result<double> ReadBandwidthOf(std::span<const uint8_t> memory) const;

  void PrintSummary() const;
  nlohmann::json ToJson() const;

  const Options& options;
  const Kernels& kernels;

 private:
  // The best of measure() until others leave the machine alone, or of all tries.
  Result<double> BestWhenQuiet(const std::function<Result<double>()>& measure) const;
  struct Peaks {
    double int8 = 0, tiles = 0, f32 = 0, divides = 0;  // per second
  };
  Result<double> ReadBandwidth(size_t bytes, int threads);
  Result<double> WriteBandwidth(size_t bytes, int threads);
  Status FindRoof(Figure& figure, double read_bandwidth);
  void Time(Figure& figure, const Calls& calls) const;
  const Figure* Find(const std::string& kernel, const std::string& type, const std::string& shape,
                     size_t rows) const;
  void Print(const Figure& figure) const;

  Peaks peaks_[2];  // of one thread, and of options.threads
  std::map<std::pair<size_t, int>, double> read_, write_;
  std::vector<Figure> figures_;
};

// The memory shape's label, so that a figure can be found again.
std::string Label(Shape shape, bool cached);

// Each adds its kernels' figures.
Status AddMatMul(Session& session);
Status AddAttention(Session& session);
Status AddRowKernels(Session& session);

}  // namespace lull
