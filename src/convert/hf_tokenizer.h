// tokenizer.json as the keys tokenizer.ggml.* of a GGUF file.
#pragma once

#include <cstdint>

#include "convert/hf_folder.h"
#include "formats/gguf_writer.h"
#include "lull/status.h"

namespace lull {

// vocab: rows of the embedding; ids that have no text become unused tokens. kUnsupported for a
// tokenizer that is not byte-level BPE with a known pre-tokenizer: a near one would make other
// tokens without a word.
Status AddHfTokenizer(const HfFolder& folder, uint64_t vocab, GgufWriter* writer);

}  // namespace lull
