// What a model_type of config.json is in GGUF: a table of keys and of tensors. Adding an
// architecture is a row in hf_architecture.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/hf_config.h"
#include "convert/hf_folder.h"
#include "convert/passage.h"
#include "lull/status.h"

namespace lull {

struct HfKey {
  // kInverseRoot: a float, one by its square root.
  enum class Kind { kUint, kFloat, kInverseRoot };
  const char* config;  // "a|b": the first that is there
  const char* gguf;    // behind "<architecture>."
  Kind kind = Kind::kUint;
  bool required = true;
};

// {} stands for the layer in both names; a second one for the expert: those of a layer become one
// tensor, in their order. Several rows may take of one tensor.
struct HfTensor {
  // Rotated rows of Q and K: each head's first and second half interleaved, as GGUF's "llama" and
  // its kin rotate neighbours.
  // kTiled...: heads of V, of which each group shares a K, in the order in which GGUF repeats
  // those: rows; rows behind those of Q and K; columns. Of latent attention's second K and V
  // matrix: each head's K, turned, and its V.
  enum class Rows {
    kAsTheyAre,
    kInterleavedQ,
    kInterleavedK,
    kFirstHalf,
    kSecondHalf,
    kEven,
    kOdd,
    kLatentK,
    kLatentV,
    kTiledV,
    kTiledBehindQk,
    kTiledColumns
  };
  // Of a vector [n]: a matrix of n rows of one, or of one row for each group of a state space.
  // kValues: of a matrix, rows are chosen among the values of each.
  enum class Shape { kSame, kColumn, kGroups, kValues };
  const char* name;
  const char* gguf;  // null: read with another
  Rows rows = Rows::kAsTheyAre;
  HfValues values = HfValues::kSame;
  bool f32 = false;  // whatever the type asked for
  Shape shape = Shape::kSame;
};

// A key that changes the numbers where it is not this (JSON text). Missing is the same.
struct HfNeutral {
  const char* config;
  const char* value;
};

struct HfArchitecture {
  const char* model_type;
  const char* gguf;             // general.architecture
  std::span<const HfKey> keys;  // beside those of all
  std::span<const HfTensor> tensors;
  std::span<const HfNeutral> neutral;
  // What the library takes for keys that config.json lacks, as JSON text.
  const char* defaults = "{}";
  // Layers with a window: all but every so many; 0: no layers of two kinds.
  uint64_t window_period = 0;
  bool local_rope = false;                     // those rotate by a base of their own
  const char* rotated_width = nullptr;         // the key of the width that turns, if not a head's
  const char* layer_types = "full_attention";  // "a|b": what layer_types may hold
  bool attention = true;                       // false: the common keys are not asked for
  const char* needs = nullptr;                 // a number that is not 0, else a later row applies
  // Gives the config keys that the rows read, before anything else.
  Status (*prepare)(HfFolder* folder) = nullptr;
  // Keys and checks that no row says, and the names of what it reads.
  Status (*more)(const HfConfig& config, HfOutput* out) = nullptr;
  std::span<const char* const> more_reads{};
};

// The row of the folder's model_type; the folder gets what its config lacks, and of a folder of
// several models the one of text is left. kUnsupported where there is no row, or the config says
// something that would change the model's numbers and that is not converted.
Result<const HfArchitecture*> FindHfArchitecture(HfFolder* folder);

// The rows that become this general.architecture: dense and with experts, for example.
std::vector<const HfArchitecture*> HfArchitecturesOf(std::string_view gguf);
// What a tensor or module of a folder of several models is called in one that reads text alone; "":
// it is not of that part.
std::string HfTextName(const std::string& name);
// The numbers in the holes of "a.{}.b.{}.c" that make it `name`; false where none do.
bool MatchHfName(std::string_view pattern, std::string_view name, std::vector<uint64_t>* numbers);

// The tensor that the row's becomes in the layer of the first of those numbers.
std::string HfTargetName(const HfTensor& row, const std::vector<uint64_t>& numbers);

// Of all architectures.
std::span<const HfKey> HfCommonKeys();

}  // namespace lull
