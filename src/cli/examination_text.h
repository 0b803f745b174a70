// What `lull inspect` says of a model file, but for its keys and tensors.
#pragma once

#include <string>

#include "cli/output.h"
#include "engine/examine.h"

namespace lull {

// kernels: that it was examined for.
std::string ExaminationText(const Examination& examination, const Kernels& kernels);
Json ExaminationJson(const Examination& examination, const Kernels& kernels);

}  // namespace lull
