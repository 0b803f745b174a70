// What a figure was measured on.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace lull {

struct Machine {
  std::string cpu_model;
  int cpus = 0;                   // the calling process may use
  int64_t memory_bytes = 0;       // of the whole machine
  std::string kernel;             // e.g. "6.1.0-18-amd64"
  std::vector<std::string> simd;  // e.g. {"avx2", "avx512f"}; narrow to wide
  bool virtual_machine = false;
  // Equal for two runs exactly where the fields above are: 16 hex digits.
  std::string fingerprint;
};

Machine ReadMachine();
nlohmann::json ToJson(const Machine& machine);
// One line for people.
std::string Describe(const Machine& machine);

}  // namespace lull
