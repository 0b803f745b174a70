// What Lull supports, as its registries have it: architectures, weight types, instruction sets,
// tokenizers, KV types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lull {

struct ArchitectureSupport {
  std::string name;
  std::vector<std::string> mixers;        // "attention", "Mamba 2"
  std::vector<std::string> kept;          // of a sequence: "K and V", "latent", "state"
  std::vector<std::string> feed_forward;  // "dense", "experts", "shared expert"
};

struct TypeSupport {
  std::string name;
  double bits_per_weight = 0;         // in the file
  int64_t block = 0;                  // weights in one
  std::string activations;            // "f32", "q8_0", "q8_0, q8_k": what --activation-type offers
  std::vector<std::string> products;  // on each of `instruction_sets`: "f32", "int8", "int8 tiles"
};

struct SupportTable {
  std::vector<ArchitectureSupport> architectures;
  std::vector<std::string> instruction_sets;  // slowest first
  std::vector<TypeSupport> types;
  std::vector<std::string> kv_types;
  std::vector<std::string> tokenizers;     // values of tokenizer.ggml.model
  std::vector<std::string> pretokenizers;  // values of tokenizer.ggml.pre
};

SupportTable Support();

}  // namespace lull
