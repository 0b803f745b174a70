// Importance matrices: for every weight matrix of a model the mean squares of what it is multiplied
// with, which say how much an error in each of its columns costs. Files are llama.cpp's, both ways:
// GGUF with a tensor NAME.in_sum2 [columns, slices] and NAME.counts [1, slices] each, F32; and to
// read the older format too (a list of names and sums).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/exec_context.h"
#include "formats/gguf.h"
#include "lull/status.h"

namespace lull {

// Of one tensor; a slice is an expert.
struct Importance {
  std::vector<float> sums;    // [slices, columns], of squares
  std::vector<float> counts;  // [slices], rows that were summed; 1 number where all have as many

  // Whether it can be that of this tensor.
  bool Fits(const GgufTensor& tensor) const;
  // Means of a slice of that many columns, for all slices alike where there is one alone; empty
  // where no row went through it. Requires: Fits.
  std::vector<float> Means(uint64_t columns, uint64_t slice) const;
};

struct ImportanceMatrix {
  std::map<std::string, Importance> tensors;  // by tensor name
  std::vector<std::string> datasets;          // what texts it was made of
  uint32_t chunks = 0;                        // how many pieces of them
  uint32_t chunk_tokens = 0;                  // and how long each; 0: unknown

  // kInvalidInput where the file is damaged, or a number negative or not finite.
  static Result<ImportanceMatrix> Read(const std::string& path,
                                       const ExecContext& ctx = ExecContext());
  Status Write(const std::string& path, bool durable = true) const;
};

// The older format, for Read and its tests.
Result<ImportanceMatrix> ParseImportanceDat(std::span<const uint8_t> bytes,
                                            const std::string& where);

}  // namespace lull
