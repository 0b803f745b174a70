// The shapes of published models, by their public configurations, as specs of random-weight models:
// speed, memory and load time at real size without a download.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lull/status.h"
#include "tests/support/tiny_model.h"

namespace lull {

struct ModelShape {
  const char* name;
  TinyModelSpec spec;  // complete but for type and seed
};

const std::vector<ModelShape>& ModelShapes();

// The first `layers` layers of a shape, 0: all of them. Error where there is no such shape, naming
// those there are, or where it has fewer layers.
Result<TinyModelSpec> SpecOfShape(const std::string& name, uint64_t layers = 0);

}  // namespace lull
