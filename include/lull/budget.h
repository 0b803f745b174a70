// What is declared of a process: CPU, memory bandwidth, memory, latency, KV bytes; and what is used
// of it. Percentages are of the CPUs the process may use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

struct CpuBudget {
  double mean_share = 0.0;  // 0.35: at most 35 % on average; 0: no cap
  double p99_share = 0.0;   // 0.50: 99 % of 100 ms windows at or below; 0: mean_share + 15 points
  bool capped() const { return mean_share > 0.0; }
  friend bool operator==(const CpuBudget&, const CpuBudget&) = default;
};

// Zero means: not declared.
struct Budget {
  CpuBudget cpu{};
  double mem_bw_bytes_per_s = 0.0;   // weights and KV read from memory, averaged over 100 ms
  int64_t ram_bytes = 0;             // of the process and its children, mapped weights included
  double p95_latency_s = 0.0;        // from the arrival of a request to its last token
  int64_t kv_per_session_bytes = 0;  // K and V that one request may hold
  friend bool operator==(const Budget&, const Budget&) = default;
};

enum class PowerSource { kUnknown, kMains, kBattery };
const char* PowerSourceName(PowerSource source);  // "unknown", "mains", "battery"

// What the process used lately and what the budget leaves. Shares are of the CPUs it may use.
struct BudgetUsage {
  double seconds = 0.0;         // what the two rates are averaged over: 1 to 2 s where it is asked
                                // often, else since it was asked last
  double cpu_share = 0.0;       // all threads of the process
  double cpu_share_left = 0.0;  // to the declared mean; 0 where none is
  double cpu_share_allowed = 1.0;  // the governor's rate now: the mean, less what courtesy takes
  double bytes_per_s = 0.0;        // weights and KV read
  double bytes_per_s_left = 0.0;   // to mem_bw_bytes_per_s; 0 where none is declared
  int64_t ram_bytes = 0;           // PSS of the process and its children, mapped weights included
  int64_t ram_bytes_left = 0;      // to ram_bytes; 0 where none is declared; negative: over it
  double courtesy_factor = 1.0;    // of the rate: below 1 while somebody else needs the machine
  double foreground_share = 0.0;   // last seen CPU use of other processes, of the same CPUs
  double cpu_pressure = 0.0;       // last seen share of time that others waited for a CPU
  PowerSource power = PowerSource::kUnknown;
};

// Where the memory goes, in bytes. Planned parts are what was promised to them before they grew;
// PSS is measured. Sums and limit: the declared RAM holds all planned parts, so admission needs no
// look at PSS.
struct MemoryLedger {
  int64_t weights = 0;        // mapped from pack files: shared with other processes, reclaimable
  int64_t packed = 0;         // repacked weights of this process's own
  int64_t kv = 0;             // KV pools and recurrent state
  int64_t prefix_cache = 0;   // of kv: pages that no request holds, kept for the next one
  int64_t activations = 0;    // of the largest batches, with scratch and logits
  int64_t sockets = 0;        // of other: what connections and their requests hold now
  int64_t other = 0;          // code, stacks, vocabularies, grammars: planned at a fixed size
  int64_t planned_bytes = 0;  // the sum, prefix_cache and sockets not counted twice
  int64_t pss_bytes = 0;      // measured, process and children; resident where the system does not tell
  int64_t limit_bytes = 0;    // Budget::ram_bytes; 0: none
};

// "35%", "0.35" or "" (no cap). Refuses what is not above 0 and at most 100 %.
Result<double> ParseCpuShare(const std::string& text);
// Quantities as they are declared: a number above 0 and a unit. kB, MB, GB, TB are powers of 1000;
// KiB, MiB, GiB, TiB of 1024. kUsage otherwise.
Result<int64_t> ParseByteCount(const std::string& text);  // "512MiB", "16.7MB", "4096B"
Result<double> ParseByteRate(const std::string& text);    // "8GB/s": bytes a second
Result<double> ParseDuration(const std::string& text);    // "2.5s", "800ms": seconds

// One line of a budget. Keys: cpu, cpu_p99, mem_bw, ram, p95, kv_per_session; "" or "none" as value
// withdraws the line. kUsage naming the key.
Status SetBudgetLine(const std::string& key, const std::string& value, Budget* budget);
struct BudgetLine {
  std::string key;
  std::string value;  // as SetBudgetLine reads it
};
// The declared ones, in the order above.
std::vector<BudgetLine> BudgetLines(const Budget& budget);
// A budget as a TOML file declares it: `key = "value"` lines. kUsage naming line and key for what
// is unknown, declared twice or no text. name: of the file, for messages.
Result<Budget> ParseBudgetToml(const std::string& text, const std::string& name);

// kBudgetImpossible with the arithmetic where p99 leaves no slack above the mean.
Status CheckCpuBudget(const CpuBudget& budget, int cpus);

}  // namespace lull
