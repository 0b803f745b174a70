// A program beside the server: what it loses while the server works is what courtesy is about.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

// Not thread-safe. Each task runs on the calling thread.
class Neighbour {
 public:
  // bytes: of each buffer, more than the machine's caches hold. job: a command, e.g. a compiler
  // run; empty: sorting and hashing of text within this process. Cost: three buffers.
  static Result<Neighbour> Create(size_t bytes, const std::string& job);

  // Bytes copied per second, over about so long.
  double CopyBytesPerS(double seconds);
  // Nanoseconds of a read that depends on the one before and is in no cache: p99 of means of 32,
  // over about so long.
  double ChaseP99Ns(double seconds);
  // Seconds of one run of the job.
  Result<double> JobSeconds();

 private:
  Neighbour() = default;
  std::vector<uint8_t> from_, to_;
  std::vector<uint64_t> next_;  // one in eight is used: a node a cache line
  std::string job_;
  uint64_t at_ = 0;
  uint64_t sink_ = 0;
};

}  // namespace lull
