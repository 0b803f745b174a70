// safetensors_dump FILE: a line for each tensor, in the order of the data: name, type, shape joined
// by "x", SHA-256 of its bytes; tabs between.
#include <cstdio>
#include <string>

#include "base/sha256.h"
#include "formats/safetensors.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto file = lull::SafetensorsFile::Open(argv[1]);
  if (!file.ok()) {
    fprintf(stderr, "%s\n", file.status().ToString().c_str());
    return 3;
  }
  for (const lull::SafetensorsTensor& tensor : (*file)->tensors()) {
    std::string shape;
    for (const uint64_t size : tensor.shape) {
      if (!shape.empty()) shape += 'x';
      shape += std::to_string(size);
    }
    lull::Sha256 sha;
    sha.Update(tensor.data.data(), tensor.data.size());
    printf("%s\t%s\t%s\t%s\n", tensor.name.c_str(), tensor.dtype.c_str(), shape.c_str(),
           sha.Hex().c_str());
  }
  return 0;
}
