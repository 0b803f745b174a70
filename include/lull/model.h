// A loaded model: weights in the layout the kernels read, tokenizer, chat template.
// Immutable after Load, so thread-safe. The runtime outlives the model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lull/grammar.h"
#include "lull/request.h"
#include "lull/runtime.h"
#include "lull/status.h"

namespace lull {

struct ModelInfo {
  std::string path;
  std::string name;          // general.name, else the file's name
  std::string architecture;  // "llama"
  std::string file_type;     // "Q4_K_M": the file's own word, else the type of most bytes
  int64_t vocab_size = 0;
  int64_t context_tokens = 0;  // what the model was trained for
  int64_t num_layers = 0;
  int64_t embedding_length = 0;
  int64_t parameters = 0;
  int64_t file_bytes = 0;
  int64_t weight_bytes = 0;            // packed, resident
  int64_t active_bytes_per_token = 0;  // weight bytes one decoded token reads
  int64_t macs_per_token = 0;          // multiply-accumulates of the weight matrices
  int64_t kv_bytes_per_token = 0;      // f16, full-attention layers
  double load_s = 0.0;
  bool mapped_pack = false;  // the weights are mapped from the pack file beside the model's
  std::string pack_note;     // why a pack file that is there is not used; "" otherwise
};

struct LoadOptions {
  bool use_pack = true;  // map the pack file where one fits
};

struct TokenizeOptions {
  bool add_bos = false;       // put the file's BOS first where the file asks for one
  bool force_bos = false;     // put BOS first whatever the file says
  bool add_end = false;       // put last what the file's texts end with, if it asks: EOS, [SEP]
  bool parse_special = true;  // recognise control tokens written out in the text
};

// Pieces of text from tokens, never half a UTF-8 character. One per stream; not thread-safe.
class TextStream {
 public:
  virtual ~TextStream() = default;
  virtual std::string Push(int32_t token) = 0;  // the text that became complete, may be empty
  virtual std::string Finish() = 0;             // what is left, malformed bytes as U+FFFD
};

class Model {
 public:
  // Loading and repacking run under the runtime's budget.
  static Result<std::unique_ptr<Model>> Load(const std::string& path, Runtime& runtime,
                                             const LoadOptions& options = {});
  ~Model();

  const ModelInfo& info() const;

  // Bytes verbatim; invalid UTF-8 is replaced as the file's tokenizer does.
  Result<std::vector<int32_t>> Tokenize(std::string_view text,
                                        const TokenizeOptions& options) const;
  // A prompt's tokens, control tokens recognised: one BOS in front where the file asks for one,
  // never two (a chat template may have written it already). kUsage where nothing is left.
  Result<std::vector<int32_t>> TokenizePrompt(std::string_view text) const;
  // special: control tokens are written out, else they are empty.
  std::string Detokenize(const std::vector<int32_t>& tokens, bool special) const;
  std::unique_ptr<TextStream> NewTextStream(bool special) const;
  bool IsEndOfGeneration(int32_t token) const;
  bool adds_bos() const;      // whether the file asks for BOS
  int32_t bos_token() const;  // -1 where the file has none

  bool has_chat_template() const;
  const std::string& chat_template() const;  // its source; "" where the file has none
  // messages_json: an array of {"role","content",...}; extra_json: further template variables (an
  // object: tools, enable_thinking, ...), "" for none. The text exactly as the template renders it.
  Result<std::string> RenderChat(const std::string& messages_json, const std::string& extra_json,
                                 bool add_generation_prompt) const;

  // For Request::constraint: one per request. The runtime outlives it, the model need not.
  // kInvalidInput or kUnsupported naming the part that is not understood, never ignored.
  Result<std::shared_ptr<TokenConstraint>> NewConstraint(const GrammarSpec& spec) const;

  struct Rep;  // for Lull's own modules
  const Rep& rep() const { return *rep_; }

 private:
  explicit Model(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// Bytes done and in total.
using PackProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Writes the weights as the kernels read them beside the model file, PATH.pack: later loads map it
// instead of repacking, and processes share it. Where one that fits is there already, nothing is
// written unless force. Returns its path. Needs the memory of one copy.
Result<std::string> WriteModelPack(const std::string& path, Runtime& runtime, bool force,
                                   const PackProgress& progress);
// Whether there is such a file, with every byte as written and as the model file as it is now would
// be packed. Needs the memory of one copy.
Result<std::string> VerifyModelPack(const std::string& path, Runtime& runtime,
                                    const PackProgress& progress);

// Tokenizer and template alone: no weights are read. For tokenize and template verbs, and for
// vocabulary-only files. Same calls as Model where they apply.
Result<std::unique_ptr<Model>> LoadVocabularyOnly(const std::string& path);

}  // namespace lull
