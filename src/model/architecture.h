// An architecture is data: its name, the keys it reads, the tensors it has, the recipe of its
// block. One file under arch/ and one line in arch_list.inc make one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lull/status.h"
#include "model/hparams.h"
#include "model/weights.h"

namespace lull {

// One metadata key, "<architecture>.<key>" in the file. What it may hold is checked here once.
struct HparamSpec {
  using Field = std::variant<int64_t Hparams::*, float Hparams::*, std::vector<int64_t> Hparams::*>;
  const char* key;
  Field field;  // a vector takes a number for all layers, or an array with one per layer
  bool required;
  double min, max;
  int64_t multiple_of = 1;  // integers
};

// A key that would change the numbers, and which is not implemented: only this value is accepted.
struct NeutralKey {
  const char* key;
  double value;
};

using Dim = int64_t (*)(const Hparams&, const LayerPlan&);

enum class When {
  kModel,
  kEveryLayer,
  kAttention,
  kRecurrent,
  kDense,
  kMoe,
  kSharedExpert,
  kOwnKv,
  kSharedKv,
  kLowRankQ,
  kPerLayer,
  kModelPerLayer
};

// One tensor. A row is passed over where an earlier one has filled its role in the layer: files may
// have either. A target of std::monostate: files may have it, and it is not read. "%d" in the name
// is the layer. Dims as in GGUF: the row length first.
struct TensorSpec {
  using Target =
      std::variant<std::monostate, PackedMatrix ModelWeights::*, const float * ModelWeights::*,
                   PackedMatrix LayerWeights::*, const float * LayerWeights::*,
                   std::vector<PackedMatrix> LayerWeights::*>;
  const char* name;
  When when;
  bool required;
  Target target;
  Dim dims[3];  // null: no such dimension
  // Where several roles lie in one tensor: this one has dims[1] of its `all` rows (a vector dims[0]
  // of its values) from `begin` on. Null: all of it.
  Dim begin = nullptr, all = nullptr;
};

// The gated activation of the feed-forward: silu(g) u, gelu(g) u, and gpt-oss's clamped
// g sigmoid(1.702 g) (u + 1).
enum class GateFn { kSilu, kGelu, kClampedSilu };
enum class RouterFn { kSoftmax = 1, kSigmoid = 2 };

struct Architecture {
  const char* name;                                // general.architecture
  std::span<const HparamSpec> hparams;             // beside kCommonHparams
  std::span<const NeutralKey> neutral_keys = {};   // beside kCommonNeutralKeys
  std::span<const char* const> ignored_keys = {};  // beside kCommonIgnoredKeys
  std::span<const TensorSpec> tensors;
  bool rope_neox;                 // pairs (i, i + half); else (2i, 2i + 1)
  bool gated_attention = false;   // Q's projection gives each head's gate beside it
  bool latent_attention = false;  // keys and values of a width of their own, in one latent
  bool attention_free = false;    // no layer has attention, and files say nothing of it
  bool norm_values = false;       // each head of V is normed, without a weight
  bool layer_norm = false;        // the residual's norms subtract the mean
  bool whole_head_norms = false;  // of Q and K: over all heads together, not head by head
  GateFn gate;
  RouterFn router = RouterFn::kSoftmax;  // where the file does not say
  // Fills what is special: layer plans beyond the common ones, scales. After the common derivation.
  Status (*plan)(Hparams& hparams) = nullptr;
};

// null where unknown. The names of all, for messages: "llama, gemma3, ...".
const Architecture* FindArchitecture(std::string_view name);
std::span<const Architecture* const> AllArchitectures();  // as arch_list.inc has them

// What layers an architecture's files may have, as its tables say.
struct ArchitectureTraits {
  std::vector<Mixer> mixers;
  bool windows = false;  // attention with a sliding window
  bool shared_kv = false;
  bool dense = false;  // feed-forward networks of one expert
  bool experts = false;
  bool shared_expert = false;
  bool per_layer_embedding = false;
};
ArchitectureTraits TraitsOf(const Architecture& architecture);
const char* MixerName(Mixer mixer);  // "attention", "Mamba 2", ...
std::string ArchitectureNames();

}  // namespace lull
