#include "model/architecture.h"

#include <algorithm>

namespace lull {
namespace arch {
#define LULL_ARCH(name) extern const Architecture name;
#include "model/arch_list.inc"
#undef LULL_ARCH
}  // namespace arch

namespace {

constexpr const Architecture* kArchitectures[] = {
#define LULL_ARCH(name) &arch::name,
#include "model/arch_list.inc"
#undef LULL_ARCH
};

bool Has(const Architecture& architecture, TensorSpec::Target target) {
  return std::any_of(architecture.tensors.begin(), architecture.tensors.end(),
                     [&target](const TensorSpec& spec) { return spec.target == target; });
}

bool Has(const Architecture& architecture, When when) {
  return std::any_of(architecture.tensors.begin(), architecture.tensors.end(),
                     [when](const TensorSpec& spec) { return spec.when == when; });
}

bool Reads(const Architecture& architecture, HparamSpec::Field field) {
  return std::any_of(architecture.hparams.begin(), architecture.hparams.end(),
                     [&field](const HparamSpec& spec) { return spec.field == field; });
}

// Each recurrent mixer has weights that no other has.
std::vector<Mixer> MixersOf(const Architecture& architecture) {
  const auto has = [&architecture](TensorSpec::Target target) { return Has(architecture, target); };
  std::vector<Mixer> mixers;
  if (architecture.latent_attention)
    mixers.push_back(Mixer::kLatentAttention);
  else if (has(&LayerWeights::q))
    mixers.push_back(Mixer::kAttention);
  if (has(&LayerWeights::delta_alpha))
    mixers.push_back(Mixer::kDeltaNet);
  else if (has(&LayerWeights::ssm_x))
    mixers.push_back(Mixer::kMamba);
  else if (has(&LayerWeights::ssm_a))
    mixers.push_back(Mixer::kMamba2);
  else if (has(&LayerWeights::conv))
    mixers.push_back(Mixer::kShortConv);
  return mixers;
}

}  // namespace

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture* architecture : kArchitectures)
    if (name == architecture->name) return architecture;
  return nullptr;
}

std::span<const Architecture* const> AllArchitectures() { return kArchitectures; }

ArchitectureTraits TraitsOf(const Architecture& architecture) {
  ArchitectureTraits traits;
  traits.mixers = MixersOf(architecture);
  traits.windows = Reads(architecture, &Hparams::window);
  traits.shared_kv = Has(architecture, When::kSharedKv);
  traits.dense = Has(architecture, &LayerWeights::gate);
  traits.experts = Has(architecture, When::kMoe);
  traits.shared_expert = Has(architecture, When::kSharedExpert);
  traits.per_layer_embedding = Has(architecture, When::kPerLayer);
  return traits;
}

const char* MixerName(Mixer mixer) {
  switch (mixer) {
    case Mixer::kAttention:
      return "attention";
    case Mixer::kLatentAttention:
      return "latent attention";
    case Mixer::kShortConv:
      return "short convolution";
    case Mixer::kMamba:
      return "Mamba";
    case Mixer::kMamba2:
      return "Mamba 2";
    case Mixer::kDeltaNet:
      return "gated delta net";
  }
  return "";
}

std::string ArchitectureNames() {
  std::string names;
  for (const Architecture* architecture : kArchitectures)
    names += (names.empty() ? "" : ", ") + std::string(architecture->name);
  return names;
}

}  // namespace lull
