#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lull {
namespace {

constexpr char kPrefix[] = "tokenizer.ggml.";
// Token ids are int32, and every known vocabulary is far below this.
constexpr uint64_t kMaxTokens = uint64_t{1} << 24;
constexpr size_t kMaxTextBytes = size_t{1} << 30;
constexpr size_t kMaxSpecialBytes = 512;
// Of all special tokens: finding them takes some 40 bytes of memory for each.
constexpr size_t kMaxAllSpecialBytes = size_t{4} << 20;

std::string Key(std::string_view name) { return kPrefix + std::string(name); }

Error Bad(std::string message, std::string where) {
  return {ErrorCode::kInvalidModel, std::move(message), std::move(where),
          "the vocabulary is damaged; fetch or convert the file again"};
}

// Texts that end a generation whatever their type in the file says.
constexpr std::string_view kEndTexts[] = {"<|eot_id|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|flush|>",
                                          "<|calls|>",
                                          "<end_of_turn>",
                                          "<|endoftext|>",
                                          "</s>",
                                          "<|eom_id|>",
                                          "<EOT>",
                                          "_<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "<|end_of_text|>",
                                          "<end_of_utterance>",
                                          "<eos>",
                                          "<turn|>",
                                          "<|tool_response>",
                                          "<｜end▁of▁sentence｜>",
                                          "[e~["};

// Roles of fill-in-the-middle tokens: where no id is given, the first of these texts becomes a
// control token; those marked end a generation.
struct FimRole {
  std::string_view keys[2];
  std::string_view texts[8];
  bool ends_generation;
};
constexpr FimRole kFimRoles[] = {
    {{"fim_pre_token_id", "prefix_token_id"},
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
      "<|code_prefix|>", "<|prefix|>"},
     false},
    {{"fim_suf_token_id", "suffix_token_id"},
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
      "<|code_suffix|>", "<|suffix|>"},
     false},
    {{"fim_mid_token_id", "middle_token_id"},
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
      "<|code_middle|>", "<|middle|>"},
     false},
    {{"fim_pad_token_id", ""}, {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}, true},
    {{"fim_rep_token_id", ""},
     {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"},
     true},
    {{"fim_sep_token_id", ""}, {"<|file_sep|>"}, true},
};

class Reader {
 public:
  Reader(const GgufFile& file, const VocabularyDefaults& defaults, WorkMeter* meter,
         size_t more_texts, size_t more_bytes)
      : file_(file),
        defaults_(defaults),
        meter_(meter),
        more_texts_(more_texts),
        more_bytes_(more_bytes) {}

  Result<Vocabulary> Read() {
    LULL_RETURN_IF_ERROR(ReadTexts());
    LULL_RETURN_IF_ERROR(ReadTypes());
    if (defaults_.needs_scores) LULL_RETURN_IF_ERROR(ReadScores());
    LULL_RETURN_IF_ERROR(ReadIds());
    LULL_RETURN_IF_ERROR(ReadFlags());
    LULL_RETURN_IF_ERROR(MarkEnds());
    LULL_RETURN_IF_ERROR(ListSpecial());
    ApplyModelQuirks();
    return std::move(vocab_);
  }

 private:
  static size_t TextBytes(std::string_view text) { return text.empty() ? 18 : text.size(); }

  Status ReadTexts() {
    const std::string key = Key("tokens");
    if (!file_.Has(key)) return Bad("the file has no vocabulary", key);
    LULL_ASSIGN_OR_RETURN(const uint64_t count, file_.ArraySize(key));
    if (count == 0 || count > kMaxTokens) {
      return Bad("a vocabulary of " + std::to_string(count) + " tokens", key);
    }
    LULL_ASSIGN_OR_RETURN(std::vector<std::string_view> texts,
                          file_.GetStringArray(key, meter_->context()));
    uint64_t bytes = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      meter_->Spend(1);
      bytes += TextBytes(texts[i]);
      if (texts[i].size() > kMaxTokenBytes) {
        return Bad("token " + std::to_string(i) + " is " + std::to_string(texts[i].size()) +
                       " bytes long, at most " + std::to_string(kMaxTokenBytes) + " are read",
                   key);
      }
    }
    if (bytes > kMaxTextBytes) return Bad("token texts of more than 1 GiB", key);
    vocab_.texts.Reserve(texts.size() + more_texts_, bytes + std::min(more_bytes_, kMaxTextBytes),
                         texts.size(), meter_);
    for (size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].empty()) {
        vocab_.texts.Append("[EMPTY_" + std::to_string(i) + "]", meter_);
      } else {
        vocab_.texts.Append(texts[i], meter_);
      }
    }
    AssignPaced(meter_, texts.size(), uint16_t{kAttrNormal}, &vocab_.attrs);
    FreePaced(meter_, &texts);
    return Status::Ok();
  }

  Status CheckLength(const std::string& key) {
    LULL_ASSIGN_OR_RETURN(const uint64_t count, file_.ArraySize(key));
    if (count >= static_cast<uint64_t>(vocab_.num_tokens())) return Status::Ok();
    return Bad("has " + std::to_string(count) + " entries for " +
                   std::to_string(vocab_.num_tokens()) + " tokens",
               key);
  }

  Status ReadTypes() {
    const std::string key = Key("token_type");
    if (!file_.Has(key)) return Status::Ok();
    LULL_RETURN_IF_ERROR(CheckLength(key));
    LULL_ASSIGN_OR_RETURN(std::vector<int64_t> types, file_.GetIntArray(key, meter_->context()));
    constexpr uint16_t kByType[] = {kAttrUndefined,   kAttrNormal, kAttrUnknown, kAttrControl,
                                    kAttrUserDefined, kAttrUnused, kAttrByte};
    for (int32_t id = 0; id < vocab_.num_tokens(); ++id) {
      meter_->Spend(2);
      const bool known = types[id] >= 0 && types[id] < 7;
      vocab_.attrs[id] = known ? kByType[types[id]] : static_cast<uint16_t>(kAttrUndefined);
      // llama.cpp reads some byte out of any text, or throws; no known writer makes such a token.
      if (vocab_.attrs[id] == kAttrByte && Vocabulary::ByteOf(vocab_.texts.Get(id)) < 0) {
        return Bad("token " + std::to_string(id) + " is a byte token, but its text " +
                       GgufQuote(vocab_.texts.Get(id)) + " names no byte (<0x00> to <0xFF>)",
                   Key("tokens"));
      }
    }
    FreePaced(meter_, &types);
    return Status::Ok();
  }

  Status ReadScores() {
    const std::string key = Key("scores");
    const size_t count = vocab_.attrs.size();
    if (!file_.Has(key)) {
      AssignPaced(meter_, count, 0.0f, &vocab_.scores);
      return Status::Ok();
    }
    LULL_RETURN_IF_ERROR(CheckLength(key));
    Result<std::vector<float>> scores = file_.GetFloatArray(key, meter_->context());
    if (scores.ok()) {
      vocab_.scores = std::move(*scores);
      vocab_.scores.resize(count);
    } else {
      LULL_ASSIGN_OR_RETURN(const std::vector<int64_t> integers,
                            file_.GetIntArray(key, meter_->context()));
      vocab_.scores.reserve(count);
      for (size_t i = 0; i < count; ++i) {
        meter_->Spend(1);
        vocab_.scores.push_back(static_cast<float>(integers[i]));
      }
    }
    for (int32_t id = 0; id < vocab_.num_tokens(); ++id) {
      if ((id & 0xFF) == 0) meter_->Spend(0x20);
      if (std::isnan(vocab_.scores[id])) {
        return Bad("the score of token " + std::to_string(id) + " is not a number", key);
      }
    }
    return Status::Ok();
  }

  // Leaves *id alone where the file does not have the key.
  Status ReadId(std::string_view name, int32_t* id) {
    const std::string key = Key(name);
    if (name.empty() || !file_.Has(key)) return Status::Ok();
    LULL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(key));
    if (value >= static_cast<uint64_t>(vocab_.num_tokens())) {
      return Bad("token id " + std::to_string(value) + " in a vocabulary of " +
                     std::to_string(vocab_.num_tokens()),
                 key);
    }
    *id = static_cast<int32_t>(value);
    return Status::Ok();
  }

  Status ReadIds() {
    const auto in_range = [&](int32_t id) { return id < vocab_.num_tokens() ? id : kNoToken; };
    vocab_.bos = in_range(defaults_.bos);
    vocab_.eos = in_range(defaults_.eos);
    vocab_.unknown = in_range(defaults_.unknown);
    LULL_RETURN_IF_ERROR(ReadId("bos_token_id", &vocab_.bos));
    LULL_RETURN_IF_ERROR(ReadId("eos_token_id", &vocab_.eos));
    LULL_RETURN_IF_ERROR(ReadId("unknown_token_id", &vocab_.unknown));
    separator_ = in_range(defaults_.separator);
    LULL_RETURN_IF_ERROR(ReadId("seperator_token_id", &separator_));  // sic
    LULL_RETURN_IF_ERROR(ReadId("eot_token_id", &eot_));
    return ReadId("eom_token_id", &eom_);
  }

  Status ReadFlag(std::string_view name, bool* flag) {
    if (!file_.Has(Key(name))) return Status::Ok();
    LULL_ASSIGN_OR_RETURN(*flag, file_.GetBool(Key(name)));
    return Status::Ok();
  }

  Status ReadFlags() {
    vocab_.add_bos = defaults_.add_bos;
    vocab_.add_space_prefix = defaults_.add_space_prefix;
    LULL_RETURN_IF_ERROR(ReadFlag("add_bos_token", &vocab_.add_bos));
    LULL_RETURN_IF_ERROR(ReadFlag("add_space_prefix", &vocab_.add_space_prefix));
    if (defaults_.always_bos) vocab_.add_bos = true;
    bool add_eos = defaults_.add_eos;
    LULL_RETURN_IF_ERROR(ReadFlag("add_eos_token", &add_eos));
    if (add_eos) vocab_.end = vocab_.eos;
    if (defaults_.ends_with_separator) vocab_.end = separator_;
    if (vocab_.add_bos && vocab_.bos == kNoToken) {
      return Bad("asks for a BOS token but names none", Key("bos_token_id"));
    }
    return Status::Ok();
  }

  void AddEnd(int32_t id) {
    if (id != kNoToken) vocab_.end_of_generation.push_back(id);
  }
  bool Ends(int32_t id) const {
    const auto& ends = vocab_.end_of_generation;
    return id != kNoToken && std::find(ends.begin(), ends.end(), id) != ends.end();
  }
  void RemoveEnd(int32_t id, uint16_t attr) {
    std::erase(vocab_.end_of_generation, id);
    vocab_.attrs[id] = attr;
  }

  Status MarkEnds() {
    for (const FimRole& role : kFimRoles) {
      int32_t id = kNoToken;
      for (std::string_view key : role.keys) LULL_RETURN_IF_ERROR(ReadId(key, &id));
      if (id == kNoToken) {
        for (std::string_view text : role.texts) {
          if (id == kNoToken && !text.empty()) id = vocab_.Find(text);
        }
        if (id != kNoToken) vocab_.attrs[id] |= kAttrControl;
      }
      if (role.ends_generation) AddEnd(id);
    }
    for (std::string_view text : kEndTexts) {
      const int32_t id = vocab_.Find(text);
      if (id == kNoToken) continue;
      vocab_.attrs[id] |= kAttrControl;
      AddEnd(id);
    }
    for (std::string_view text : {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"}) {
      const int32_t id = vocab_.Find(text);
      if (id != kNoToken) vocab_.attrs[id] = kAttrUserDefined;
    }
    for (int32_t id : {vocab_.eos, eot_, eom_}) AddEnd(id);
    DropFalseEnds();
    auto& ends = vocab_.end_of_generation;
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    return Status::Ok();
  }

  // Two families use a well-known end text for something else.
  void DropFalseEnds() {
    const auto ends = [&](std::string_view text) { return Ends(vocab_.Find(text)); };
    const bool has_call = ends("<|call|>") || ends("<|calls|>");
    if (ends("<|end|>") && has_call && (ends("<|return|>") || ends("<|flush|>"))) {
      RemoveEnd(vocab_.Find("<|end|>"), kAttrUserDefined);
    }
    if (ends("</s>") && (ends("<|tool_response>") || ends("<|plamo:eos|>"))) {
      RemoveEnd(vocab_.Find("</s>"), kAttrNormal);
    }
  }

  Status ListSpecial() {
    size_t all_bytes = 0;
    for (int32_t id = 0; id < vocab_.num_tokens(); ++id) {
      if ((id & 0xFF) == 0) meter_->Spend(0x20);
      if ((vocab_.attrs[id] & (kAttrControl | kAttrUserDefined | kAttrUnknown)) == 0) continue;
      const std::string_view text = vocab_.texts.Get(id);
      if (text.size() > kMaxSpecialBytes) {
        return Bad("special token " + std::to_string(id) + " is " + std::to_string(text.size()) +
                       " bytes long, at most 512 are allowed",
                   Key("tokens"));
      }
      all_bytes += text.size();
      if (all_bytes > kMaxAllSpecialBytes) {
        return Bad("special tokens of more than 4 MiB of text", Key("tokens"));
      }
      vocab_.special.push_back(id);
    }
    // Not a stable sort: the order among equal lengths is that of the reference implementation,
    // and decides between overlapping occurrences.
    std::sort(vocab_.special.begin(), vocab_.special.end(), [&](int32_t a, int32_t b) {
      meter_->Spend(2);
      return vocab_.texts.Get(a).size() > vocab_.texts.Get(b).size();
    });
    return Status::Ok();
  }

  std::string StringOr(std::string_view key) const {
    if (!file_.Has(key)) return {};
    const Result<std::string_view> value = file_.GetString(key);
    return value.ok() ? std::string(*value) : std::string();
  }

  // Stripping of white space around special tokens is known by model, not by file.
  void ApplyModelQuirks() {
    const auto contains = [](const std::string& text, auto... parts) {
      return ((text.find(parts) != std::string::npos) || ...);
    };
    const auto set = [&](std::string_view text, uint16_t attr) {
      const int32_t id = vocab_.Find(text);
      if (id != kNoToken) vocab_.attrs[id] |= attr;
    };
    std::string name = StringOr("general.name");
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (contains(StringOr(Key("pre")), "jina-v2-de", "jina-v2-es", "jina-v2-code")) {
      set("<mask>", kAttrStripLeft);
    } else if (contains(name, "phi-3", "phi3")) {
      for (int32_t id : vocab_.special) vocab_.attrs[id] |= kAttrStripRight;
      set("</s>", kAttrStripRight);
      for (std::string_view text : {"<unk>", "<s>", "<|endoftext|>"}) {
        const int32_t id = vocab_.Find(text);
        if (id != kNoToken) vocab_.attrs[id] &= static_cast<uint16_t>(~kAttrStripRight);
      }
    } else if (contains(name, "modern-bert")) {
      set("[MASK]", kAttrStripLeft);
    }
  }

  const GgufFile& file_;
  const VocabularyDefaults& defaults_;
  WorkMeter* meter_;
  const size_t more_texts_, more_bytes_;
  Vocabulary vocab_;
  int32_t eot_ = kNoToken;
  int32_t eom_ = kNoToken;
  int32_t separator_ = kNoToken;
};

}  // namespace

int Vocabulary::ByteOf(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = digit(text[3]), low = digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int32_t Vocabulary::ByteToken(uint8_t byte) const {
  constexpr char kHex[] = "0123456789ABCDEF";
  const char text[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
  return Find(std::string_view(text, sizeof(text)));
}

Result<Vocabulary> ReadVocabulary(const GgufFile& file, const VocabularyDefaults& defaults,
                                  WorkMeter* meter, size_t more_texts, size_t more_bytes) {
  return Reader(file, defaults, meter, more_texts, more_bytes).Read();
}

}  // namespace lull
