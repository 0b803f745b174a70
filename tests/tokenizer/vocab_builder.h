// Small vocabulary files written on the spot.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace lull {

enum FileTokenType {
  kTypeNormal = 1,
  kTypeUnknown = 2,
  kTypeControl = 3,
  kTypeUser = 4,
  kTypeUnused = 5,
  kTypeByte = 6
};

// How byte-level vocabularies write a byte.
inline std::string ByteLevelText(std::string_view bytes) {
  std::string result;
  for (char c : bytes) {
    const uint32_t byte = static_cast<uint8_t>(c);
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    uint32_t code = byte;
    if (!printable) {
      code = 0x100;
      for (uint32_t b = 0; b < byte; ++b)
        code += !((b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD));
    }
    AppendUtf8(code, &result);
  }
  return result;
}

struct VocabBuilder {
  std::string model = "gpt2";
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;
  std::vector<std::string> merges;
  GgufWriter writer;  // further keys

  int32_t Add(std::string text, int32_t type = kTypeNormal, float score = 0.0f) {
    tokens.push_back(std::move(text));
    types.push_back(type);
    scores.push_back(score);
    return static_cast<int32_t>(tokens.size()) - 1;
  }
  // Ids 0 to 255.
  void AddByteLevelAlphabet() {
    for (int byte = 0; byte < 256; ++byte)
      Add(ByteLevelText(std::string(1, static_cast<char>(byte))));
  }
  // Ids from the current size on.
  void AddByteTokens() {
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof(text), "<0x%02X>", byte);
      Add(text, kTypeByte);
    }
  }
  // "left right", and their concatenation as a token.
  int32_t AddMerge(const std::string& left, const std::string& right) {
    merges.push_back(ByteLevelText(left) + " " + ByteLevelText(right));
    return Add(ByteLevelText(left + right));
  }

  Status Write(const std::string& path) {
    writer.set_durable(false);
    if (!model.empty()) writer.AddString("tokenizer.ggml.model", model);
    if (!tokens.empty()) writer.AddStringArray("tokenizer.ggml.tokens", tokens);
    if (!types.empty()) writer.AddInt32Array("tokenizer.ggml.token_type", types);
    if (!scores.empty()) writer.AddFloat32Array("tokenizer.ggml.scores", scores);
    if (!merges.empty()) writer.AddStringArray("tokenizer.ggml.merges", merges);
    return writer.Write(path);
  }

  Result<std::unique_ptr<Tokenizer>> Build() {
    const std::string path = (std::filesystem::temp_directory_path() /
                              ("lull_vocab_" + std::to_string(getpid()) + ".gguf"))
                                 .string();
    LULL_RETURN_IF_ERROR(Write(path));
    Result<std::unique_ptr<GgufFile>> file = GgufFile::Open(path);
    std::filesystem::remove(path);
    if (!file.ok()) return file.error();
    return Tokenizer::Create(**file);
  }
};

inline std::vector<int32_t> Ids(const Tokenizer& tokenizer, std::string_view text,
                                bool parse_special = true) {
  TokenizeOptions options;
  options.parse_special = parse_special;
  const auto ids = tokenizer.Encode(ExecContext(), text, options);
  EXPECT_TRUE(ids.ok()) << ids.status().ToString();
  return ids.ok() ? *ids : std::vector<int32_t>();
}

using TokenIds = std::vector<int32_t>;

}  // namespace lull
