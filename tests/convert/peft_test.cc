// PEFT's folders become the GGUF adapter that they were written from, by names and row orders that
// stand here once more.
#include "convert/peft_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Matrix {
  std::vector<uint64_t> shape;  // slowest first
  std::vector<float> values;
};
using Tensors = std::map<std::string, Matrix>;

void WriteSafetensors(const Tensors& tensors, const fs::path& path) {
  Json header = Json::object();
  std::string data;
  for (const auto& [name, matrix] : tensors) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(matrix.values.data()), matrix.values.size() * 4);
    header[name] = {
        {"dtype", "F32"}, {"shape", matrix.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const uint64_t size = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), 8);
  file << text << data;
}

const std::map<std::string, std::string> kModules = {
    {"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"}, {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},  {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// "blk.3.attn_q.weight.lora_a" as PEFT calls it.
std::string PeftName(const std::string& gguf) {
  const std::string end = gguf.ends_with("a") ? ".lora_A.weight" : ".lora_B.weight";
  if (gguf.starts_with("output")) return "base_model.model.lm_head" + end;
  const size_t dot = gguf.find('.', 4);
  const std::string role = gguf.substr(dot + 1, gguf.find('.', dot + 1) - dot - 1);
  return "base_model.model.model.layers." + gguf.substr(4, dot - 4) + "." + kModules.at(role) + end;
}

class PeftTest : public ::testing::Test {
 protected:
  void SetUp() override { Make("llama"); }
  void TearDown() override { fs::remove_all(folder_); }

  // A model and a configuration, and no adapter yet.
  void MakeBase(const std::string& arch) {
    folder_ = fs::path(::testing::TempDir()) / ("lull_peft_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    TinyModelSpec spec;
    spec.arch = arch;
    const std::string base = (folder_ / "base.gguf").string();
    ASSERT_TRUE(WriteTinyModel(spec, base).ok());
    base_ = std::move(GgufFile::Open(base)).value();
    heads_ = base_->GetUint(arch + ".attention.head_count").value();
    config_ = {{"peft_type", "LORA"},
               {"r", 4},
               {"lora_alpha", 8.0},
               {"bias", "none"},
               {"use_dora", false},
               {"modules_to_save", nullptr},
               {"base_model_name_or_path", "x"}};
    tensors_.clear();
  }
  void Make(const std::string& arch) {
    MakeBase(arch);
    const std::string adapter = (folder_ / "adapter.gguf").string();
    ASSERT_TRUE(WriteTinyAdapter((folder_ / "base.gguf").string(), {}, adapter).ok());
    adapter_ = std::move(GgufFile::Open(adapter)).value();
    for (const GgufTensor& tensor : adapter_->tensors()) {
      Matrix matrix{{tensor.dims[1], tensor.dims[0]}, {}};
      matrix.values.resize(tensor.data.size() / 4);
      memcpy(matrix.values.data(), tensor.data.data(), tensor.data.size());
      const bool turned = arch == "llama" && tensor.name.ends_with("lora_b") &&
                          (tensor.name.find("attn_q") != std::string::npos ||
                           tensor.name.find("attn_k") != std::string::npos);
      if (turned) HalvesApart(&matrix);
      tensors_[PeftName(tensor.name)] = std::move(matrix);
    }
  }
  // Neighbours that turn together come to lie half a head apart.
  void HalvesApart(Matrix* matrix) const {
    const auto dim =
        static_cast<size_t>(base_->FindTensor("blk.0.attn_q.weight")->dims[1] / heads_);
    const size_t width = matrix->shape[1];
    std::vector<float> out(matrix->values.size());
    for (size_t row = 0; row < matrix->shape[0]; ++row) {
      const size_t in_head = row % dim;
      const size_t to = row - in_head + in_head / 2 + (in_head % 2 != 0 ? dim / 2 : 0);
      std::copy_n(&matrix->values[row * width], width, &out[to * width]);
    }
    matrix->values = out;
  }
  // Factors of rank 4 whose values count on from 0: A [4, k], B [rows, 4].
  void AddModule(const std::string& module, uint64_t k, uint64_t rows) {
    Matrix a{{4, k}, std::vector<float>(4 * k)}, b{{rows, 4}, std::vector<float>(4 * rows)};
    std::iota(a.values.begin(), a.values.end(), 0.0f);
    std::iota(b.values.begin(), b.values.end(), 0.0f);
    tensors_["base_model.model.model.layers.0." + module + ".lora_A.weight"] = std::move(a);
    tensors_["base_model.model.model.layers.0." + module + ".lora_B.weight"] = std::move(b);
  }
  // The rows that a factor of layer 0 was made of; of A the columns. AddModule's.
  std::vector<uint64_t> Sources(const std::string& name) const {
    const GgufTensor* tensor = result_->FindTensor("blk.0." + name);
    std::vector<uint64_t> sources;
    if (tensor == nullptr) return sources;
    const bool a = name.ends_with("lora_a");
    const auto* values = reinterpret_cast<const float*>(tensor->data.data());
    const uint64_t n = tensor->dims[a ? 0 : 1];
    for (uint64_t i = 0; i < n; ++i) {
      sources.push_back(static_cast<uint64_t>(values[a ? i : 4 * i]) / (a ? 1 : 4));
      for (uint64_t r = 0; r < 4; ++r)  // the others moved with it
        EXPECT_EQ(values[a ? r * n + i : 4 * i + r], a ? static_cast<float>(r * n + sources[i])
                                                       : static_cast<float>(4 * sources[i] + r));
    }
    return sources;
  }
  static std::vector<uint64_t> Range(uint64_t begin, uint64_t end) {
    std::vector<uint64_t> range(end - begin);
    std::iota(range.begin(), range.end(), begin);
    return range;
  }
  Status Convert() {
    std::ofstream(folder_ / "adapter_config.json") << config_.dump();
    WriteSafetensors(tensors_, folder_ / "adapter_model.safetensors");
    ConvertOptions options;
    options.durable = false;
    LULL_RETURN_IF_ERROR(ConvertPeftFolder(folder_.string(), *base_, Out(), options).status());
    LULL_ASSIGN_OR_RETURN(result_, GgufFile::Open(Out()));
    return Status();
  }
  std::string Out() const { return (folder_ / "out.gguf").string(); }
  void ExpectTheAdapter(double factor_of_b = 1.0) const {
    ASSERT_EQ(result_->tensors().size(), adapter_->tensors().size());
    for (const GgufTensor& want : adapter_->tensors()) {
      const GgufTensor* got = result_->FindTensor(want.name);
      ASSERT_NE(got, nullptr) << want.name;
      ASSERT_EQ(got->dims, want.dims) << want.name;
      const auto* a = reinterpret_cast<const float*>(got->data.data());
      const auto* b = reinterpret_cast<const float*>(want.data.data());
      const double factor = want.name.ends_with("lora_b") ? factor_of_b : 1.0;
      for (size_t i = 0; i < want.data.size() / 4; ++i)
        ASSERT_EQ(a[i], static_cast<float>(static_cast<double>(b[i]) * factor)) << want.name;
    }
  }
  void ExpectRefused(ErrorCode code, const std::string& word) {
    const Status status = Convert();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.ToString().find(word), std::string::npos) << status.ToString();
    EXPECT_FALSE(fs::exists(Out()));
  }

  fs::path folder_;
  std::unique_ptr<GgufFile> base_, adapter_, result_;
  uint64_t heads_ = 0;
  Json config_;
  Tensors tensors_;
};

TEST_F(PeftTest, BecomesTheAdapterItWas) {
  for (const char* arch : {"llama", "qwen2", "qwen3"}) {
    Make(arch);
    const Status status = Convert();
    ASSERT_TRUE(status.ok()) << arch << ": " << status.ToString();
    ExpectTheAdapter();
    EXPECT_EQ(result_->GetString("general.architecture").value(), arch);
    EXPECT_EQ(result_->GetFloat("adapter.lora.alpha").value(), 8.0);
  }
}

TEST_F(PeftTest, RankStabilised) {
  config_["use_rslora"] = true;
  ASSERT_TRUE(Convert().ok());
  ExpectTheAdapter(2.0);  // alpha / sqrt(4) is twice alpha / 4
}

TEST_F(PeftTest, PatternsOfAlphaAndRank) {
  config_["alpha_pattern"] = {{"q_proj", 16.0}};
  config_["rank_pattern"] = {{"q_proj", 4}};
  ASSERT_TRUE(Convert().ok());
  const auto first = [](const GgufFile& file, const char* name) {
    float value = 0;
    memcpy(&value, file.FindTensor(name)->data.data(), 4);
    return value;
  };
  for (const char* name : {"blk.0.attn_q.weight.lora_b", "blk.0.attn_v.weight.lora_b"})
    EXPECT_EQ(first(*result_, name), first(*adapter_, name) * (name[11] == 'q' ? 2.0f : 1.0f));
  // As PEFT: what names no module, in a layer that is not adapted perhaps, changes nothing.
  config_["alpha_pattern"]["layers.7.q_proj"] = 3.0;
  config_["rank_pattern"]["q_projection"] = 9;
  fs::remove(Out());
  ASSERT_TRUE(Convert().ok());
  EXPECT_EQ(first(*result_, "blk.0.attn_q.weight.lora_b"),
            2.0f * first(*adapter_, "blk.0.attn_q.weight.lora_b"));
  config_["rank_pattern"] = {{"v_proj", 7}};
  fs::remove(Out());
  ExpectRefused(ErrorCode::kInvalidModel, "rank");
}

TEST_F(PeftTest, WhatIsNoPlainLora) {
  const std::pair<const char*, Json> cases[] = {
      {"peft_type", "IA3"},
      {"use_dora", true},
      {"bias", "all"},
      {"modules_to_save", Json::array({"lm_head"})},
      {"alpha_pattern", {{"layers\\.[0-3]\\..*q_proj", 4}}},
      {"alpha_pattern", {{"q_proj", 4}, {"self_attn.q_proj", 8}}},
      {"init_lora_weights", "pissa_niter_16"},
      {"layer_replication", Json::array({0})},
      {"fan_in_fan_out", true},
      {"alora_invocation_tokens", Json::array({1})},
      {"init_lora_weights", "lora_ga"},
      {"init_lora_weights", "OLoRA"},
      {"init_lora_weights", "what is not known yet"},
      {"target_parameters", Json::array({"experts.down_proj"})},
      {"kasa_config", {{"rank", 1}}},
      {"use_a_variant_that_is_not_known_yet", true},
  };
  for (const auto& [key, value] : cases) {
    Make("llama");
    config_[key] = value;
    ExpectRefused(ErrorCode::kUnsupported, key);
  }
}

TEST_F(PeftTest, ConfigsThatMakeNoSense) {
  for (const char* key : {"r", "lora_alpha"}) {
    for (const Json& value : {Json(), Json("4"), Json(0), Json(-1), Json(1e30), Json::array()}) {
      Make("llama");
      config_[key] = value;
      ExpectRefused(ErrorCode::kInvalidInput, key);
    }
  }
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    for (const Json& value : {Json(), Json("4"), Json(0), Json(-1), Json(1e300)}) {
      Make("llama");
      config_[key] = {{"q_proj", value}};
      ExpectRefused(ErrorCode::kInvalidInput, key);
    }
  }
  Make("llama");
  config_["r"] = 4.5;
  ExpectRefused(ErrorCode::kInvalidInput, "r");
  Make("llama");
  config_ = Json::array();
  ExpectRefused(ErrorCode::kInvalidInput, "adapter_config.json");
}

TEST_F(PeftTest, TensorsThatAreNotTheModels) {
  const std::string q = "base_model.model.model.layers.0.self_attn.q_proj";
  const auto with = [&](const std::function<void()>& change, ErrorCode code, const char* word) {
    Make("llama");
    change();
    ExpectRefused(code, word);
  };
  with([&] { tensors_.erase(q + ".lora_B.weight"); }, ErrorCode::kInvalidModel, "missing");
  with(
      [&] {
        tensors_["base_model.model.model.norm.weight"] = {{1, 1}, {0}};
      },
      ErrorCode::kUnsupported, "norm");
  with(
      [&] {
        tensors_["base_model.model.model.layers.0.mlp.experts.lora_A.weight"] = {
            {4, 4}, std::vector<float>(16)};
      },
      ErrorCode::kUnsupported, "experts");
  with(
      [&] {
        tensors_[q + ".lora_B.weight"] = {{3, 4}, std::vector<float>(12)};
      },
      ErrorCode::kInvalidModel, "heads");
  with(
      [&] {
        tensors_[q + ".lora_A.weight"] = {{5, 64}, std::vector<float>(320)};
      },
      ErrorCode::kInvalidModel, "rank");
  with([&] { tensors_.clear(); }, ErrorCode::kInvalidModel, "no tensors");
  with(
      [&] {
        tensors_["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"] = {
            {4, 96}, std::vector<float>(384)};
      },
      ErrorCode::kInvalidModel, "does not fit");
  with(
      [&] {
        tensors_["base_model.model.model.layers.9.mlp.down_proj.lora_A.weight"] = {
            {4, 128}, std::vector<float>(512)};
      },
      ErrorCode::kInvalidModel, "no such module");
}

// What is read of a base is only parsed: its numbers may be anything.
TEST_F(PeftTest, HostileBases) {
  for (const uint64_t width :
       {~uint64_t{0}, uint64_t{0xaaaaaaaaaaaaaac0}, uint64_t{1} << 40, uint64_t{0}}) {
    Make("llama");
    GgufWriter writer;
    writer.set_durable(false);
    ASSERT_TRUE(BuildTinyModel(TinyModelSpec(), &writer).ok());
    writer.AddUint64("llama.attention.key_length", width);
    writer.AddUint32("llama.attention.head_count", 3);
    const std::string path = (folder_ / "base.gguf").string();
    ASSERT_TRUE(writer.Write(path).ok());
    base_ = std::move(GgufFile::Open(path)).value();
    ExpectRefused(ErrorCode::kInvalidModel, "heads");
  }
  Make("llama");
  base_ = std::move(GgufFile::Open((folder_ / "adapter.gguf").string())).value();
  ExpectRefused(ErrorCode::kUnsupported, "adapter");
}

// A module that is gate and up in one: both take its A, each half of its B.
TEST_F(PeftTest, AModuleThatBecomesTwoMatrices) {
  MakeBase("granitehybrid");
  AddModule("shared_mlp.input_linear", 64, 256);
  const Status status = Convert();
  ASSERT_TRUE(status.ok()) << status.ToString();
  for (const char* name : {"ffn_gate_shexp.weight.lora_a", "ffn_up_shexp.weight.lora_a"})
    EXPECT_EQ(Sources(name), Range(0, 64)) << name;
  EXPECT_EQ(Sources("ffn_gate_shexp.weight.lora_b"), Range(0, 128));
  EXPECT_EQ(Sources("ffn_up_shexp.weight.lora_b"), Range(128, 256));
}

// Four heads of V of 32, two for each K: GGUF has the first of each K, then the second of each.
TEST_F(PeftTest, HeadsInAnotherOrder) {
  MakeBase("qwen35");
  AddModule("linear_attn.in_proj_qkv", 64, 256);
  AddModule("linear_attn.in_proj_z", 64, 128);
  AddModule("linear_attn.out_proj", 128, 64);
  const Status status = Convert();
  ASSERT_TRUE(status.ok()) << status.ToString();
  const auto tiled = [](uint64_t begin) {
    std::vector<uint64_t> sources;
    for (const uint64_t head : {0, 2, 1, 3})
      for (uint64_t i = 0; i < 32; ++i) sources.push_back(begin + 32 * head + i);
    return sources;
  };
  EXPECT_EQ(Sources("attn_gate.weight.lora_b"), tiled(0));
  EXPECT_EQ(Sources("attn_gate.weight.lora_a"), Range(0, 64));
  EXPECT_EQ(Sources("ssm_out.weight.lora_a"), tiled(0));
  EXPECT_EQ(Sources("ssm_out.weight.lora_b"), Range(0, 64));
  std::vector<uint64_t> behind = Range(0, 128);
  for (const uint64_t source : tiled(128)) behind.push_back(source);
  EXPECT_EQ(Sources("attn_qkv.weight.lora_b"), behind);
}

// Of a folder that reads images too: what is of those changes no answer to text.
TEST_F(PeftTest, TheTextPartOfSeveralModels) {
  const Tensors plain = tensors_;
  tensors_.clear();
  for (const auto& [name, matrix] : plain)
    tensors_[name.find("lm_head") != std::string::npos
                 ? name
                 : "base_model.model.model.language_model." + name.substr(23)] = matrix;
  tensors_["base_model.model.model.vision_tower.layers.0.mlp.fc1.lora_A.weight"] = {{1, 2}, {0, 0}};
  const Status status = Convert();
  ASSERT_TRUE(status.ok()) << status.ToString();
  ExpectTheAdapter();
}

TEST_F(PeftTest, OnlyFoldersWithAConfig) {
  EXPECT_FALSE(IsPeftFolder(folder_.string()));
  ASSERT_TRUE(Convert().ok());
  EXPECT_TRUE(IsPeftFolder(folder_.string()));
  EXPECT_FALSE(IsPeftFolder(Out()));
}

}  // namespace
}  // namespace lull
