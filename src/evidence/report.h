// Records for people: Markdown, a page of HTML that needs nothing else, and drawings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evidence/chain.h"

namespace lull {

// The share of the CPUs over a run's time as SVG: mean, lowest and highest 100 ms window of each
// stretch, and the budget; nothing where the record has no such series.
std::optional<std::string> CpuSvg(const nlohmann::json& record);

class EvidenceReport {
 public:
  // name: of the file, for the title. records: its text, a JSON object a line; other lines are left
  // out. last: only so many of the last records; 0: all.
  EvidenceReport(std::string name, const std::string& records, ChainReport chain, size_t last);

  std::string Markdown() const;
  std::string Html() const;
  // Of the record on this line of the file, from 1 on.
  std::optional<std::string> Svg(int64_t line) const;

  class Writer;  // of one format

 private:
  struct Entry {
    int64_t line = 0;
    nlohmann::json record;
  };

  void Write(Writer* out) const;

  std::string name_;
  std::vector<Entry> entries_;
  ChainReport chain_;
};

}  // namespace lull
