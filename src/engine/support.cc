#include "engine/support.h"

#include <algorithm>

#include "engine/kv_options.h"
#include "kernels/instruction_sets.h"
#include "model/architecture.h"
#include "quant/quant_format.h"
#include "tokenizer/family.h"
#include "tokenizer/pretokenizer.h"

namespace lull {
namespace {

std::vector<std::string> KeptOf(const ArchitectureTraits& traits) {
  const auto has = [&traits](Mixer mixer) {
    return std::find(traits.mixers.begin(), traits.mixers.end(), mixer) != traits.mixers.end();
  };
  const bool recurrent = std::any_of(traits.mixers.begin(), traits.mixers.end(), IsRecurrent);
  std::vector<std::string> kept;
  if (has(Mixer::kAttention)) kept.push_back("K and V");
  if (has(Mixer::kLatentAttention)) kept.push_back("latent");
  if (traits.windows) kept.push_back("window");
  if (traits.shared_kv) kept.push_back("shared");
  if (recurrent) kept.push_back("state");
  return kept;
}

ArchitectureSupport SupportOf(const Architecture& architecture) {
  const ArchitectureTraits traits = TraitsOf(architecture);
  ArchitectureSupport support;
  support.name = architecture.name;
  for (const Mixer mixer : traits.mixers) support.mixers.push_back(MixerName(mixer));
  support.kept = KeptOf(traits);
  if (traits.dense) support.feed_forward.push_back("dense");
  if (traits.experts) support.feed_forward.push_back("experts");
  if (traits.shared_expert) support.feed_forward.push_back("shared expert");
  if (traits.per_layer_embedding) support.feed_forward.push_back("per-layer embeddings");
  return support;
}

const char* ActivationsOf(ActivationForm form) {
  switch (form) {
    case ActivationForm::kF32:
      return "f32";
    case ActivationForm::kBlocks:
      return "q8_0";
    case ActivationForm::kBlocksOrSuperBlocks:
      return "q8_0, q8_k";
  }
  return "";
}

TypeSupport SupportOf(const QuantFormat& format) {
  TypeSupport support;
  support.name = format.name;
  support.bits_per_weight =
      8.0 * static_cast<double>(format.file_block_bytes) / static_cast<double>(format.block_k);
  support.block = static_cast<int64_t>(format.block_k);
  support.activations = ActivationsOf(format.activations);
  for (const Kernels* kernels : AllKernels())
    support.products.push_back(ProductPathName(ProductPathOf(kernels->isa, format)));
  return support;
}

}  // namespace

SupportTable Support() {
  SupportTable table;
  for (const Architecture* architecture : AllArchitectures())
    table.architectures.push_back(SupportOf(*architecture));
  for (const Kernels* kernels : AllKernels()) table.instruction_sets.push_back(kernels->name);
  size_t count = 0;
  const QuantFormat* const* formats = AllQuantFormats(&count);
  for (size_t i = 0; i < count; ++i) table.types.push_back(SupportOf(*formats[i]));
  table.kv_types = KvTypeNames();
  for (const std::string_view name : FamilyNames()) table.tokenizers.emplace_back(name);
  for (const std::string_view name : Pretokenizer::Names()) table.pretokenizers.emplace_back(name);
  return table;
}

}  // namespace lull
