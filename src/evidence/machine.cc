#include "evidence/machine.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/os/os.h"

namespace lull {
namespace {

// Instruction sets that decide the speed of a kernel, as /proc/cpuinfo spells them.
constexpr const char* kSimdFlags[] = {
    "sse4_2",   "avx",      "avx2",        "fma",         "f16c",        "avx_vnni",
    "avx512f",  "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8",
    "amx_bf16", "asimd",    "asimddp",     "i8mm",        "sve"};

std::set<std::string> CpuFlags() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::istringstream words(line.substr(colon + 1));
    std::set<std::string> flags;
    for (std::string word; words >> word;) flags.insert(word);
    return flags;
  }
  return {};
}

int64_t MemoryBytes() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  file >> key >> kib;
  return key == "MemTotal:" ? kib * 1024 : 0;
}

// FNV-1a: names a machine, protects nothing.
std::string Hash(const std::string& text) {
  uint64_t hash = 14695981039346656037ull;
  for (const char c : text) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 1099511628211ull;
  }
  char hex[17];
  snprintf(hex, sizeof(hex), "%016llx", static_cast<unsigned long long>(hash));
  return hex;
}

}  // namespace

Machine ReadMachine() {
  Machine machine;
  machine.cpu_model = os::CpuModelName();
  machine.cpus = os::AvailableCpus();
  machine.memory_bytes = MemoryBytes();
  std::ifstream release("/proc/sys/kernel/osrelease");
  std::getline(release, machine.kernel);
  const std::set<std::string> flags = CpuFlags();
  for (const char* flag : kSimdFlags) {
    if (flags.count(flag) > 0) machine.simd.push_back(flag);
  }
  machine.virtual_machine = flags.count("hypervisor") > 0;
  std::string all = machine.cpu_model + '\n' + std::to_string(machine.cpus) + '\n' +
                    std::to_string(machine.memory_bytes) + '\n' + machine.kernel + '\n' +
                    (machine.virtual_machine ? "vm" : "");
  for (const std::string& flag : machine.simd) all += '\n' + flag;
  machine.fingerprint = Hash(all);
  return machine;
}

nlohmann::json ToJson(const Machine& machine) {
  return {{"cpu_model", machine.cpu_model},
          {"cpus", machine.cpus},
          {"memory_bytes", machine.memory_bytes},
          {"kernel", machine.kernel},
          {"simd", machine.simd},
          {"virtual_machine", machine.virtual_machine},
          {"fingerprint", machine.fingerprint}};
}

std::string Describe(const Machine& machine) {
  char memory[32];
  snprintf(memory, sizeof(memory), "%.0f GiB",
           static_cast<double>(machine.memory_bytes) / (1 << 30));
  std::string text = machine.cpu_model + ", " + std::to_string(machine.cpus) +
                     (machine.cpus == 1 ? " CPU, " : " CPUs, ") + memory + ", Linux " +
                     machine.kernel;
  if (!machine.simd.empty()) text += ", " + machine.simd.back();
  if (machine.virtual_machine) text += ", virtual machine";
  return text;
}

}  // namespace lull
