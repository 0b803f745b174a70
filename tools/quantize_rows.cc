// quantize_rows TYPE K ROWS.f32 OUT.bin [IMPORTANCE.f32]: rows of K floats to file blocks; prints
// the seconds it took. What tools/compare_quantizers.py compares with llama.cpp.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "quantize/quantize.h"

namespace {

std::vector<float> ReadFloats(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<float> floats(bytes.size() / sizeof(float));
  memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  return floats;
}

}  // namespace

int main(int argc, char** argv) {
  const lull::QuantFormat* format = argc > 1 ? lull::FindQuantFormatByName(argv[1]) : nullptr;
  if (argc < 5 || argc > 6 || format == nullptr) {
    fprintf(stderr, "usage: quantize_rows TYPE K ROWS.f32 OUT.bin [IMPORTANCE.f32]\n");
    return 2;
  }
  const std::vector<float> rows = ReadFloats(argv[3]);
  const std::vector<float> importance = argc > 5 ? ReadFloats(argv[5]) : std::vector<float>();
  std::vector<uint8_t> out(rows.size() / format->block_k * format->file_block_bytes);
  const auto start = std::chrono::steady_clock::now();
  const lull::Status status = lull::QuantizeRows(
      *format, rows, static_cast<size_t>(std::strtoull(argv[2], nullptr, 10)), importance, out);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (!status.ok()) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    return 3;
  }
  std::ofstream file(argv[4], std::ios::binary);
  file.write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size()));
  printf("%.6f\n", took.count());
  return file.good() ? 0 : 1;
}
