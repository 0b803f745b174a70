#include "doctor/doctor.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/os/atomic_file.h"
#include "base/os/cgroup.h"
#include "base/os/os.h"
#include "base/os/process.h"
#include "evidence/machine.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kYear2025 = 1'735'689'600;  // no clock of a running Lull is before
// Beside the weights: KV, activations, code.
constexpr int64_t kBesideWeightsBytes = 256 << 20;

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

bool Exists(const std::string& path) {
  std::error_code ec;
  return fs::exists(path, ec);
}

std::string Mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string Decimal(double value) {
  char text[32];
  snprintf(text, sizeof text, "%.2g", value);
  return text;
}

Finding Ok(const char* name, std::string message) { return {name, true, std::move(message), ""}; }
Finding Fix(const char* name, std::string message, std::string fix) {
  return {name, false, std::move(message), std::move(fix)};
}

Finding Cpus(const MachineFacts& facts) {
  const std::string online = FirstLine(facts.root + "sys/devices/system/cpu/online");
  const std::string cpus = std::to_string(facts.available_cpus);
  return Ok("CPUs", cpus + " to use" + (online.empty() ? "" : " (online: " + online + ")"));
}

Finding ControlGroups(const MachineFacts& facts) {
  const bool v2 = Exists(facts.root + "sys/fs/cgroup/cgroup.controllers");
  const bool v1 = Exists(facts.root + "sys/fs/cgroup/cpu");
  const std::string kind = v2 ? "version 2" : v1 ? "version 1" : "none mounted (none is needed)";
  const double quota = os::CgroupCpuQuota(facts.root);
  if (quota <= 0) return Ok("control groups", kind + ", no CPU quota");
  const std::string message = kind + ", quota of " + Decimal(quota) + " CPUs";
  if (quota >= facts.available_cpus) return Ok("control groups", message);
  return Fix("control groups",
             message +
                 ": the kernel stops every thread for the rest of each period, answers come "
                 "in jerks",
             "# lift the quota and declare the budget instead: lull serve --cpu 35%");
}

Finding Pressure(const MachineFacts& facts) {
  const std::string line = FirstLine(facts.root + "proc/pressure/cpu");
  if (!line.empty()) return Ok("pressure (PSI)", "told by the kernel");
  return Fix("pressure (PSI)",
             "not told: whether other programs wait for a CPU is guessed from the load",
             "# add psi=1 to the kernel's command line");
}

Finding InstructionSets(const MachineFacts& facts) {
  const auto has = [&](const char* flag) {
    return std::find(facts.simd.begin(), facts.simd.end(), flag) != facts.simd.end();
  };
  if (has("amx_int8")) return Ok("instruction sets", "AMX");
  if (has("avx512_vnni")) return Ok("instruction sets", "AVX-512 with VNNI");
  if (has("avx_vnni")) return Ok("instruction sets", "AVX2 with VNNI");
  if (has("avx2")) return Ok("instruction sets", "AVX2");
  return Fix("instruction sets", "no AVX2: the scalar kernels are many times slower",
             "# choose a machine, or a virtual CPU model, with AVX2");
}

Finding HugePages(const MachineFacts& facts) {
  const std::string path = "sys/kernel/mm/transparent_hugepage/enabled";
  const std::string line = FirstLine(facts.root + path);
  if (line.empty()) return Ok("huge pages", "not told");
  if (line.find("[never]") == std::string::npos) return Ok("huge pages", line);
  return Fix("huge pages", "switched off: reading weights misses the TLB more often",
             "echo madvise | sudo tee /" + path);
}

int64_t MemAvailableBytes(const std::string& root) {
  std::ifstream file(root + "proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    long long kib = 0;
    if (sscanf(line.c_str(), "MemAvailable: %lld kB", &kib) == 1) return int64_t{kib} * 1024;
  }
  return 0;
}

Finding FreeMemory(const MachineFacts& facts) {
  const int64_t available = MemAvailableBytes(facts.root);
  if (available <= 0) return Ok("memory", "not told");
  const std::string free = Mebibytes(available) + " available";
  if (facts.model_bytes <= 0) return Ok("memory", free);
  const int64_t needed = facts.model_bytes + kBesideWeightsBytes;
  const std::string message = free + ", about " + Mebibytes(needed) + " needed";
  if (needed <= available) return Ok("memory", message);
  return Fix("memory", message, "# close something, or choose a smaller model (lull list)");
}

Finding Frequency(const MachineFacts& facts) {
  const std::string folder = facts.root + "sys/devices/system/cpu/cpu0/cpufreq/";
  const std::string governor = FirstLine(folder + "scaling_governor");
  if (governor.empty()) return Ok("frequency", "not told (as in most virtual machines)");
  // These drivers raise the frequency under load whatever the governor is called.
  const std::string driver = FirstLine(folder + "scaling_driver");
  const bool adapts = driver.starts_with("intel_pstate") || driver.starts_with("amd-pstate");
  const std::string message = "governor " + governor + (driver.empty() ? "" : ", " + driver);
  if (governor != "powersave" || adapts) return Ok("frequency", message);
  return Fix("frequency", message + ": the CPU stays at its lowest frequency",
             "echo schedutil | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
}

Finding Clock(const MachineFacts& facts) {
  if (facts.unix_s >= kYear2025) return Ok("clock", "plausible");
  return Fix("clock", "the time of day lies before 2025: certificates and records will not hold",
             "sudo timedatectl set-ntp true");
}

// The folder itself, or the nearest above it that is there.
fs::path NearestExisting(fs::path path) {
  std::error_code ec;
  while (!path.empty() && !fs::exists(path, ec) && path != path.root_path())
    path = path.parent_path();
  return path.empty() ? fs::path(".") : path;
}

}  // namespace

MachineFacts ThisMachine() {
  MachineFacts facts;
  facts.available_cpus = os::AvailableCpus();
  facts.simd = ReadMachine().simd;
  facts.unix_s = std::chrono::duration_cast<std::chrono::seconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  return facts;
}

std::vector<Finding> ExamineMachine(const MachineFacts& facts) {
  return {Cpus(facts),      ControlGroups(facts), Pressure(facts),  InstructionSets(facts),
          HugePages(facts), FreeMemory(facts),    Frequency(facts), Clock(facts)};
}

Finding ExaminePort(int port) {
  const std::string name = std::to_string(port);
  const std::string another =
      "# give another one: lull serve --port " + std::to_string(port < 65535 ? port + 1 : port - 1);
  const Result<int> pid = os::PidListeningOn(port);
  if (pid.ok()) return Fix("port", name + " is taken by process " + std::to_string(*pid), another);
  // Without a hint nobody listens; with one somebody does whom only root may see.
  if (pid.error().hint.empty()) return Ok("port", name + " is free");
  return Fix("port", name + " is taken by another user's process", another);
}

Finding JudgePip(const std::string& version_line) {
  int major = 0, minor = 0;
  if (sscanf(version_line.c_str(), "pip %d.%d", &major, &minor) != 2)
    return Fix("pip", "its version is not told", "python3 -m pip install --upgrade pip");
  const std::string version = std::to_string(major) + "." + std::to_string(minor);
  if (major > 25 || (major == 25 && minor >= 3)) return Ok("pip", version);
  return Fix("pip",
             version +
                 " is older than 25.3: where no newer one can be fetched, a pull shows "
                 "no progress and cannot go on after a cut",
             "python3 -m pip install --upgrade pip");
}

Finding ExaminePip() {
  const Result<std::string> line = os::RunCommand({"python3", "-m", "pip", "--version"});
  if (line.ok()) return JudgePip(*line);
  return Fix("pip", "not found: lull pull needs it", "sudo apt-get install python3-pip");
}

Finding ExamineStore(const std::string& folder) {
  std::error_code ec;
  const fs::path there = NearestExisting(folder);
  const fs::perms perms = fs::status(there, ec).permissions();
  const bool others_write =
      there == fs::path(folder) && (perms & fs::perms::others_write) != fs::perms::none;
  if (others_write)
    return Fix("model folder", folder + ": anybody may replace the models",
               "chmod o-w '" + folder + "'");
  const Result<std::unique_ptr<os::AtomicFile>> probe =
      os::AtomicFile::Create((there / "doctor").string());
  if (!probe.ok())
    return Fix("model folder", there.string() + ": cannot be written",
               "sudo chown -R \"$(id -u)\" '" + there.string() + "'");
  return Ok("model folder", folder);
}

}  // namespace lull
