// libFuzzer target: any bytes as a file of records with its head, verified and reported. Built by
// the preset "fuzz".
#include <cstddef>
#include <cstdint>
#include <string>

#include "evidence/report.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t middle = text.find("\n\n");
  const std::string records = text.substr(0, middle);
  std::optional<std::string> head;
  if (middle != std::string::npos) head = text.substr(middle + 2);
  const lull::ChainReport chain = lull::VerifyChainText(records, head, "");
  const lull::EvidenceReport report("fuzz", records, chain, 0);
  return report.Markdown().empty() || report.Html().empty() ? -1 : 0;
}
