// Sums of squares of what enters each weight matrix while texts run through a model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "lull/model.h"
#include "lull/runtime.h"
#include "lull/status.h"
#include "quantize/importance.h"

namespace lull {

// Of one thread at a time.
class ImportanceCollector {
 public:
  // context_tokens: of the longest text. Model and runtime outlive it. Matrices of layers alone;
  // of one that the file has fused, the first part, since all parts read the same.
  static Result<std::unique_ptr<ImportanceCollector>> Create(const Model& model, Runtime& runtime,
                                                             int64_t context_tokens);
  virtual ~ImportanceCollector() = default;

  // Runs one text from an empty context. The sums do not depend on threads or instruction set.
  virtual Status Add(std::span<const int32_t> tokens) = 0;
  // Of all texts so far; chunks and datasets are the caller's.
  virtual ImportanceMatrix Matrix() const = 0;
};

}  // namespace lull
