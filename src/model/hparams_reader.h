#pragma once

#include "formats/gguf.h"
#include "lull/status.h"
#include "model/architecture.h"
#include "model/hparams.h"

namespace lull {

// Reads and checks every "<architecture>.*" key of the file. A key that is neither in the schema,
// nor at its neutral value, nor known to be harmless, is refused by name.
Result<Hparams> ReadHparams(const GgufFile& file, const Architecture& architecture);

}  // namespace lull
