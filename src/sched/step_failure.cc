#include "sched/step_failure.h"

#include <exception>
#include <new>
#include <string>

namespace lull {
namespace {

Error Describe() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "the memory ran out in a step of the engine", "engine",
            "try again when less is running, or give the process more memory", 0.0};
  } catch (const std::exception& e) {
    return {ErrorCode::kInternal, std::string("an exception in a step of the engine: ") + e.what(),
            "engine", "", 0.0};
  } catch (...) {
    return {ErrorCode::kInternal, "an exception in a step of the engine", "engine", "", 0.0};
  }
}

}  // namespace

Error ErrorOfException() noexcept {
  try {
    return Describe();
  } catch (...) {  // these texts need no heap
    return {ErrorCode::kOutOfMemory, "out of memory", "engine", "", 0.0};
  }
}

}  // namespace lull
