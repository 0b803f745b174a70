// Texts in pieces of one context each, as llama.cpp cuts them, and the perplexity of a model on
// them: what several verbs share.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lull/model.h"
#include "lull/request.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

struct TextFlags {
  int64_t ctx_tokens = 512;
  int64_t max_chunks = 0;  // 0: all

  void AddTo(CLI::App& app);
};

// One trailing newline is dropped, control tokens are not recognised, every piece starts with BOS
// where the file asks for one.
class TextChunks {
 public:
  // kUsage where the text has not `least` pieces.
  static Result<TextChunks> Read(const Model& model, const std::string& file,
                                 const TextFlags& flags, size_t least);
  size_t size() const { return count_; }
  std::span<const int32_t> operator[](size_t i) const {
    return std::span(tokens_).subspan(i * ctx_, ctx_);
  }

 private:
  std::vector<int32_t> tokens_;
  size_t ctx_ = 0;
  size_t count_ = 0;
};

struct PerplexityOptions {
  TextFlags text;
  std::string kv_type = "f16";
  std::string activation_type = "q8_0";
  std::vector<AdapterUse> adapters;
  const std::atomic<bool>* cancelled = nullptr;
  std::string label = "perplexity";  // of the progress bar
};

struct Perplexity {
  double value = 0.0;
  int64_t tokens = 0;  // scored: the second half of each piece
  size_t chunks = 0;
};

// Draws a progress bar.
Result<Perplexity> MeasurePerplexity(const Model& model, Runtime& runtime, const std::string& file,
                                     const PerplexityOptions& options);

}  // namespace lull
