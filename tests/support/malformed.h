// Eighty ways in which a model file can be wrong, each in as many variants as there are seeds.
// The stage says which part of Lull has to refuse the file: everything before it must accept it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"
#include "lull/status.h"
#include "tests/support/random_weights.h"
#include "tests/support/raw_gguf.h"

namespace lull {

enum class MalformedStage {
  kFile,     // GgufFile::Open
  kVocab,    // the tokenizer
  kHparams,  // the model loader
};

struct MalformedClass {
  std::string name;   // e.g. "key_length_wraps"
  std::string group;  // header, key, tensor, data, vocab, hparam
  MalformedStage stage = MalformedStage::kFile;
  // kVocab, kHparams: keys or tensors, one of which the error has to name; a family's prefix will do.
  std::vector<std::string> places;
  // What it starts from.
  TinyModelSpec base;
  // Exactly one of the three is set.
  std::function<void(TestRandom&, RawGguf*)> edit_parts;
  std::function<void(TestRandom&, const RawGguf&, std::string*)> edit_bytes;  // of the serialized file
  std::function<void(TestRandom&, GgufWriter*)> edit_model;
};

// 10 header, 16 key, 20 tensor, 12 data, 12 vocab and 10 hparam classes.
const std::vector<MalformedClass>& MalformedClasses();

// Writes variant `seed` of a class. The same class and seed give the same bytes.
Status WriteMalformed(const MalformedClass& malformed, uint64_t seed, const std::string& path);

// Parts of the table, in malformed_file.cc and malformed_model.cc.
void AppendMalformedHeaders(std::vector<MalformedClass>* classes);
void AppendMalformedKeys(std::vector<MalformedClass>* classes);
void AppendMalformedTensors(std::vector<MalformedClass>* classes);
void AppendMalformedData(std::vector<MalformedClass>* classes);
void AppendMalformedVocabs(std::vector<MalformedClass>* classes);
void AppendMalformedHparams(std::vector<MalformedClass>* classes);

}  // namespace lull
