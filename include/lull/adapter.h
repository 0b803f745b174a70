// Low-rank adapters (LoRA): files that change a model's answers, a few MB each, chosen request by
// request. Many are held at once beside one copy of the model; a batch may mix them.
// Format: GGUF with general.type "adapter" and adapter.type "lora", tensors NAME.lora_a [k, rank]
// and NAME.lora_b [rank, rows] (as llama.cpp's convert_lora_to_gguf.py writes them).
// Immutable after Load, so thread-safe. Model and runtime outlive the adapter.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lull/model.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

struct AdapterInfo {
  std::string path;
  std::string name;      // general.name, else the file's name
  double alpha = 0.0;    // of the file; 0: products are taken as they are
  int64_t rank = 0;      // largest
  int64_t matrices = 0;  // that it changes
  int64_t bytes = 0;     // resident
  uint64_t id = 0;       // of this load, never used again by the process
};

class Adapter {
 public:
  // kInvalidModel where the file is none, or is not this model's (the tensor is named);
  // kUnsupported for adapters of embeddings and experts, and for other kinds than LoRA;
  // kBudgetImpossible where the declared RAM has no room for it.
  static Result<std::shared_ptr<const Adapter>> Load(const std::string& path, const Model& model,
                                                     Runtime& runtime);
  ~Adapter();

  const AdapterInfo& info() const;
  // Whether it was loaded for this model, as it is loaded now.
  bool Fits(const Model& model) const;

  struct Rep;  // for Lull's own modules
  explicit Adapter(std::unique_ptr<Rep> rep);
  const Rep& rep() const { return *rep_; }

 private:
  std::unique_ptr<Rep> rep_;
};

// At most so many in one request.
inline constexpr size_t kMaxAdapters = 16;

}  // namespace lull
