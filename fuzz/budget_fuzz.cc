// libFuzzer target: a budget as a TOML file, and every line of it as a flag.
// Built by the preset "fuzz".
//   build/fuzz/budget_fuzz -max_len=1024 CORPUS_FOLDER
#include <cstdint>
#include <string>

#include "lull/budget.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto budget = lull::ParseBudgetToml(text, "fuzz.toml");
  lull::Budget lines;
  for (const char* key : {"cpu", "cpu_p99", "mem_bw", "ram", "p95", "kv_per_session"})
    (void)lull::SetBudgetLine(key, text, &lines).ok();
  // What was understood can be written and read again.
  for (const lull::Budget& known : {budget.ok() ? *budget : lull::Budget(), lines}) {
    lull::Budget again;
    for (const lull::BudgetLine& line : lull::BudgetLines(known))
      if (!lull::SetBudgetLine(line.key, line.value, &again).ok()) __builtin_trap();
  }
  return 0;
}
