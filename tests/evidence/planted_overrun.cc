// Linked into lull_planted alone: the process's own CPU meter reads a fiftieth too little, so that its governor keeps
// to a budget that is exceeded by 2 %. Only a measurement from outside can tell.
#include <cstdint>

// The linker's --wrap of lull::os::ProcessCpuNs() (cmake/modules.cmake).
extern "C" int64_t __real__ZN4lull2os12ProcessCpuNsEv();
extern "C" int64_t __wrap__ZN4lull2os12ProcessCpuNsEv() {
  constexpr double kOverrun = 1.02;
  return static_cast<int64_t>(static_cast<double>(__real__ZN4lull2os12ProcessCpuNsEv()) / kOverrun);
}
