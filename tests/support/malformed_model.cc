// Malformed classes whose file is sound: the vocabulary or the hyperparameters are wrong.
#include "tests/support/malformed.h"

#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace lull {
namespace {

using Edit = std::function<void(TestRandom&, GgufWriter*)>;

constexpr uint64_t kVocab = 300;

TinyModelSpec Base(const std::string& arch, const std::string& tokenizer) {
  TinyModelSpec spec;
  spec.arch = arch;
  spec.tokenizer = tokenizer;
  spec.type = "Q4_0";
  spec.embd = 32;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.layers = arch == "lfm2moe" ? 3 : 1;
  spec.ffn = 64;
  spec.vocab = kVocab;
  return spec;
}

class Table {
 public:
  Table(std::string group, MalformedStage stage, std::vector<MalformedClass>* classes)
      : group_(std::move(group)), stage_(stage), classes_(classes) {}
  void Add(const char* name, std::vector<std::string> places, TinyModelSpec base, Edit edit) {
    classes_->push_back({name, group_, stage_, std::move(places), std::move(base), {}, {}, std::move(edit)});
  }

 private:
  std::string group_;
  MalformedStage stage_;
  std::vector<MalformedClass>* classes_;
};

template <typename T, size_t N>
T OneOf(TestRandom& random, const T (&values)[N]) {
  return values[random.Below(N)];
}

// Anything but a whole number where one is required.
void AddNotANumber(TestRandom& random, const char* key, GgufWriter* writer) {
  switch (random.Below(4)) {
    case 0: writer->AddString(key, "2"); break;
    case 1: writer->AddFloat32(key, 2.0f); break;
    case 2: writer->AddBool(key, true); break;
    default: writer->AddInt64(key, -1 - static_cast<int64_t>(random.Below(100)));
  }
}

// A vocabulary whose tokens are all plain, but for byte tokens where asked.
std::vector<std::string> PlainTokens() {
  std::vector<std::string> tokens;
  for (uint64_t i = 0; i < kVocab; ++i) tokens.push_back("token" + std::to_string(i));
  return tokens;
}

uint32_t OutOfRange(TestRandom& random) {
  return OneOf(random, {static_cast<uint32_t>(kVocab), static_cast<uint32_t>(kVocab + random.Below(1000)), 0x7fffffffu,
                        0x80000000u, 0xfffffffeu});
}

float BadPositive(TestRandom& random) {
  return OneOf(random, {0.0f, -1.0f, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                        std::numeric_limits<float>::quiet_NaN()});
}

}  // namespace

void AppendMalformedVocabs(std::vector<MalformedClass>* classes) {
  Table table("vocab", MalformedStage::kVocab, classes);
  const TinyModelSpec bpe = Base("llama", "gpt2");
  const TinyModelSpec spm = Base("llama", "llama");
  table.Add("tokens_missing", {"tokenizer.ggml.tokens"}, bpe, [](TestRandom&, GgufWriter* w) { w->RemoveKey("tokenizer.ggml.tokens"); });
  table.Add("tokens_wrong_type", {"tokenizer.ggml.tokens"}, bpe, [](TestRandom& r, GgufWriter* w) {
    if ((r.Next() & 1) != 0) {
      w->AddInt32Array("tokenizer.ggml.tokens", std::vector<int32_t>(kVocab, 7));
    } else {
      w->AddString("tokenizer.ggml.tokens", "one two three");
    }
  });
  table.Add("tokens_empty", {"tokenizer.ggml.tokens"}, spm, [](TestRandom&, GgufWriter* w) { w->AddStringArray("tokenizer.ggml.tokens", {}); });
  table.Add("token_types_too_few", {"tokenizer.ggml.token_type"}, bpe, [](TestRandom& r, GgufWriter* w) {
    const uint64_t count = OneOf(r, {uint64_t{0}, uint64_t{1}, kVocab / 2, kVocab - 1});
    w->AddInt32Array("tokenizer.ggml.token_type", std::vector<int32_t>(count, 1));
  });
  table.Add("token_types_wrong_type", {"tokenizer.ggml.token_type"}, bpe, [](TestRandom& r, GgufWriter* w) {
    if ((r.Next() & 1) != 0) {
      w->AddFloat32Array("tokenizer.ggml.token_type", std::vector<float>(kVocab, 1.0f));
    } else {
      w->AddStringArray("tokenizer.ggml.token_type", PlainTokens());
    }
  });
  table.Add("scores_wrong_type", {"tokenizer.ggml.scores"}, spm, [](TestRandom& r, GgufWriter* w) {
    if ((r.Next() & 1) != 0) {
      w->AddStringArray("tokenizer.ggml.scores", PlainTokens());
    } else {
      w->AddFloat32("tokenizer.ggml.scores", -1.0f);
    }
  });
  table.Add("scores_too_few", {"tokenizer.ggml.scores"}, spm, [](TestRandom& r, GgufWriter* w) {
    const uint64_t count = OneOf(r, {uint64_t{0}, uint64_t{1}, kVocab / 2, kVocab - 1});
    w->AddFloat32Array("tokenizer.ggml.scores", std::vector<float>(count, 0.5f));
  });
  table.Add("byte_token_malformed", {"tokenizer.ggml.tokens"}, spm, [](TestRandom& r, GgufWriter* w) {
    std::vector<std::string> tokens = PlainTokens();
    std::vector<int32_t> types(kVocab, 1);
    for (uint32_t b = 0; b < 256; ++b) {
      char text[8];
      snprintf(text, sizeof(text), "<0x%02X>", b);
      tokens[3 + b] = text;
      types[3 + b] = 6;
    }
    const char* bad[] = {"<0x-1>", "<0xZZ>", "<0x100>", "<0x>", "<0x 1>", "0x41", "", "<0xfffffffff>"};
    tokens[3 + r.Below(256)] = bad[r.Below(std::size(bad))];
    w->AddStringArray("tokenizer.ggml.tokens", tokens);
    w->AddInt32Array("tokenizer.ggml.token_type", types);
  });
  table.Add("merges_malformed", {"tokenizer.ggml.merges"}, bpe, [](TestRandom& r, GgufWriter* w) {
    const std::string bad[] = {"", " ", "ab", "a ", " b"};
    w->AddStringArray("tokenizer.ggml.merges", std::vector<std::string>{"t h", bad[r.Below(std::size(bad))], "i n"});
  });
  table.Add("bos_out_of_range", {"tokenizer.ggml.bos_token_id"}, bpe, [](TestRandom& r, GgufWriter* w) { w->AddUint32("tokenizer.ggml.bos_token_id", OutOfRange(r)); });
  table.Add("eos_out_of_range", {"tokenizer.ggml.eos_token_id"}, spm, [](TestRandom& r, GgufWriter* w) {
    if ((r.Next() & 1) != 0) {
      w->AddUint32("tokenizer.ggml.eos_token_id", OutOfRange(r));
    } else {
      w->AddInt32("tokenizer.ggml.eos_token_id", -2 - static_cast<int32_t>(r.Below(1000)));
    }
  });
  table.Add("tokenizer_unknown", {"tokenizer.ggml.model"}, bpe, [](TestRandom& r, GgufWriter* w) {
    const std::string names[] = {"", "gpt3", "LLAMA", "wordpiece2", "none of these"};
    w->AddString("tokenizer.ggml.model", names[r.Below(std::size(names))]);
  });
}

void AppendMalformedHparams(std::vector<MalformedClass>* classes) {
  Table table("hparam", MalformedStage::kHparams, classes);
  const TinyModelSpec llama = Base("llama", "gpt2");
  table.Add("hparam_missing", {"general.architecture", "llama."}, llama, [](TestRandom& r, GgufWriter* w) {
    w->RemoveKey(OneOf(r, {"general.architecture", "llama.block_count", "llama.embedding_length", "llama.feed_forward_length",
                           "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}));
  });
  table.Add("hparam_wrong_type", {"llama."}, llama, [](TestRandom& r, GgufWriter* w) {
    AddNotANumber(r, OneOf(r, {"llama.block_count", "llama.embedding_length", "llama.feed_forward_length",
                               "llama.attention.head_count", "llama.attention.head_count_kv", "llama.context_length"}), w);
  });
  table.Add("block_count_out_of_range", {"llama.block_count", "blk.1."}, llama, [](TestRandom& r, GgufWriter* w) {
    w->AddUint32("llama.block_count", OneOf(r, {0u, 2u, 513u, 65536u, 0x80000000u, 0xffffffffu}));
  });
  table.Add("head_count_out_of_range", {"llama.attention.head_count"}, llama, [](TestRandom& r, GgufWriter* w) {
    w->AddUint32("llama.attention.head_count", OneOf(r, {0u, 3u, 65u, 1000000u, 0xffffffffu}));
  });
  table.Add("head_count_kv_out_of_range", {"llama.attention.head_count_kv"}, llama, [](TestRandom& r, GgufWriter* w) {
    w->AddUint32("llama.attention.head_count_kv", OneOf(r, {0u, 3u, 5u, 64u, 0xffffffffu}));
  });
  table.Add("embedding_length_wrong", {"llama.embedding_length", "llama.attention.head_count", "token_embd.weight"}, llama, [](TestRandom& r, GgufWriter* w) {
    w->AddUint32("llama.embedding_length", OneOf(r, {0u, 31u, 33u, 64u, 0x80000000u, 0xffffffffu}));
  });
  table.Add("rms_epsilon_not_positive", {"llama.attention.layer_norm_rms_epsilon"}, llama, [](TestRandom& r, GgufWriter* w) {
    w->AddFloat32("llama.attention.layer_norm_rms_epsilon", BadPositive(r));
  });
  table.Add("rope_base_not_positive", {"llama.rope.freq_base"}, llama, [](TestRandom& r, GgufWriter* w) {
    w->AddFloat32("llama.rope.freq_base", BadPositive(r));
  });
  table.Add("experts_used_exceed_experts", {"lfm2moe.expert_used_count"}, Base("lfm2moe", "gpt2"), [](TestRandom& r, GgufWriter* w) {
    w->AddUint32("lfm2moe.expert_used_count", OneOf(r, {0u, 5u, 64u, 0xffffffffu}));
  });
  table.Add("tensor_missing_or_misshapen", {"token_embd.weight", "blk.0.", "output_norm.weight", "llama.vocab_size"}, llama, [](TestRandom& r, GgufWriter* w) {
    const std::string name = OneOf(r, {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.ffn_down.weight",
                                       "output_norm.weight"});
    w->RemoveTensor(name);
    if ((r.Next() & 1) != 0) return;
    const std::vector<uint64_t> dims = r.Below(2) == 0 ? std::vector<uint64_t>{64, 96} : std::vector<uint64_t>{32, 32, 2, 2};
    w->AddTensor(name, 0, dims, RandomF32Rows(dims[0], -1.0f, 1.0f, r.Next()));
  });
}

}  // namespace lull
