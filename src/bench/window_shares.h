// From samples of a process's CPU clock to shares of the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/os/process.h"

namespace lull {

// Those inside [begin_ns, end_ns]. Requires: ordered by time.
std::span<const os::CpuSample> SamplesInside(std::span<const os::CpuSample> samples,
                                             int64_t begin_ns, int64_t end_ns);

// Of the samples inside [begin_ns, end_ns]: CPU time over wall time and CPUs, 0.35 for 35 %.
// Nothing where fewer than two samples lie there.
std::optional<double> MeanShare(std::span<const os::CpuSample> samples, int64_t begin_ns,
                                int64_t end_ns, int cpus);

// One share per sample that begins a window: sliding windows of the width, wholly inside
// [begin_ns, end_ns]. Each is divided by its true width; a window whose end the sampler missed by
// more than a twentieth of the width is left out.
std::vector<double> WindowShares(std::span<const os::CpuSample> samples, int64_t begin_ns,
                                 int64_t end_ns, int64_t width_ns, int cpus);

}  // namespace lull
