// What of this machine keeps Lull from working well, and the command that mends it. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

struct Finding {
  std::string name;  // "huge pages"
  bool ok = true;
  std::string message;  // what is so
  std::string fix;      // where not ok: a shell command, or "# " and words
};

struct MachineFacts {
  std::string root = "/";         // where proc/ and sys/ lie
  int available_cpus = 1;         // by the affinity mask
  std::vector<std::string> simd;  // as /proc/cpuinfo spells them
  int64_t model_bytes = 0;        // to be held in memory; 0: not asked
  int64_t unix_s = 0;             // the time of day
};
// Of the machine this runs on.
MachineFacts ThisMachine();

// CPUs, control groups, PSI, instruction sets, huge pages, memory, frequency, clock: reads some
// small files.
std::vector<Finding> ExamineMachine(const MachineFacts& facts);
// Whether a server could listen on it; names who does.
Finding ExaminePort(int port);
// Runs pip once.
Finding ExaminePip();
// Whether models can be kept in the folder, and by nobody else.
Finding ExamineStore(const std::string& folder);

// A version such as "pip 23.2.1 from ..." judged; for tests.
Finding JudgePip(const std::string& version_line);

}  // namespace lull
