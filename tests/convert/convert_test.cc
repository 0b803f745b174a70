// Folders of safetensors: what comes out has the numbers and tokens of the file that the folder
// was made of, bit for bit; and what is not converted is refused by name.
#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/f16.h"
#include "convert/hf_folder.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tests/support/hf_folder_writer.h"
#include "tests/support/raw_gguf.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

using Json = nlohmann::json;

class Converted {
 public:
  explicit Converted(TinyModelSpec model = {}, const HfFolderSpec& spec = {},
                     const std::string& type = "") {
    if (model.arch != "llama") model.tokenizer = "gpt2";
    GgufWriter writer;
    writer.set_durable(false);
    EXPECT_TRUE(BuildTinyModel(model, &writer).ok());
    EXPECT_TRUE(writer.Write(directory.File("source.gguf")).ok());
    auto opened = GgufFile::Open(directory.File("source.gguf"));
    EXPECT_TRUE(opened.ok());
    source = std::move(opened).value();
    std::filesystem::create_directory(folder);
    EXPECT_TRUE(WriteHfFolder(*source, spec, folder).ok());
    Run(type);
  }
  void Run(const std::string& type = "") {
    const auto summary =
        ConvertHfFolder(folder, directory.File("out.gguf"), {type, "", nullptr, /*durable=*/false});
    status = summary.status();
    if (!status.ok()) return;
    auto opened = GgufFile::Open(directory.File("out.gguf"));
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    result = std::move(opened).value();
  }
  // Changes a JSON file of the folder and converts again.
  void Patch(const std::string& name, const Json& patch) {
    std::ifstream in(folder + "/" + name);
    Json json = Json::parse(in);
    json.merge_patch(patch);
    std::ofstream(folder + "/" + name) << json;
    Run();
  }

  TemporaryDirectory directory;
  const std::string folder = directory.File("Tiny");
  std::unique_ptr<GgufFile> source, result;
  Status status;
};

std::vector<float> Floats(const GgufTensor& tensor) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
  return values;
}

void ExpectSameTensors(const GgufFile& want, const GgufFile& got) {
  EXPECT_EQ(want.tensors().size(), got.tensors().size());
  for (const GgufTensor& tensor : want.tensors()) {
    const GgufTensor* other = got.FindTensor(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(other->type_id, tensor.type_id) << tensor.name;
    EXPECT_EQ(other->dims, tensor.dims) << tensor.name;
    ASSERT_EQ(other->data.size(), tensor.data.size()) << tensor.name;
    if (want.GetString("general.architecture").value().starts_with("gemma") &&
        tensor.dims.size() == 1) {
      // One less and one more rounds.
      EXPECT_THAT(Floats(*other),
                  ::testing::Pointwise(::testing::FloatNear(3e-7f), Floats(tensor)));
      continue;
    }
    EXPECT_EQ(memcmp(other->data.data(), tensor.data.data(), tensor.data.size()), 0) << tensor.name;
  }
}

// All keys of the source, but for names; of unused tokens the texts are nobody's business.
void ExpectSameKeys(const GgufFile& want, const GgufFile& got) {
  for (const std::string& key : want.Keys()) {
    if (key == "general.name" || key == "tokenizer.ggml.unknown_token_id") continue;
    if (key == "tokenizer.ggml.tokens" || key == "tokenizer.ggml.add_space_prefix") continue;
    if (key == "olmo2.attention.sliding_window") continue;  // OLMo 3's
    ASSERT_TRUE(got.Has(key)) << key;
    EXPECT_EQ(got.Describe(key), want.Describe(key)) << key;
  }
  const auto types = want.GetIntArray("tokenizer.ggml.token_type").value();
  EXPECT_EQ(types, got.GetIntArray("tokenizer.ggml.token_type").value());
  const auto want_texts = want.GetStringArray("tokenizer.ggml.tokens").value();
  const auto got_texts = got.GetStringArray("tokenizer.ggml.tokens").value();
  ASSERT_EQ(want_texts.size(), got_texts.size());
  for (size_t id = 0; id < types.size(); ++id)
    EXPECT_TRUE(types[id] == 5 || want_texts[id] == got_texts[id]) << id;
  EXPECT_EQ(want.GetStringArray("tokenizer.ggml.merges").value(),
            got.GetStringArray("tokenizer.ggml.merges").value());
}

TEST(Convert, BringsBackTheFileThatTheFolderWasMadeOf) {
  for (const char* arch : {"llama", "smollm3", "granite", "granitemoe", "olmo2", "qwen2", "qwen3",
                           "qwen3moe", "lfm2moe", "gemma2"}) {
    for (const char* type : {"F32", "F16", "BF16"}) {
      SCOPED_TRACE(std::string(arch) + " " + type);
      const Converted c({.arch = arch, .type = type, .tokenizer = "gpt2"});
      ASSERT_TRUE(c.status.ok()) << c.status.ToString();
      ExpectSameTensors(*c.source, *c.result);
      ExpectSameKeys(*c.source, *c.result);
    }
  }
}

TEST(Convert, TiedHeadsAndSeveralFiles) {
  const Converted c({.type = "BF16", .tied_head = true, .tokenizer = "gpt2"},
                    {.files = 3, .config = {}});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->FindTensor("output.weight"), nullptr);
  ExpectSameTensors(*c.source, *c.result);
}

TEST(Convert, ExpertsAreStackedInOrder) {
  // More than ten: "10" comes before "2" in the folder.
  Converted c({.arch = "qwen3moe", .type = "F16", .experts = 12});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  ExpectSameTensors(*c.source, *c.result);
}

TEST(Convert, ReadsTheTextOfAFolderWithImages) {
  const Converted c({.arch = "gemma3", .type = "F32"}, {.config = {}, .images = true});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  ExpectSameTensors(*c.source, *c.result);
  ExpectSameKeys(*c.source, *c.result);
}

TEST(Convert, Gemma4sLayersOfTwoKinds) {
  Converted c({.arch = "gemma4-e", .type = "F32"});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  for (const GgufTensor& want : c.source->tensors()) {
    if (want.name == "rope_freqs.weight") continue;
    const GgufTensor* got = c.result->FindTensor(want.name);
    ASSERT_NE(got, nullptr) << want.name;
    EXPECT_EQ(got->dims, want.dims) << want.name;
    EXPECT_TRUE(std::ranges::equal(got->data, want.data)) << want.name;
  }
  for (const char* key :
       {"attention.key_length", "attention.key_length_swa", "attention.value_length_swa",
        "attention.sliding_window", "attention.sliding_window_pattern",
        "attention.shared_kv_layers", "embedding_length_per_layer_input", "rope.dimension_count",
        "rope.dimension_count_swa", "rope.freq_base", "rope.freq_base_swa",
        "final_logit_softcapping"})
    EXPECT_EQ(c.result->Describe(std::string("gemma4.") + key),
              c.source->Describe(std::string("gemma4.") + key))
        << key;
  // A quarter of a head of 32 turns: four of its sixteen pairs.
  const GgufTensor* divisors = c.result->FindTensor("rope_freqs.weight");
  ASSERT_NE(divisors, nullptr);
  const auto* values = reinterpret_cast<const float*>(divisors->data.data());
  for (int i = 0; i < 16; ++i) EXPECT_EQ(values[i], i < 4 ? 1.0f : 1e30f);
  // Heads by layer, as newer folders have them; and what does not fit layers of two kinds.
  c.Patch("config.json",
          {{"global_head_dim", nullptr},
           {"per_layer_config", {{"3", {{"head_dim", 32}}}, {"5", {{"head_dim", 32}}}}}});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->GetUint("gemma4.attention.key_length").value(), 32u);
  c.Patch("config.json", {{"use_double_wide_mlp", true}});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->GetIntArray("gemma4.feed_forward_length").value(),
            (std::vector<int64_t>{128, 128, 128, 128, 256, 256}));
  c.Patch("config.json", {{"per_layer_config", {{"0", {{"head_dim", 32}}}}}});
  EXPECT_EQ(c.status.code(), ErrorCode::kUnsupported) << c.status.ToString();
}

TEST(Convert, InterleavesTheHalvesOfAHead) {
  const Converted c({.type = "F32", .tokenizer = "gpt2"});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  const auto folder = HfFolder::Open(c.folder);
  ASSERT_TRUE(folder.ok());
  const SafetensorsTensor& from = *(*folder)->tensors.at("model.layers.0.self_attn.k_proj.weight");
  const GgufTensor& to = *c.result->FindTensor("blk.0.attn_k.weight");
  const uint64_t head = c.result->GetUint("llama.attention.key_length").value();
  const uint64_t row_bytes = to.dims[0] * 4;
  const auto same = [&](uint64_t to_row, uint64_t from_row) {
    return memcmp(&to.data[to_row * row_bytes], &from.data[from_row * row_bytes], row_bytes) == 0;
  };
  EXPECT_TRUE(same(0, 0));
  EXPECT_TRUE(same(1, head / 2));
  EXPECT_TRUE(same(2, 1));
  EXPECT_TRUE(same(head - 1, head - 1));
  EXPECT_TRUE(same(head, head));
  EXPECT_TRUE(same(head + 1, head + head / 2));
}

TEST(Convert, RoundsToTheTypeAskedFor) {
  const Converted c({.type = "F32", .tokenizer = "gpt2"}, {}, "BF16");
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  const GgufTensor& from = *c.source->FindTensor("blk.1.ffn_up.weight");
  const GgufTensor& to = *c.result->FindTensor("blk.1.ffn_up.weight");
  EXPECT_STREQ(GgufTypeName(to.type_id), "BF16");
  for (size_t i = 0; i < to.data.size() / 2; ++i) {
    float value = 0;
    uint16_t bits = 0;
    memcpy(&value, &from.data[i * 4], 4);
    memcpy(&bits, &to.data[i * 2], 2);
    ASSERT_EQ(bits, F32ToBf16(value));
  }
  EXPECT_STREQ(GgufTypeName(c.result->FindTensor("output_norm.weight")->type_id), "F32");
}

TEST(Convert, AWeightTooLargeForF16IsRefusedAndLeavesNoFile) {
  Converted c({.type = "F32", .tokenizer = "gpt2"});
  const std::string path = c.folder + "/model.safetensors";
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(path));
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto folder = HfFolder::Open(c.folder);
  ASSERT_TRUE(folder.ok());
  const SafetensorsFile& opened = *(*folder)->files[0];
  const auto& data = (*folder)->tensors.at("model.embed_tokens.weight")->data;
  const SafetensorsTensor& last = opened.tensors().back();
  const auto end = last.data.data() + last.data.size();
  file.seekp(size - (end - data.data()));
  const float huge = 1e30f;
  file.write(reinterpret_cast<const char*>(&huge), 4);
  file.close();
  std::filesystem::remove(c.directory.File("out.gguf"));
  c.Run("F16");
  EXPECT_EQ(c.status.code(), ErrorCode::kInvalidModel) << c.status.ToString();
  EXPECT_NE(c.status.ToString().find("too large for F16"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(c.directory.File("out.gguf")));
}

// From the published formula: pairs of short wavelength as they are, of long ones by the factor.
TEST(Convert, Llama3FrequencyFactors) {
  const Json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 512}};
  const Converted c({.type = "F32", .head_dim = 32, .tokenizer = "gpt2"},
                    {.files = 1, .config = {{"rope_scaling", scaling}, {"rope_theta", 10000.0}}});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  const GgufTensor* tensor = c.result->FindTensor("rope_freqs.weight");
  ASSERT_NE(tensor, nullptr);
  ASSERT_EQ(tensor->dims, (std::vector<uint64_t>{16}));
  std::vector<float> divisors(16);
  memcpy(divisors.data(), tensor->data.data(), 64);
  EXPECT_EQ(divisors.front(), 1.0f);
  EXPECT_EQ(divisors.back(), 8.0f);
  for (size_t i = 0; i < 16; ++i) {
    const double wavelength = 2 * M_PI * std::pow(10000.0, static_cast<double>(i) / 16.0);
    double want = wavelength < 512.0 / 4 ? 1.0 : 8.0;
    if (wavelength >= 512.0 / 4 && wavelength <= 512.0) {
      const double smooth = (512.0 / wavelength - 1.0) / 3.0;
      want = 1.0 / ((1 - smooth) / 8.0 + smooth);
    }
    EXPECT_FLOAT_EQ(divisors[i], static_cast<float>(want)) << i;
  }
}

TEST(Convert, RefusesByNameWhatWouldChangeTheNumbers) {
  struct Case {
    const char* file;
    Json patch;
    const char* says;
  };
  const Case cases[] = {
      {"config.json", {{"model_type", "bert"}}, "model_type 'bert'"},
      {"config.json", {{"hidden_act", "gelu"}}, "hidden_act"},
      {"config.json", {{"sliding_window", 512}}, "sliding_window"},
      {"config.json", {{"quantization_config", {{"bits", 4}}}}, "quantization_config"},
      {"config.json", {{"residual_multiplier", 0.2}}, "residual_multiplier"},
      {"config.json", {{"rope_scaling", {{"rope_type", "dynamic"}}}}, "dynamic"},
      {"config.json", {{"rope_scaling", {{"rope_type", "linear"}}}}, "factor"},
      {"config.json", {{"layer_types", {"sliding_attention"}}}, "sliding_attention"},
      {"config.json", {{"layer_types", {"chunked_attention"}}}, "chunked_attention"},
      {"config.json", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}}}}, "original_max"},
      {"config.json", {{"rope_scaling", {{"rope_type", "linear"}, {"odd", 1}}}}, "'odd'"},
      {"config.json", {{"rope_scaling", {{"type", "longrope"}, {"long_factor", {1}}}}}, "long_fac"},
      {"config.json", {{"partial_rotary_factor", 0.5}}, "turn in part"},
      {"config.json", {{"partial_rotary_factor", -1}}, "partial_rotary_factor"},
      {"config.json", {{"hidden_size", nullptr}}, "hidden_size"},
      {"config.json", {{"hidden_size", -1}}, "hidden_size"},
      {"config.json", {{"num_attention_heads", 0}}, "num_attention_heads"},
      {"config.json", {{"vocab_size", 100}}, "rows of the embedding"},
      {"config.json", {{"head_dim", 6}}, "heads of 6"},
      {"config.json", {{"rms_norm_eps", "small"}}, "rms_norm_eps"},
      {"tokenizer.json", {{"model", {{"type", "Unigram"}}}}, "Unigram"},
      {"tokenizer.json", {{"model", {{"byte_fallback", true}}}}, "of pieces"},
      {"tokenizer.json", {{"model", {{"ignore_merges", true}}}}, "the patterns"},
      {"tokenizer.json", {{"model", {{"merges", {"a b", {"a"}}}}}}, "is no pair"},
      {"tokenizer.json", {{"model", {{"vocab", {{"more", 1}}}}}}, "have the id 1"},
      {"tokenizer.json", {{"normalizer", {{"type", "Lowercase"}}}}, "Lowercase"},
      {"tokenizer.json", {{"pre_tokenizer", {{"type", "Whitespace"}}}}, "Whitespace"},
      {"tokenizer.json",
       {{"pre_tokenizer",
         {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", "odd+"}}}},
            {{"type", "ByteLevel"}, {"use_regex", false}}}}}}},
       "odd+"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.patch.dump());
    Converted c({.type = "F32", .tokenizer = "gpt2"});
    ASSERT_TRUE(c.status.ok()) << c.status.ToString();
    c.Patch(one.file, one.patch);
    ASSERT_FALSE(c.status.ok());
    EXPECT_NE(c.status.ToString().find(one.says), std::string::npos) << c.status.ToString();
  }
}

TEST(Convert, KnowsPreTokenizersByTheirPatterns) {
  Converted c({.type = "F32", .tokenizer = "gpt2"});
  const auto split = [](const char* pattern) {
    return Json{
        {"pre_tokenizer",
         {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", pattern}}}},
            {{"type", "ByteLevel"}, {"use_regex", false}}}}}}};
  };
  c.Patch("tokenizer.json",
          split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+)"
                R"([\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"));
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->GetString("tokenizer.ggml.pre").value(), "qwen2");
  Json llama3 =
      split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+)"
            R"([\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  llama3["model"]["ignore_merges"] = true;
  c.Patch("tokenizer.json", llama3);
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->GetString("tokenizer.ggml.pre").value(), "llama3");
  // Case beyond ASCII: the reference implementation's name for it.
  Json gpt4o = split(
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
      R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+)"
      R"([\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  gpt4o["model"]["ignore_merges"] = false;
  c.Patch("tokenizer.json", gpt4o);
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->GetString("tokenizer.ggml.pre").value(), "gpt-4o");
}

// A vocabulary of pieces, as Llama 2 and Gemma have them.
Json PiecesPatch(const Json& normalizer, const Json& pre_tokenizer) {
  return {{"normalizer", normalizer},
          {"pre_tokenizer", pre_tokenizer},
          {"model",
           {{"byte_fallback", true},
            {"unk_token", "<unk>"},
            {"merges", {"\u2581 a", {"a", "b"}, "\u2581a b", {"\u2581", "ab"}, {"b", " "}}}}}};
}

TEST(Convert, PiecesMergeByTheRankOfTheFirstMergeThatMakesThem) {
  Converted c({.type = "F32", .tokenizer = "gpt2"});
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  const Json prepend = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  Json patch = PiecesPatch({{"type", "Sequence"}, {"normalizers", {prepend, replace}}}, nullptr);
  const std::string path = c.folder + "/tokenizer.json";
  std::ifstream in(path);
  Json json = Json::parse(in);
  Json vocab = Json::object();
  const char* texts[] = {"<unk>", "<0x00>",  "<0xFF>", "\u2581",   "a",
                         "b",     "\u2581a", "ab",     "\u2581ab", "zz"};
  for (size_t i = 0; i < std::size(texts); ++i) vocab[texts[i]] = 20 + i;
  json["model"]["vocab"] = vocab;
  std::ofstream(path) << json;
  c.Patch("tokenizer.json", patch);
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_EQ(c.result->GetString("tokenizer.ggml.model").value(), "llama");
  EXPECT_TRUE(c.result->GetBool("tokenizer.ggml.add_space_prefix").value());
  EXPECT_FALSE(c.result->Has("tokenizer.ggml.merges"));
  const auto types = c.result->GetIntArray("tokenizer.ggml.token_type").value();
  EXPECT_EQ(types[20], 2);
  EXPECT_EQ(types[21], 6);
  EXPECT_EQ(types[22], 6);
  EXPECT_EQ(types[24], 1);
  const auto scores = c.result->GetFloatArray("tokenizer.ggml.scores").value();
  EXPECT_EQ(scores[26], 0.0f);   // _a
  EXPECT_EQ(scores[27], -1.0f);  // ab
  EXPECT_EQ(scores[28], -2.0f);  // _ab: the first of two
  EXPECT_LT(scores[29], -1e6f);  // no merge makes it
  EXPECT_LT(scores[23], -1e6f);

  const Json metaspace = {{"type", "Metaspace"},
                          {"replacement", "\u2581"},
                          {"prepend_scheme", "never"},
                          {"split", false}};
  c.Patch("tokenizer.json", PiecesPatch(nullptr, metaspace));
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_FALSE(c.result->GetBool("tokenizer.ggml.add_space_prefix").value());
  const Json spaces = {
      {"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}};
  c.Patch("tokenizer.json", PiecesPatch(replace, spaces));
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  EXPECT_FALSE(c.result->GetBool("tokenizer.ggml.add_space_prefix").value());
  for (const Json& bad : {PiecesPatch(nullptr, nullptr), PiecesPatch({{"type", "NFKC"}}, metaspace),
                          PiecesPatch(nullptr, {{"type", "Metaspace"}, {"split", true}})}) {
    c.Patch("tokenizer.json", bad);
    EXPECT_EQ(c.status.code(), ErrorCode::kUnsupported) << c.status.ToString();
  }
}

// As Python writes it, which no JSON has.
TEST(Convert, InfinityOfAConfigIsRead) {
  const Converted c({.type = "F32", .tokenizer = "gpt2"});
  std::ifstream in(c.folder + "/config.json");
  Json json = Json::parse(in);
  json["_name_or_path"] = "an \\\" Infinity";
  std::string text = json.dump();
  text.back() = ',';
  std::ofstream(c.folder + "/config.json") << text << R"("time_step_limit": [0.0, Infinity]})";
  const auto folder = HfFolder::Open(c.folder);
  ASSERT_TRUE(folder.ok()) << folder.status().ToString();
  EXPECT_EQ((*folder)->config["time_step_limit"], Json::parse("[0.0, null]"));
  EXPECT_EQ((*folder)->config["_name_or_path"], "an \\\" Infinity");
}

TEST(Convert, RefusesFoldersThatAreNotWhole) {
  Converted c({.type = "F32", .tokenizer = "gpt2"}, {.files = 2, .config = {}});
  ASSERT_TRUE(c.status.ok()) << c.status.ToString();
  c.Patch("model.safetensors.index.json", {{"weight_map", {{"x", "../model-1.safetensors"}}}});
  EXPECT_NE(c.status.ToString().find("no file of this folder"), std::string::npos);
  c.Patch("model.safetensors.index.json", {{"weight_map", {{"x", "model-1.safetensors"}}}});
  EXPECT_NE(c.status.ToString().find("no file has tensor"), std::string::npos);
  c.Patch("model.safetensors.index.json", {{"weight_map", {{"x", nullptr}}}});
  std::filesystem::remove(c.folder + "/model-2.safetensors");
  c.Run();
  EXPECT_EQ(c.status.code(), ErrorCode::kNotFound) << c.status.ToString();
  std::ofstream(c.folder + "/config.json") << std::string(100, '[');
  c.Run();
  EXPECT_EQ(c.status.code(), ErrorCode::kInvalidInput) << c.status.ToString();
}

// Any value of the JSON files as something else: refused or converted, and nothing thrown.
const std::vector<Json> kOthers = {nullptr,       -1, 7, 1e300, "x", true, Json::array({1}),
                                   Json::object()};

void ExpectRefusalsOrConversions(const Converted& c, const std::string& name,
                                 const std::vector<Json>& others = kOthers) {
  const ConvertOptions unwritten = {"", "", [](uint64_t, uint64_t) { return false; }, false};
  std::ifstream in(c.folder + "/" + name);
  const Json good = Json::parse(in);
  int in_lists = 0;
  const Json flat = good.flatten();
  for (const auto& [path, value] : flat.items()) {
    const bool in_list = path.starts_with("/model/vocab/") || path.starts_with("/model/merges/");
    if (in_list && ++in_lists > 3) continue;
    for (const Json& other : others) {
      Json changed = good;
      changed[Json::json_pointer(path)] = other;
      std::ofstream(c.folder + "/" + name) << changed;
      EXPECT_FALSE(ConvertHfFolder(c.folder, c.directory.File("no.gguf"), unwritten).ok());
    }
  }
  std::ofstream(c.folder + "/" + name) << good;
}

TEST(Convert, SurvivesEveryValueOfAnotherKind) {
  const Converted c({.type = "F32", .tokenizer = "gpt2"});
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"})
    ExpectRefusalsOrConversions(c, name);
}

TEST(Convert, SurvivesTheKeysOfOtherArchitectures) {
  const Json yarn = {
      {"rope_type", "yarn"}, {"factor", 2.0},         {"original_max_position_embeddings", 64},
      {"mscale", 1.0},       {"mscale_all_dim", 1.0}, {"truncate", true}};
  const Json longrope = {
      {"rope_type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {1, 2}}};
  const std::vector<Json> few = {nullptr, "x", Json::array({1})};
  for (const Json& scaling : {yarn, longrope})
    ExpectRefusalsOrConversions(
        Converted({.type = "F32", .tokenizer = "gpt2"}, {.config = {{"rope_scaling", scaling}}}),
        "config.json", few);
  for (const char* arch : {"gemma3", "lfm2moe", "smollm3"}) {
    SCOPED_TRACE(arch);
    const Converted c({.arch = arch, .type = "F32"},
                      {.config = {{"rope_parameters", {{"rope_theta", 10000.0}}},
                                  {"sliding_window_pattern", 6},
                                  {"no_rope_layers", {1, 1, 1, 0}}}});
    ExpectRefusalsOrConversions(c, "config.json", few);
  }
}

TEST(Convert, TheKeyOfAFolderFollowsItsFiles) {
  const Converted c({.type = "F32", .tokenizer = "gpt2"});
  const auto before = HfFolderKey(c.folder);
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(*before, HfFolderKey(c.folder + "/.").value());
  std::ofstream(c.folder + "/chat_template.jinja") << "x";
  EXPECT_NE(*before, HfFolderKey(c.folder).value());
}

}  // namespace
}  // namespace lull
