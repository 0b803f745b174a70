#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "tokenizer/family.h"
#include "tokenizer/special_tokens.h"
#include "tokenizer/text_stream.h"
#include "base/work_meter.h"

namespace lull {
namespace {

// Offsets within a text are 32 bits wide, and white space grows threefold.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

class TokenizerImpl : public Tokenizer {
 public:
  TokenizerImpl(std::unique_ptr<Family> family, WorkMeter* meter)
      : family_(std::move(family)),
        vocab_(family_->vocabulary()),
        all_special_(vocab_, true, meter),
        user_defined_(vocab_, false, meter) {}

  int64_t vocab_size() const override { return vocab_.num_tokens(); }

  Result<std::vector<int32_t>> Encode(const ExecContext& ctx, std::string_view text,
                                      const TokenizeOptions& options) const override {
    if (text.size() > kMaxTextBytes) {
      return Error{ErrorCode::kInvalidInput,
                   "text of " + std::to_string(text.size()) + " bytes; at most 1 GiB", "text",
                   "split the text"};
    }
    std::vector<int32_t> tokens;
    // Growing would copy megabytes between checkpoints; a malformed byte may become three tokens.
    tokens.reserve(3 * text.size() + 2);
    if (options.force_bos || (options.add_bos && vocab_.add_bos)) {
      if (vocab_.bos == kNoToken) {
        return Error{ErrorCode::kUsage, "the file names no BOS token",
                     "tokenizer.ggml.bos_token_id", "do not ask for one"};
      }
      tokens.push_back(vocab_.bos);
    }
    WorkMeter meter(ctx);
    const SpecialTokens& special = options.parse_special ? all_special_ : user_defined_;
    bool after_special = true;
    std::vector<Fragment> fragments = special.Split(text, &meter);
    for (const Fragment& fragment : fragments) {
      if (meter.Cancelled())
        return Error{ErrorCode::kCancelled, "tokenizing was cancelled", {}, {}};
      meter.Spend(2);
      if (fragment.token != kNoToken) {
        tokens.push_back(fragment.token);
      } else {
        family_->Encode(text.substr(fragment.begin, fragment.size), after_special, &meter, &tokens);
      }
      after_special = fragment.token != kNoToken;
    }
    FreePaced(&meter, &fragments);
    if (options.add_end && vocab_.end != kNoToken) tokens.push_back(vocab_.end);
    return tokens;
  }

  std::string TokenBytes(int32_t token, bool special) const override {
    if (token < 0 || token >= vocab_.num_tokens()) return {};
    const uint16_t attr = vocab_.attrs[token];
    if ((attr & (kAttrUnknown | kAttrControl)) != 0) return special ? TokenText(token) : "";
    if ((attr & kAttrUserDefined) != 0) return TokenText(token);
    if ((attr & kAttrNormal) != 0) return family_->NormalBytes(token);
    if ((attr & kAttrByte) != 0) {
      return std::string(1, static_cast<char>(Vocabulary::ByteOf(vocab_.texts.Get(token))));
    }
    return {};
  }

  std::string Decode(const ExecContext& ctx, const std::vector<int32_t>& tokens,
                     bool special) const override {
    WorkMeter meter(ctx);
    size_t bytes = 4;
    for (int32_t token : tokens) {
      meter.Spend(2);
      bytes += TextBytesAtMost(token);
    }
    std::string text;
    text.reserve(bytes);  // growing would copy megabytes between checkpoints
    const std::unique_ptr<TextStream> stream = NewTextStream(special);
    for (int32_t token : tokens) {
      const std::string piece = stream->Push(token);
      meter.Spend(16 + piece.size());
      text += piece;
    }
    text += stream->Finish();
    return text;
  }

  std::unique_ptr<TextStream> NewTextStream(bool special) const override;

  bool IsEndOfGeneration(int32_t token) const override {
    const auto& ends = vocab_.end_of_generation;
    return std::binary_search(ends.begin(), ends.end(), token);
  }
  bool adds_bos() const override { return vocab_.add_bos; }
  int32_t bos_token() const override { return vocab_.bos; }
  int32_t eos_token() const override { return vocab_.eos; }
  std::string TokenText(int32_t token) const override {
    if (token < 0 || token >= vocab_.num_tokens()) return {};
    return std::string(vocab_.texts.Get(token));
  }

  bool strips_first_space() const override { return vocab_.add_space_prefix; }

 private:
  // Malformed bytes grow threefold.
  size_t TextBytesAtMost(int32_t token) const {
    if (token < 0 || token >= vocab_.num_tokens()) return 0;
    return 3 * vocab_.texts.Get(token).size();
  }

  const std::unique_ptr<Family> family_;
  const Vocabulary& vocab_;
  const SpecialTokens all_special_;
  const SpecialTokens user_defined_;
};

// Requires: the tokenizer outlives the stream.
class TokenStream : public TextStream {
 public:
  TokenStream(const TokenizerImpl& tokenizer, bool special)
      : tokenizer_(tokenizer), special_(special), strip_(tokenizer.strips_first_space()) {}

  std::string Push(int32_t token) override {
    std::string bytes = tokenizer_.TokenBytes(token, special_);
    // The space that encoding put before the text is no part of it.
    if (strip_ && bytes.starts_with(' ')) bytes.erase(0, 1);
    strip_ = false;
    return assembler_.Push(bytes);
  }
  std::string Finish() override { return assembler_.Finish(); }

 private:
  const TokenizerImpl& tokenizer_;
  const bool special_;
  bool strip_;
  Utf8Assembler assembler_;
};

std::unique_ptr<TextStream> TokenizerImpl::NewTextStream(bool special) const {
  return std::make_unique<TokenStream>(*this, special);
}

struct FamilyRow {
  std::string_view model;
  FamilyCreator create;
};
constexpr FamilyRow kFamilies[] = {
#define LULL_TOKENIZER_FAMILY(model, creator) {model, creator},
#include "tokenizer/family_list.inc"
#undef LULL_TOKENIZER_FAMILY
};

}  // namespace

std::vector<std::string_view> FamilyNames() {
  std::vector<std::string_view> names;
  for (const FamilyRow& row : kFamilies) names.push_back(row.model);
  return names;
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::Create(const GgufFile& file, const ExecContext& ctx) {
  constexpr char kModelKey[] = "tokenizer.ggml.model";
  if (!file.Has(kModelKey)) {
    return Error{ErrorCode::kInvalidModel, "the file has no tokenizer", kModelKey,
                 "use a model file that carries its vocabulary"};
  }
  LULL_ASSIGN_OR_RETURN(const std::string_view model, file.GetString(kModelKey));
  for (const FamilyRow& row : kFamilies) {
    if (row.model != model) continue;
    WorkMeter meter(ctx);
    LULL_ASSIGN_OR_RETURN(std::unique_ptr<Family> family, row.create(file, &meter));
    return std::unique_ptr<Tokenizer>(std::make_unique<TokenizerImpl>(std::move(family), &meter));
  }
  std::string known;
  for (const FamilyRow& row : kFamilies) known.append(" ").append(row.model);
  return Error{ErrorCode::kUnsupported, "unknown tokenizer model '" + std::string(model) + "'",
               kModelKey, "supported are" + known};
}

}  // namespace lull
