// A model file as another of other types: streamed, every other byte kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/exec_context.h"
#include "formats/gguf.h"
#include "lull/status.h"
#include "quantize/importance.h"
#include "quantize/type_rules.h"

namespace lull {

struct QuantizeOptions {
  TypeRules types;
  const ImportanceMatrix* importances = nullptr;  // null: every column counts alike
  std::string importances_path;                   // as the file's keys name it
  // Bytes of the file written so far, and of all; false gives up, which leaves no file.
  std::function<bool(uint64_t done, uint64_t total)> progress;
  bool durable = true;  // false: do not wait for the disk
};

struct QuantizePlan {
  TypeChoices choices;
  uint64_t result_bytes = 0;  // of all tensors
  uint64_t quantised = 0;     // tensors that change their type
  // Of these, those that the importances say nothing of, embeddings aside. They are quantised as if
  // every column counted alike.
  std::vector<std::string> without_importance;
};

// What WriteQuantized would do. The plan points into the file. Errors: those of
// CheckIsModel and ChooseTypes;
// kInvalidInput where the importances are another model's.
Result<QuantizePlan> PlanQuantize(const GgufFile& file, const QuantizeOptions& options);

// Writes the file at path when all of it is there; one file, also where the source is split. Keys
// keep order and bytes but for general.file_type and general.quantization_version, split.* go, and
// quantize.imatrix.* tell of importances. Weights pass through a MiB at a time, on the context's
// pool; the bytes do not depend on its threads. kInvalidModel where a weight is not finite.
Status WriteQuantized(const ExecContext& ctx, const GgufFile& file, const QuantizePlan& plan,
                      const QuantizeOptions& options, const std::string& path);

}  // namespace lull
