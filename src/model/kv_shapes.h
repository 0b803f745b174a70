// What each layer keeps of a sequence, as the cache wants to know it.
#pragma once

#include <vector>

#include "cache/kv_layout.h"
#include "model/hparams.h"

namespace lull {

std::vector<KvLayerShape> KvShapes(const Hparams& h);

}  // namespace lull
