#include "tests/support/malformed.h"

#include <map>
#include <mutex>

namespace lull {
namespace {

// Bases differ by a few seeds only, so their bytes are built once each. Returned by value.
Result<std::string> BaseBytes(TinyModelSpec spec, uint64_t seed) {
  static std::mutex mutex;
  static std::map<std::string, std::string> cache;
  spec.seed = seed % 3;
  const std::string name = spec.arch + spec.type + std::to_string(spec.seed);
  const std::lock_guard lock(mutex);
  if (const auto it = cache.find(name); it != cache.end()) return it->second;
  const TemporaryDirectory directory;
  LULL_RETURN_IF_ERROR(WriteTinyModel(spec, directory.File("base.gguf")));
  return cache[name] = ReadFileBytes(directory.File("base.gguf"));
}

}  // namespace

const std::vector<MalformedClass>& MalformedClasses() {
  static const std::vector<MalformedClass> all = [] {
    std::vector<MalformedClass> classes;
    AppendMalformedHeaders(&classes);
    AppendMalformedKeys(&classes);
    AppendMalformedTensors(&classes);
    AppendMalformedData(&classes);
    AppendMalformedVocabs(&classes);
    AppendMalformedHparams(&classes);
    return classes;
  }();
  return all;
}

Status WriteMalformed(const MalformedClass& malformed, uint64_t seed, const std::string& path) {
  TestRandom random(HashText(malformed.name, seed));
  if (malformed.edit_model) {
    TinyModelSpec spec = malformed.base;
    spec.seed = seed % 3;
    GgufWriter writer;
    LULL_RETURN_IF_ERROR(BuildTinyModel(spec, &writer));
    malformed.edit_model(random, &writer);
    writer.set_durable(false);
    return writer.Write(path);
  }
  LULL_ASSIGN_OR_RETURN(const std::string base, BaseBytes(malformed.base, seed));
  RawGguf parts = RawGguf::Parse(base);
  if (malformed.edit_parts) malformed.edit_parts(random, &parts);
  std::string bytes = parts.Serialize();
  if (malformed.edit_bytes) malformed.edit_bytes(random, parts, &bytes);
  WriteFileBytes(path, bytes);
  return Status::Ok();
}

}  // namespace lull
