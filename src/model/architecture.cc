#include "model/architecture.h"

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

}  // namespace

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture* architecture : kArchitectures)
    if (name == architecture->name) return architecture;
  return nullptr;
}

std::string ArchitectureNames() {
  std::string names;
  for (const Architecture* architecture : kArchitectures)
    names += (names.empty() ? "" : ", ") + std::string(architecture->name);
  return names;
}

}  // namespace lull
