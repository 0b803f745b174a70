#include "convert/hf_tokenizer.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "formats/gguf.h"
#include "tokenizer/pretokenizer.h"

namespace lull {
namespace {

using Json = nlohmann::json;

// Values of tokenizer.ggml.token_type.
enum TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

constexpr char kVisibleSpace[] = "\xE2\x96\x81";  // U+2581
constexpr float kNoMerge = -1e9f;                 // score of a token that no merge makes

// What a ByteLevel step splits by where it does (use_regex).
constexpr char kByteLevelPattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

bool IsTrue(const Json& object, const char* name, bool otherwise = false) {
  const Json& field = JsonField(object, name);
  return field.is_boolean() ? field.get<bool>() : otherwise;
}

class TokenizerConverter {
 public:
  TokenizerConverter(const HfFolder& folder, uint64_t vocab, GgufWriter* writer)
      : folder_(folder),
        json_(folder.tokenizer),
        model_(JsonField(json_, "model")),
        vocab_(vocab),
        writer_(writer) {}

  Status Convert() {
    if (!json_.is_object())
      return Status(ErrorCode::kNotFound, "no tokenizer.json", folder_.path,
                    "a sentencepiece tokenizer.model alone is not read: save the tokenizer again "
                    "as tokenizer.json");
    if (JsonText(model_, "type") != "BPE")
      return Unsupported("a tokenizer of type " + GgufQuote(JsonText(model_, "type")),
                         "model.type");
    const bool pieces = IsTrue(model_, "byte_fallback");
    LULL_RETURN_IF_ERROR(CheckModel());
    LULL_RETURN_IF_ERROR(pieces ? AddSpaces() : AddPretokenizer());
    LULL_RETURN_IF_ERROR(SetTokens());
    LULL_RETURN_IF_ERROR(ReadMerges());
    if (pieces) {
      SetPieceTypes();
      writer_->AddFloat32Array("tokenizer.ggml.scores", Scores());
    } else {
      LULL_RETURN_IF_ERROR(AddMerges());
    }
    writer_->AddStringArray("tokenizer.ggml.tokens", texts_);
    writer_->AddInt32Array("tokenizer.ggml.token_type", types_);
    AddSpecialIds();
    if (!folder_.chat_template.empty())
      writer_->AddString("tokenizer.chat_template", folder_.chat_template);
    return Status();
  }

 private:
  std::string Where(const std::string& what) const {
    return folder_.path + "/tokenizer.json: " + what;
  }
  Status Unsupported(const std::string& what, const std::string& where) const {
    return Status(
        ErrorCode::kUnsupported, what + " is not converted", Where(where),
        "byte-level BPE with a known pre-tokenizer is, and BPE of pieces as SentencePiece");
  }
  Status Invalid(const std::string& message, const std::string& where) const {
    return Status(ErrorCode::kInvalidInput, message, Where(where));
  }

  Status CheckModel() const {
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!JsonText(model_, name).empty()) return Unsupported(name, std::string("model.") + name);
    return Status();
  }

  // The steps of a normalizer or pre-tokenizer: those of a Sequence, or itself; none where null.
  static std::vector<Json> StepsOf(const Json& object, const char* list) {
    if (!object.is_object()) return {};
    if (JsonText(object, "type") != "Sequence") return {object};
    const Json& steps = JsonField(object, list);
    return steps.is_array() ? steps.get<std::vector<Json>>() : std::vector<Json>();
  }

  // How spaces are marked in BPE of pieces: by a normalizer or by a pre-tokenizer.
  Status AddSpaces() {
    bool marked = false, prefix = false;
    for (const Json& step : StepsOf(JsonField(json_, "normalizer"), "normalizers")) {
      const std::string type = JsonText(step, "type");
      const bool replaces = JsonText(JsonField(step, "pattern"), "String") == " " &&
                            JsonText(step, "content") == kVisibleSpace;
      const bool prepends = JsonText(step, "prepend") == kVisibleSpace;
      if (type == "Replace" && replaces) {
        marked = true;
      } else if (type == "Prepend" && prepends && !marked) {
        prefix = true;
      } else {
        return Unsupported("the normalizer " + GgufQuote(type) + " of pieces", "normalizer");
      }
    }
    for (const Json& step : StepsOf(JsonField(json_, "pre_tokenizer"), "pretokenizers")) {
      const std::string type = JsonText(step, "type");
      // Finds no space any more.
      if (marked && type == "Split" && JsonText(JsonField(step, "pattern"), "String") == " ")
        continue;
      if (type != "Metaspace" || JsonText(step, "replacement") != kVisibleSpace ||
          IsTrue(step, "split", true))
        return Unsupported("the pre-tokenizer " + GgufQuote(type) + " of pieces", "pre_tokenizer");
      marked = true;
      prefix = prefix || JsonText(step, "prepend_scheme") != "never";
    }
    if (!marked) return Unsupported("pieces whose spaces are not marked", "normalizer");
    writer_->AddString("tokenizer.ggml.model", "llama");
    writer_->AddString("tokenizer.ggml.pre", "default");
    writer_->AddBool("tokenizer.ggml.add_space_prefix", prefix);
    return Status();
  }

  // Appends the patterns of one step.
  Status AddStep(const Json& step) {
    const std::string type = JsonText(step, "type");
    if (type == "Sequence") {
      const Json& steps = JsonField(step, "pretokenizers");
      if (!steps.is_array()) return Invalid("a Sequence without steps", "pre_tokenizer");
      for (const Json& one : steps) {
        if (JsonText(one, "type") == "Sequence")
          return Unsupported("a Sequence in a Sequence", "pre_tokenizer");
        LULL_RETURN_IF_ERROR(AddStep(one));
      }
      return Status();
    }
    if (type == "Digits") {
      passes_.push_back(IsTrue(step, "individual_digits") ? "\\p{N}" : "\\p{N}+");
      return Status();
    }
    if (type == "ByteLevel") {
      if (IsTrue(step, "add_prefix_space")) return Unsupported("add_prefix_space", "pre_tokenizer");
      bytes_ = true;
      if (IsTrue(step, "use_regex", true)) passes_.push_back(kByteLevelPattern);
      return Status();
    }
    if (type == "Split") return AddSplit(step);
    return Unsupported("the pre-tokenizer " + GgufQuote(type), "pre_tokenizer");
  }

  // Words isolated, or all but words removed, which is the same where a pattern takes everything.
  Status AddSplit(const Json& step) {
    const std::string behavior = JsonText(step, "behavior");
    const bool invert = IsTrue(step, "invert");
    const bool isolated = behavior == "Isolated" && !invert;
    const std::string pattern = JsonText(JsonField(step, "pattern"), "Regex");
    if (pattern.empty() || !(isolated || (behavior == "Removed" && invert)))
      return Unsupported("a Split that is not by isolated regular expressions", "pre_tokenizer");
    passes_.push_back(pattern);
    return Status();
  }

  Status AddPretokenizer() {
    // NFC changes no text that is composed already; GGUF has no word for it.
    const Json& normalizer = JsonField(json_, "normalizer");
    if (!normalizer.is_null() && JsonText(normalizer, "type") != "NFC")
      return Unsupported("the normalizer " + GgufQuote(JsonText(normalizer, "type")), "normalizer");
    LULL_RETURN_IF_ERROR(AddStep(JsonField(json_, "pre_tokenizer")));
    if (!bytes_) return Unsupported("BPE that is not byte-level", "pre_tokenizer");
    const std::string_view name = Pretokenizer::NameOf(passes_, IsTrue(model_, "ignore_merges"));
    if (name.empty()) {
      std::string text;
      for (const std::string& pass : passes_) text += (text.empty() ? "" : ", ") + GgufQuote(pass);
      return Unsupported("a pre-tokenizer with the patterns " + text, "pre_tokenizer");
    }
    writer_->AddString("tokenizer.ggml.model", "gpt2");
    writer_->AddString("tokenizer.ggml.pre", name);
    return Status();
  }

  Status SetToken(const Json& id, const std::string& text, TokenType type) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_)
      return Invalid("token " + GgufQuote(text) + " has no id below the " + std::to_string(vocab_) +
                         " rows of the embedding",
                     "vocabulary");
    const size_t at = id.get<size_t>();
    if (types_[at] != kUnused && texts_[at] != text)
      return Invalid("two tokens have the id " + std::to_string(at), "vocabulary");
    texts_[at] = text;
    types_[at] = type;
    return Status();
  }

  Status SetTokens() {
    const Json& vocab = JsonField(model_, "vocab");
    if (!vocab.is_object()) return Invalid("no vocabulary", "model.vocab");
    for (uint64_t id = 0; id < vocab_; ++id) texts_.push_back("[PAD" + std::to_string(id) + "]");
    types_.assign(vocab_, kUnused);
    for (const auto& [text, id] : vocab.items()) LULL_RETURN_IF_ERROR(SetToken(id, text, kNormal));
    const Json& added = JsonField(json_, "added_tokens");
    for (size_t i = 0; added.is_array() && i < added.size(); ++i) {
      const Json& token = added[i];
      const TokenType type = IsTrue(token, "special") ? kControl : kUserDefined;
      LULL_RETURN_IF_ERROR(SetToken(JsonField(token, "id"), JsonText(token, "content"), type));
    }
    return Status();
  }

  // "a b", or ["a", "b"] as newer files have it.
  Status ReadMerges() {
    const Json& merges = JsonField(model_, "merges");
    if (!merges.is_array()) return Invalid("no merges", "model.merges");
    merges_.reserve(merges.size());
    for (const Json& merge : merges) {
      const std::string number = std::to_string(merges_.size());
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        merges_.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        continue;
      }
      const std::string text = merge.is_string() ? merge.get<std::string>() : "";
      const size_t space = text.find(' ');
      if (space == std::string::npos)
        return Invalid("merge " + number + " is no pair", "model.merges");
      merges_.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    return Status();
  }

  Status AddMerges() {
    std::vector<std::string> lines;
    lines.reserve(merges_.size());
    for (const auto& [left, right] : merges_) {
      // Bytes have other signs than a space; a second one would shift the border.
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos)
        return Invalid("merge " + std::to_string(lines.size()) + " has a space in a part",
                       "model.merges");
      lines.push_back(left);
      lines.back().append(" ").append(right);
    }
    writer_->AddStringArray("tokenizer.ggml.merges", lines);
    return Status();
  }

  // Pieces merge by the score of what comes out: the rank of the first merge that makes it, since
  // all that make the same follow each other.
  std::vector<float> Scores() const {
    std::unordered_map<std::string, float> scores;
    scores.reserve(merges_.size());
    for (size_t rank = 0; rank < merges_.size(); ++rank)
      scores.emplace(merges_[rank].first + merges_[rank].second, -static_cast<float>(rank));
    std::vector<float> result;
    result.reserve(texts_.size());
    for (const std::string& text : texts_) {
      const auto found = scores.find(text);
      result.push_back(found == scores.end() ? kNoMerge : found->second);
    }
    return result;
  }

  // What spells bytes, and what stands for anything else.
  void SetPieceTypes() {
    const std::string unknown = JsonText(model_, "unk_token");
    for (size_t id = 0; id < texts_.size(); ++id) {
      const std::string& text = texts_[id];
      if (types_[id] == kUnused) continue;
      if (!unknown.empty() && text == unknown) types_[id] = kUnknown;
      const bool byte = text.size() == 6 && text.starts_with("<0x") && text.ends_with(">") &&
                        text.find_first_not_of("0123456789ABCDEF", 3) == 5;
      if (byte && types_[id] == kNormal) types_[id] = kByte;
    }
  }

  // A text, or an object with it.
  static std::string TextOf(const Json& token) {
    return token.is_string() ? token.get<std::string>() : JsonText(token, "content");
  }

  void AddSpecialIds() {
    const std::pair<const char*, const char*> kRoles[] = {{"bos_token", "bos_token_id"},
                                                          {"eos_token", "eos_token_id"},
                                                          {"unk_token", "unknown_token_id"},
                                                          {"pad_token", "padding_token_id"}};
    for (const auto& [role, key] : kRoles) {
      const std::string text = TextOf(JsonField(folder_.tokenizer_config, role));
      const std::string config_key = std::string(role) + "_id";
      uint64_t id = vocab_;
      for (size_t i = 0; !text.empty() && i < texts_.size() && id == vocab_; ++i)
        if (types_[i] != kUnused && texts_[i] == text) id = i;
      const Json& given = JsonField(folder_.config, config_key.c_str());
      if (id == vocab_ && given.is_number_unsigned()) id = given.get<uint64_t>();
      // Several ends: the first; the other texts are known as ends by themselves.
      if (id == vocab_ && given.is_array() && !given.empty() && given[0].is_number_unsigned())
        id = given[0].get<uint64_t>();
      if (id >= vocab_) continue;
      writer_->AddUint32(std::string("tokenizer.ggml.") + key, static_cast<uint32_t>(id));
      if (key == std::string_view("bos_token_id")) bos_ = texts_[id];
    }
    writer_->AddBool("tokenizer.ggml.add_bos_token", !bos_.empty() && AddsBos());
    writer_->AddBool("tokenizer.ggml.add_eos_token",
                     IsTrue(folder_.tokenizer_config, "add_eos_token"));
  }

  // What the post-processor puts in front, else what tokenizer_config.json says.
  bool AddsBos() const {
    const Json& post = JsonField(json_, "post_processor");
    const Json& several = JsonField(post, "processors");
    for (size_t i = 0; several.is_array() && i < several.size(); ++i)
      if (StartsWithBos(several[i])) return true;
    return StartsWithBos(post) || IsTrue(folder_.tokenizer_config, "add_bos_token");
  }
  bool StartsWithBos(const Json& processor) const {
    const Json& single = JsonField(processor, "single");
    if (!single.is_array() || single.empty()) return false;
    return JsonText(JsonField(single[0], "SpecialToken"), "id") == bos_;
  }

  const HfFolder& folder_;
  const Json& json_;
  const Json& model_;
  const uint64_t vocab_;
  GgufWriter* writer_;
  bool bytes_ = false;
  std::vector<std::string> passes_, texts_;
  std::vector<int32_t> types_;
  std::vector<std::pair<std::string, std::string>> merges_;
  std::string bos_;
};

}  // namespace

Status AddHfTokenizer(const HfFolder& folder, uint64_t vocab, GgufWriter* writer) {
  return TokenizerConverter(folder, vocab, writer).Convert();
}

}  // namespace lull
