// libFuzzer target: any bytes as a GGUF file. Built by the preset "fuzz".
//   build/fuzz/gguf_fuzz -max_len=65536 CORPUS_FOLDER
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "formats/gguf.h"
#include "tests/support/read_everything.h"

// The reader takes a path, so the input is an anonymous file in memory.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("gguf_fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (fd < 0 || ftruncate(fd, 0) != 0) return 0;
  if (pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  const auto file = lull::GgufFile::Open(path);
  if (!file.ok()) return 0;
  return lull::ReadEverything(**file) == 0 ? -1 : 0;
}
