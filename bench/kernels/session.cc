#include "bench/kernels/session.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/os/os.h"
#include "bench/kernels/noise.h"
#include "quant/quant_format.h"
#include "roof/roof.h"

namespace lull {
namespace {

constexpr int kRoofRounds = 7;
constexpr int64_t kPauseNs = 200'000'000;  // before something disturbed is measured again

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

// Buffers of about the same size share a measurement.
size_t RoundUp(size_t bytes) { return std::max<size_t>((bytes + 4095) / 4096 * 4096, 4096); }

double NsOf(const Calls& calls, size_t count) {
  const int64_t begin_ns = os::MonotonicNs();
  calls(count);
  return static_cast<double>(os::MonotonicNs() - begin_ns) / static_cast<double>(count);
}

}  // namespace

std::string Label(Shape shape, bool cached) {
  return std::to_string(shape.k) + "x" + std::to_string(shape.n) + (cached ? " cached" : "");
}

Status Session::MeasureRoofs() {
  for (const int which : {0, 1}) {
    const int threads = which == 0 ? 1 : options.threads;
    Peaks& peaks = peaks_[which];
    const auto peak = [&](auto measure) {
      return BestWhenQuiet([&] { return measure(kernels.name, threads); });
    };
    LULL_ASSIGN_OR_RETURN(peaks.int8, peak(MeasureInt8Peak));
    LULL_ASSIGN_OR_RETURN(peaks.f32, peak(MeasureF32Peak));
    LULL_ASSIGN_OR_RETURN(peaks.divides, peak(MeasureDividePeak));
    if (kernels.isa == Isa::kAmx) {
      LULL_ASSIGN_OR_RETURN(peaks.tiles, peak(MeasureTilePeak));
    }
  }
  if (options.json) return Status();
  const Peaks& peaks = peaks_[1];
  std::printf("\n%s, %d thread%s: int8 %.0f GMAC/s", kernels.name, options.threads,
              options.threads > 1 ? "s" : "", peaks.int8 * 1e-9);
  if (peaks.tiles > 0) std::printf(", tiles %.0f GMAC/s", peaks.tiles * 1e-9);
  std::printf(", f32 %.1f GFMA/s, %.1f Gdiv/s\n", peaks.f32 * 1e-9, peaks.divides * 1e-9);
  std::printf("%-13s %-5s %-17s %5s %12s %8s %7s %6s  %s\n", "kernel", "type", "shape", "rows",
              "ns/call", "G ops/s", "GB/s", "share", "of");
  return Status();
}

bool Session::Wanted(const Figure& figure) const {
  const std::string name = figure.kernel + " " + figure.type + " " + figure.shape;
  return options.filter.empty() || name.find(options.filter) != std::string::npos;
}

Result<double> Session::BestWhenQuiet(const std::function<Result<double>()>& measure) const {
  double best = 0;
  for (int tries = 0; tries <= options.retries; ++tries) {
    if (tries > 0) os::SleepUntilNs(os::MonotonicNs() + kPauseNs);
    NoiseMeter noise;
    LULL_ASSIGN_OR_RETURN(const double value, measure());
    best = std::max(best, value);
    if (noise.OtherCpus() <= options.quiet) break;
  }
  return best;
}

Result<double> Session::ReadBandwidthOf(std::span<const uint8_t> memory) const {
  return BestWhenQuiet(
      [&] { return MeasureReadBandwidth(kernels.name, memory, options.threads, 2); });
}

Result<double> Session::ReadBandwidth(size_t bytes, int threads) {
  const std::pair key(RoundUp(bytes), threads);
  if (!read_.contains(key)) {
    LULL_ASSIGN_OR_RETURN(read_[key], BestWhenQuiet([&] {
                            return MeasureReadBandwidth(kernels.name, key.first, threads,
                                                        kRoofRounds);
                          }));
  }
  return read_[key];
}

Result<double> Session::WriteBandwidth(size_t bytes, int threads) {
  const std::pair key(RoundUp(bytes), threads);
  if (!write_.contains(key)) {
    LULL_ASSIGN_OR_RETURN(write_[key], BestWhenQuiet([&] {
                            return MeasureWriteBandwidth(kernels.name, key.first, threads,
                                                         kRoofRounds);
                          }));
  }
  return write_[key];
}

Status Session::FindRoof(Figure& figure, double read_bandwidth) {
  const Work& work = figure.work;
  const Peaks& peaks = peaks_[figure.threads == 1 ? 0 : 1];
  if (work.read_bytes > 0 && read_bandwidth == 0) {
    LULL_ASSIGN_OR_RETURN(read_bandwidth, ReadBandwidth(work.resident_bytes, figure.threads));
  }
  double write_bandwidth = 1;
  if (work.write_bytes > 0) {
    LULL_ASSIGN_OR_RETURN(write_bandwidth,
                          WriteBandwidth(static_cast<size_t>(work.write_bytes), figure.threads));
  }
  const std::pair<const char*, double> bounds[] = {
      {work.tiles ? "tiles" : "int8", work.int_macs / (work.tiles ? peaks.tiles : peaks.int8)},
      {"f32", work.f32_ops / peaks.f32},
      {"divide", work.divides / peaks.divides},
      {"read", work.read_bytes > 0 ? work.read_bytes / read_bandwidth : 0},
      {"write", work.write_bytes / write_bandwidth},
  };
  for (const auto& [name, seconds] : bounds) {
    if (seconds * 1e9 <= figure.roof_ns) continue;
    figure.roof_ns = seconds * 1e9;
    figure.bound = name;
  }
  if (work.tiles) figure.vector_share = work.int_macs / peaks.int8 * 1e9 / figure.ns;
  return Status();
}

void Session::Time(Figure& figure, const Calls& calls) const {
  const double budget_ns = options.ms * 1e6;
  NsOf(calls, 1);
  size_t count = 1;
  double round_ns = NsOf(calls, 1);
  // Rounds of at least a fifteenth of the time: the clock and a context switch are small in them.
  while (round_ns * static_cast<double>(count) < budget_ns / 15 && count < (size_t{1} << 30)) {
    const double wanted = budget_ns / 15 / std::max(round_ns, 1.0);
    count = std::max(count * 2, static_cast<size_t>(wanted) + 1);
    round_ns = NsOf(calls, count);
  }
  const double rounds = budget_ns / (round_ns * static_cast<double>(count));
  const int num_rounds = std::clamp(static_cast<int>(rounds), round_ns > 1e9 ? 1 : 3, 25);
  NoiseMeter noise;
  for (int round = 0; round < num_rounds; ++round) figure.samples_ns.push_back(NsOf(calls, count));
  figure.other_cpus = noise.OtherCpus();
  figure.ns = Median(figure.samples_ns);
}

Status Session::Add(Figure figure, const Calls& calls, double read_bandwidth) {
  std::fprintf(stderr, "\r\033[K%s: %s %s %s %zu", kernels.name, figure.kernel.c_str(),
               figure.type.c_str(), figure.shape.c_str(), figure.rows);
  Figure best = figure;
  Time(best, calls);
  for (int retry = 0; retry < options.retries && best.other_cpus > options.quiet; ++retry) {
    os::SleepUntilNs(os::MonotonicNs() + kPauseNs);
    Figure again = figure;
    Time(again, calls);
    if (again.other_cpus < best.other_cpus) best = again;
  }
  std::fprintf(stderr, "\r\033[K");
  LULL_RETURN_IF_ERROR(FindRoof(best, read_bandwidth));
  if (!options.json) Print(best);
  figures_.push_back(std::move(best));
  return Status();
}

void Session::Print(const Figure& figure) const {
  const Work& work = figure.work;
  const double ops = std::max(work.int_macs, work.f32_ops);
  const double bytes = work.read_bytes + work.write_bytes;
  std::printf("%-13s %-5s %-17s %5s %12.1f %8.1f %7.1f %5.0f%%%s %s", figure.kernel.c_str(),
              figure.type.c_str(), figure.shape.c_str(),
              figure.rows > 0 ? std::to_string(figure.rows).c_str() : "", figure.ns,
              ops / figure.ns, bytes / figure.ns, 100 * figure.share(),
              figure.other_cpus > options.quiet ? "~" : " ", figure.bound);
  if (figure.vector_share >= 0) std::printf(", %.0f%% of int8", 100 * figure.vector_share);
  std::printf("\n");
  std::fflush(stdout);
}

const Figure* Session::Find(const std::string& kernel, const std::string& type,
                            const std::string& shape, size_t rows) const {
  for (const Figure& figure : figures_) {
    if (figure.kernel == kernel && figure.type == type && figure.shape == shape &&
        figure.rows == rows)
      return &figure;
  }
  return nullptr;
}

void Session::PrintSummary() const {
  const std::string memory = Label(options.memory, false), cached = Label(options.cached, true);
  if (Find("matmul", figures_.empty() ? "" : figures_[0].type, memory, 1) == nullptr) return;
  std::printf(
      "\n%s matmul: GB/s of weights %s from memory at 1 row; GMAC/s in cache %s; verify: "
      "the time of 8 rows from memory over 1\n",
      kernels.name, memory.c_str(), cached.c_str());
  std::printf("%-5s %16s %16s %16s %7s\n", "type", "1 row", "8 rows", "512 rows", "verify");
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  for (size_t i = 0; i < count; ++i) {
    const std::string type = formats[i]->name;
    const Figure* one = Find("matmul", type, memory, 1);
    const Figure* eight = Find("matmul", type, memory, 8);
    const Figure* many = Find("matmul", type, cached, 512);
    if (one == nullptr) continue;
    std::printf("%-5s %7.1f GB/s %3.0f%%", type.c_str(), one->work.read_bytes / one->ns,
                100 * one->share());
    if (eight != nullptr)
      std::printf(" %7.1f GB/s %3.0f%%", eight->work.read_bytes / eight->ns, 100 * eight->share());
    if (many != nullptr)
      std::printf(" %7.1f GMAC %3.0f%%",
                  std::max(many->work.int_macs, many->work.f32_ops) / many->ns,
                  100 * many->share());
    if (eight != nullptr) std::printf(" %7.2f", eight->ns / one->ns);
    std::printf("\n");
  }
}

nlohmann::json Session::ToJson() const {
  nlohmann::json figures = nlohmann::json::array();
  for (const Figure& f : figures_) {
    nlohmann::json samples = nlohmann::json::array();
    for (const double ns : f.samples_ns) samples.push_back(std::round(ns * 10) / 10);
    nlohmann::json j = {{"kernel", f.kernel},
                        {"type", f.type},
                        {"shape", f.shape},
                        {"threads", f.threads},
                        {"ns", f.ns},
                        {"samples_ns", samples},
                        {"gmac_s", std::max(f.work.int_macs, f.work.f32_ops) / f.ns},
                        {"gb_s", (f.work.read_bytes + f.work.write_bytes) / f.ns},
                        {"roof_ns", f.roof_ns},
                        {"share", f.share()},
                        {"bound", f.bound},
                        {"other_cpus", f.other_cpus}};
    if (f.rows > 0) j["rows"] = f.rows;
    if (f.vector_share >= 0) j["int8_share"] = f.vector_share;
    if (const Figure* one = Find(f.kernel, f.type, f.shape, 1);
        f.rows == 8 && one != nullptr && f.shape == Label(options.memory, false))
      j["verify_ratio"] = f.ns / one->ns;
    figures.push_back(std::move(j));
  }
  const Peaks& peaks = peaks_[1];
  nlohmann::json roofs = {{"int8_gmac_s", peaks.int8 * 1e-9},
                          {"f32_gfma_s", peaks.f32 * 1e-9},
                          {"divide_g_s", peaks.divides * 1e-9}};
  if (peaks.tiles > 0) roofs["tiles_gmac_s"] = peaks.tiles * 1e-9;
  for (const auto& [key, bandwidth] : read_)
    roofs["read_gb_s"].push_back(
        {{"bytes", key.first}, {"threads", key.second}, {"gb_s", bandwidth * 1e-9}});
  for (const auto& [key, bandwidth] : write_)
    roofs["write_gb_s"].push_back(
        {{"bytes", key.first}, {"threads", key.second}, {"gb_s", bandwidth * 1e-9}});
  return {{"isa", kernels.name}, {"roofs", roofs}, {"figures", figures}};
}

}  // namespace lull
