// --lora and its kin, and the files they mean.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "lull/adapter.h"
#include "lull/model.h"
#include "lull/request.h"
#include "lull/runtime.h"
#include "lull/status.h"
#include "service/adapters.h"

namespace lull {

struct ScaledPath {
  std::string path;
  double scale = 1.0;
};
// "x.gguf:0.5"; errors name the flag.
Result<ScaledPath> ParseScaledPath(const std::string& text);

struct AdapterFlags {
  std::vector<std::string> plain, scaled;  // PATH; PATH:SCALE

  void AddTo(CLI::App& app);
  // Plain ones, then scaled ones.
  Result<std::vector<ScaledPath>> Paths() const;
  // Loaded, in that order.
  Result<std::vector<AdapterUse>> Load(const Model& model, Runtime& runtime) const;
};

// Of a server: those, applied to every request that says nothing else, and more.
struct ServedAdapterFlags {
  AdapterFlags applied;
  std::vector<std::string> named;  // NAME=PATH
  std::string folder;              // of what clients may load; "": nothing

  void AddTo(CLI::App& app);
  // Before anything is loaded: whether there is a model to adapt, and the folder.
  Status Check(bool own_model) const;
  std::unique_ptr<ServedAdapters> MakeServed(Runtime& runtime,
                                             ServedAdapters::IsModelFn is_model) const;
  Status AddAll(const Model& model, ServedAdapters* served) const;
};

// A GGUF adapter for this model, or a folder of PEFT's, converted on the way.
Result<std::shared_ptr<const Adapter>> OpenAdapter(const std::string& path, const Model& model,
                                                   Runtime& runtime);

// The file below folder that a client's path means, relative to it or absolute; symbolic links are
// followed first. kNotFound for all others, whether they are there or not.
Result<std::string> LocateBelow(const std::string& folder, const std::string& path);

}  // namespace lull
