// What a folder's config.json says, asked for by name, and where its answers go.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "convert/hf_folder.h"
#include "formats/gguf_writer.h"
#include "lull/status.h"

namespace lull {

// Names may be several, "num_local_experts|num_experts": the first that is there and not null.
class HfConfig {
 public:
  // The folder must outlive it.
  explicit HfConfig(const HfFolder& folder) : folder_(folder) {}

  const HfFolder& folder() const { return folder_; }
  const nlohmann::json& Field(const char* names) const;
  bool Has(const char* names) const { return !Field(names).is_null(); }
  Result<uint64_t> Uint(const char* names) const;  // at most 2^32 - 1
  Result<double> Number(const char* names) const;  // at most 1e30 of size

  Status Bad(const std::string& message, const std::string& key) const;
  Status Unsupported(const std::string& message, const std::string& key,
                     const std::string& hint = "") const;

 private:
  const HfFolder& folder_;
};

// Whether `name` is one of "a|b".
bool IsOneOf(const char* names, const std::string& name);

// Where a hook writes.
struct HfOutput {
  const char* architecture;
  GgufWriter& writer;
  std::string Key(const char* name) const { return std::string(architecture) + "." + name; }
  void AddUint(const char* name, uint64_t value) const {
    writer.AddUint32(Key(name), static_cast<uint32_t>(value));
  }
};

}  // namespace lull
