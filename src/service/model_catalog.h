// The models that can be loaded. The server knows names and files; where they come from (a store, a
// folder, a registry) is the business of who implements this.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lull/status.h"

namespace lull {

// A model file on disk.
struct AvailableModel {
  std::string name;  // "smollm2"; what requests call it
  std::string path;
  int64_t bytes = 0;
  int64_t modified_unix_s = 0;
  std::string sha256;   // of the file, hexadecimal; "" where nobody knows it
  std::string license;  // one line; "" where nobody knows it
};

// Thread-safe. A name is never taken for a path: requests come from outside.
class ModelCatalog {
 public:
  // Bytes of a step, of total (0: unknown); false: give up.
  using ProgressFn =
      std::function<bool(const std::string& step, uint64_t done_bytes, uint64_t total_bytes)>;

  virtual ~ModelCatalog() = default;
  // What is on disk. May read folders, so not for a thread that must not wait.
  virtual std::vector<AvailableModel> List() const = 0;
  // Its name may be another than the one asked for, and finds it too. kNotFound says how to get it.
  virtual Result<AvailableModel> Find(const std::string& name) const = 0;
  // What Pull would fetch, without fetching or asking anybody: bytes 0 and no digest where only the
  // place it comes from knows them; kNotFound.
  virtual Result<AvailableModel> Offer(const std::string& name) const = 0;
  // Fetches and verifies, and returns what is there then, under its full name; nothing to do where
  // it is there. kCancelled where progress said so.
  virtual Result<AvailableModel> Pull(const std::string& name, const ProgressFn& progress) = 0;
  // Another name for the same file. kUsage where it is taken or none.
  virtual Status Copy(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& name) = 0;
};

// "smollm2:latest" and "smollm2" are one model, and so for Ollama's clients.
std::string CanonicalModelName(std::string name);

}  // namespace lull
