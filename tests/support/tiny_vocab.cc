#include "tests/support/tiny_vocab.h"

#include <cstdio>
#include <string>
#include <vector>

namespace lull {
namespace {

// tokenizer.ggml.token_type values.
enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUnused = 5, kByte = 6 };

std::string Utf8(uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
  return {static_cast<char>(0xe0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 63)),
          static_cast<char>(0x80 | (code & 63))};
}

// GPT-2's table: printable bytes stand for themselves, the others for U+0100 and up, in byte order.
std::vector<std::string> ByteSymbols() {
  std::vector<std::string> symbols(256);
  uint32_t next = 256;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    symbols[b] = Utf8(printable ? b : next++);
  }
  return symbols;
}

// Pairs of lower-case letters, those after a space first: " t", " a", ..., "aa", "ab", ... With
// full_vocab as many pieces as there are ids: a pair and a letter, that and a letter, and so on.
std::vector<std::pair<std::string, std::string>> Pieces(const std::string& space, const TinyModelSpec& spec) {
  std::vector<std::pair<std::string, std::string>> pieces;
  const std::string letters = "etaoinshrdlucmfwypvbgkjqxz";
  for (const char b : letters) pieces.push_back({space, {b}});
  for (const char a : letters)
    for (const char b : letters) pieces.push_back({{a}, {b}});
  for (size_t i = 0; spec.full_vocab && pieces.size() < spec.vocab; ++i) {
    const std::string shorter = pieces[i].first + pieces[i].second;
    for (const char b : letters) pieces.push_back({shorter, {b}});
  }
  return pieces;
}

struct Vocab {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;

  void Add(std::string text, int32_t type, float score = 0.0f) {
    tokens.push_back(std::move(text));
    types.push_back(type);
    scores.push_back(score);
  }
  void FillTo(uint64_t size, float score) {
    while (tokens.size() < size) Add("<unused_" + std::to_string(tokens.size()) + ">", kUnused, score);
  }
};

constexpr char kChatTemplate[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% endif %}";

void AddSpecials(const TinyModelSpec& spec, uint32_t bos, uint32_t eos, uint32_t unknown, GgufWriter* writer) {
  writer->AddUint32("tokenizer.ggml.bos_token_id", bos);
  writer->AddUint32("tokenizer.ggml.eos_token_id", eos);
  writer->AddUint32("tokenizer.ggml.unknown_token_id", unknown);
  writer->AddBool("tokenizer.ggml.add_bos_token", spec.add_bos);
  writer->AddBool("tokenizer.ggml.add_eos_token", false);
  writer->AddBool("tokenizer.ggml.add_space_prefix", false);
  if (spec.chat_template) writer->AddString("tokenizer.chat_template", kChatTemplate);
}

}  // namespace

void AddByteLevelVocab(const TinyModelSpec& spec, GgufWriter* writer) {
  Vocab vocab;
  std::vector<std::string> merges;
  for (const char* control : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) vocab.Add(control, kControl);
  const std::vector<std::string> symbols = ByteSymbols();
  for (const std::string& symbol : symbols) vocab.Add(symbol, kNormal);
  for (const auto& [left, right] : Pieces(symbols[' '], spec)) {
    if (vocab.tokens.size() >= spec.vocab) break;
    vocab.Add(left + right, kNormal);
    merges.push_back(left + " " + right);
  }
  vocab.FillTo(spec.vocab, 0.0f);
  writer->AddString("tokenizer.ggml.model", "gpt2");
  writer->AddString("tokenizer.ggml.pre", spec.pre);
  writer->AddStringArray("tokenizer.ggml.tokens", vocab.tokens);
  writer->AddInt32Array("tokenizer.ggml.token_type", vocab.types);
  writer->AddStringArray("tokenizer.ggml.merges", merges);
  AddSpecials(spec, 1, 2, 0, writer);
}

void AddSentencePieceVocab(const TinyModelSpec& spec, GgufWriter* writer) {
  const std::string space = "\xe2\x96\x81";  // U+2581
  Vocab vocab;
  vocab.Add("<unk>", kUnknown);
  vocab.Add("<s>", kControl);
  vocab.Add("</s>", kControl);
  for (int b = 0; b < 256; ++b) {
    char text[8];
    snprintf(text, sizeof(text), "<0x%02X>", b);
    vocab.Add(text, kByte);
  }
  // Pairs score above single characters, so they merge; earlier pairs win.
  vocab.Add(space, kNormal, -1000.0f);
  vocab.Add("\n", kNormal, -1001.0f);
  for (char c = 'a'; c <= 'z'; ++c) vocab.Add({c}, kNormal, -1002.0f - static_cast<float>(c - 'a'));
  float score = -1.0f;
  for (const auto& [left, right] : Pieces(space, spec)) {
    if (vocab.tokens.size() >= spec.vocab) break;
    vocab.Add(left + right, kNormal, score);
    score -= 1.0f;
  }
  vocab.FillTo(spec.vocab, -2000.0f);
  writer->AddString("tokenizer.ggml.model", "llama");
  writer->AddString("tokenizer.ggml.pre", "default");
  writer->AddStringArray("tokenizer.ggml.tokens", vocab.tokens);
  writer->AddFloat32Array("tokenizer.ggml.scores", vocab.scores);
  writer->AddInt32Array("tokenizer.ggml.token_type", vocab.types);
  AddSpecials(spec, 1, 2, 0, writer);
}

}  // namespace lull
