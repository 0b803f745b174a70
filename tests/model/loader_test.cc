#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <vector>

#include "model/loaded_model.h"
#include "tests/model/model_test_util.h"

namespace lull::testing {
namespace {

// Loads a tiny model after `change` has had its way with the file.
Status LoadChanged(const TinyModelSpec& spec, const std::function<void(GgufWriter&)>& change) {
  GgufWriter writer;
  writer.set_durable(false);
  EXPECT_TRUE(BuildTinyModel(spec, &writer).ok());
  change(writer);
  const auto file = WriteAndOpen(writer, "changed");
  return LoadedModel::Load(ExecContext(), *file).status();
}

TinyModelSpec Arch(const char* arch) {
  TinyModelSpec spec;
  spec.arch = arch;
  return spec;
}

struct Refusal {
  const char* arch;
  std::function<void(GgufWriter&)> change;
  ErrorCode code;
  std::vector<const char*> mentions;
};

TEST(LoaderTest, RefusesByName) {
  using W = GgufWriter;
  const auto kBad = ErrorCode::kInvalidModel;
  const auto kNo = ErrorCode::kUnsupported;
  const std::vector<Refusal> refusals = {
      {"llama",
       [](W& w) { w.AddString("general.architecture", "rwkv7"); },
       kNo,
       {"rwkv7", "gemma3"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.block_count", 1000000000); },
       kBad,
       {"block_count", "1000000000"}},
      {"llama", [](W& w) { w.AddUint32("llama.block_count", 0); }, kBad, {"block_count", "0"}},
      {"llama", [](W& w) { w.AddInt32("llama.block_count", -2); }, kBad, {"block_count"}},
      {"llama", [](W& w) { w.RemoveKey("llama.block_count"); }, kBad, {"block_count", "missing"}},
      {"llama", [](W& w) { w.AddUint32("llama.block_count", 3); }, kBad, {"blk.2.", "missing"}},
      {"llama", [](W& w) { w.AddUint32("llama.block_count", 1); }, kNo, {"blk.1."}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.head_count", 0); },
       kBad,
       {"head_count", "0"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.head_count", 3); },
       kBad,
       {"head_count", "3", "64"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.head_count", 8); },
       kBad,
       {"dimension_count", "16", "8"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.head_count_kv", 3); },
       kBad,
       {"head_count_kv", "3", "4"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.head_count_kv", 0); },
       kBad,
       {"head_count_kv"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.head_count_kv", 4); },
       kBad,
       {"attn_k", "[64, 32]", "[64, 64]"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.key_length", 24); },
       kBad,
       {"attn_q", "[64, 64]", "[64, 96]"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.attention.key_length", 15); },
       kNo,
       {"key_length", "15"}},
      {"llama", [](W& w) { w.AddUint32("llama.attention.value_length", 32); }, kNo, {"16", "32"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.embedding_length", 128); },
       kBad,
       {"token_embd", "64", "128"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.embedding_length", 65); },
       kBad,
       {"embedding_length", "65"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.embedding_length", 0); },
       kBad,
       {"embedding_length", "0"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.feed_forward_length", 1u << 31); },
       kBad,
       {"feed_forward_length"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.rope.dimension_count", 64); },
       kBad,
       {"dimension_count", "64", "16"}},
      {"llama", [](W& w) { w.AddString("llama.rope.scaling.type", "dynamic"); }, kNo, {"dynamic"}},
      {"llama",
       [](W& w) { w.AddString("llama.rope.scaling.type", "longrope"); },
       kBad,
       {"longrope", "rope_factors_long.weight"}},
      {"llama",
       [](W& w) { w.AddFloat32("llama.rope.scaling.factor", -1.0f); },
       kBad,
       {"factor", "-1"}},
      {"llama", [](W& w) { w.AddFloat32("llama.rope.freq_base", 0.0f); }, kBad, {"freq_base"}},
      {"llama", [](W& w) { w.AddFloat32("llama.logit_scale", 2.0f); }, kNo, {"logit_scale", "2"}},
      {"llama", [](W& w) { w.AddFloat32("llama.residual_scale", 0.5f); }, kNo, {"residual_scale"}},
      {"llama",
       [](W& w) { w.AddFloat32("llama.attn_logit_softcapping", 50.0f); },
       kNo,
       {"attn_logit_softcapping"}},
      {"llama",
       [](W& w) { w.AddFloat32("llama.final_logit_softcapping", 30.0f); },
       kNo,
       {"final_logit_softcapping"}},
      {"llama", [](W& w) { w.AddFloat32("llama.some_new_scale", 1.0f); }, kNo, {"some_new_scale"}},
      {"llama", [](W& w) { w.AddBool("llama.attention.causal", false); }, kNo, {"causal"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.expert_used_count", 2); },
       kBad,
       {"expert_used_count", "2", "expert_count", "0"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.expert_count", 4); },
       kBad,
       {"expert_used_count", "0", "4"}},
      {"llama",
       [](W& w) { w.AddString("llama.context_length", "long"); },
       kBad,
       {"context_length"}},
      {"llama", [](W& w) { w.AddUint32("llama.vocab_size", 7); }, kBad, {"vocab_size", "7", "320"}},
      {"llama", [](W& w) { w.RemoveTensor("blk.1.ffn_up.weight"); }, kBad, {"blk.1.ffn_up.weight"}},
      {"llama", [](W& w) { w.RemoveTensor("token_embd.weight"); }, kBad, {"token_embd.weight"}},
      {"llama",
       [](W& w) { w.AddTensor("blk.0.attn_q.scale", 0, {1}, std::vector<uint8_t>(4)); },
       kNo,
       {"blk.0.attn_q.scale"}},
      {"gemma3",
       [](W& w) { w.AddUint32("gemma3.attention.sliding_window_pattern", 70000); },
       kBad,
       {"pattern", "70000"}},
      {"gemma3",
       [](W& w) {
         w.AddBoolArray("gemma3.attention.sliding_window_pattern", {true, false});
       },
       kBad,
       {"pattern", "2", "7"}},
      {"lfm2", [](W& w) { w.AddUint32("lfm2.shortconv.l_cache", 1); }, kBad, {"l_cache", "1"}},
      {"lfm2",
       [](W& w) { w.AddUint32("lfm2.shortconv.l_cache", 4); },
       kBad,
       {"shortconv.conv", "[3, 64]", "[4, 64]"}},
      {"lfm2", [](W& w) { w.RemoveKey("lfm2.shortconv.l_cache"); }, kBad, {"l_cache"}},
      {"mamba2",
       [](W& w) { w.AddUint32("mamba2.ssm.time_step_rank", 5); },
       kBad,
       {"ssm.time_step_rank", "5", "128"}},
      {"mamba", [](W& w) { w.AddUint32("mamba.attention.head_count", 4); }, kNo, {"head_count"}},
      {"qwen35",
       [](W& w) { w.AddUint32("qwen35.ssm.inner_size", 64); },
       kBad,
       {"ssm.inner_size", "64", "128"}},
      {"qwen35",
       [](W& w) { w.AddUint32("qwen35.nextn_predict_layers", 4); },
       kBad,
       {"nextn_predict_layers", "4"}},
      {"phi3",
       [](W& w) { w.RemoveTensor("blk.0.attn_qkv.weight"); },
       kBad,
       {"attn_qkv", "missing"}},
      {"gemma4-e",
       [](W& w) { w.AddUint32("gemma4.attention.shared_kv_layers", 100); },
       kBad,
       {"shared_kv_layers", "100", "6"}},
      {"gemma4-e",
       [](W& w) { w.AddUint32("gemma4.rope.dimension_count_swa", 1024); },
       kBad,
       {"1024", "16"}},
      {"gemma4-e", [](W& w) { w.RemoveTensor("blk.2.inp_gate.weight"); }, kBad, {"inp_gate"}},
      {"gemma4-e",
       [](W& w) { w.RemoveTensor("per_layer_token_embd.weight"); },
       kBad,
       {"per_layer"}},
      {"deepseek2", [](W& w) { w.RemoveTensor("blk.1.attn_q_a.weight"); }, kBad, {"attn_q_a"}},
      {"cohere2",
       [](W& w) { w.RemoveKey("cohere2.attention.layer_norm_epsilon"); },
       kBad,
       {"cohere2.attention.layer_norm_epsilon", "missing"}},
      {"cohere2",
       [](W& w) { w.AddFloat32("cohere2.attention.layer_norm_rms_epsilon", 1e-5f); },
       kNo,
       {"layer_norm_rms_epsilon"}},
      {"cohere2",
       [](W& w) { w.AddFloat32("cohere2.logit_scale", 0.0f); },
       kBad,
       {"logit_scale", "0"}},
      {"cohere2",
       [](W& w) { w.AddTensor("blk.0.ffn_norm.weight", 0, {64}, std::vector<uint8_t>(256)); },
       kNo,
       {"blk.0.ffn_norm.weight"}},
      {"glm4",
       [](W& w) { w.AddUint32("glm4.rope.dimension_sections", 8); },
       kNo,
       {"dimension_sections"}},
      {"glm4",
       [](W& w) { w.RemoveTensor("blk.1.post_ffw_norm.weight"); },
       kBad,
       {"post_ffw_norm", "missing"}},
      {"glm4",
       [](W& w) { w.AddUint32("glm4.feed_forward_length", 64); },
       kBad,
       {"ffn_up", "[64, 256]", "[64, 128]"}},
      {"llama",
       [](W& w) { w.AddUint32("llama.nextn_predict_layers", 1); },
       kNo,
       {"nextn_predict_layers"}},
      {"gpt-oss",
       [](W& w) { w.RemoveTensor("blk.1.attn_sinks.weight"); },
       kBad,
       {"attn_sinks", "missing"}},
      {"lfm2moe",
       [](W& w) { w.AddUint32("lfm2moe.expert_used_count", 5); },
       kBad,
       {"expert_used_count", "5", "expert_count", "4"}},
      {"lfm2moe",
       [](W& w) { w.AddUint32("lfm2moe.expert_used_count", 0); },
       kBad,
       {"expert_used_count", "0"}},
      {"lfm2moe",
       [](W& w) { w.AddUint32("lfm2moe.expert_count", 8); },
       kBad,
       {"ffn_gate_inp", "[64, 4]", "[64, 8]"}},
      {"lfm2moe",
       [](W& w) { w.AddUint32("lfm2moe.expert_gating_func", 4); },
       kBad,
       {"expert_gating_func", "4"}},
      {"lfm2moe",
       [](W& w) { w.RemoveKey("lfm2moe.expert_gating_func"); },
       kBad,
       {"expert_gating_func"}},
      {"lfm2moe",
       [](W& w) { w.AddUint32("lfm2moe.expert_feed_forward_length", 32); },
       kBad,
       {"_exps", "32"}},
      {"lfm2moe",
       [](W& w) { w.AddUint32("lfm2moe.expert_group_count", 2); },
       kNo,
       {"expert_group_count"}},
  };
  for (size_t i = 0; i < refusals.size(); ++i) {
    const Refusal& r = refusals[i];
    const Status status = LoadChanged(Arch(r.arch), r.change);
    EXPECT_EQ(ErrorCodeName(status.code()), std::string(ErrorCodeName(r.code)))
        << "case " << i << ": " << status.ToString();
    for (const char* word : r.mentions)
      EXPECT_NE(status.ToString().find(word), std::string::npos)
          << "case " << i << " lacks " << word << ": " << status.ToString();
  }
}

TEST(LoaderTest, AcceptsHarmlessAndNeutralKeys) {
  const Status status = LoadChanged(TinyModelSpec(), [](GgufWriter& w) {
    w.AddFloat32("llama.logit_scale", 1.0f);
    w.AddFloat32("llama.attn_logit_softcapping", 0.0f);
    w.AddUint32("llama.expert_count", 0);
    w.AddBool("llama.attention.causal", true);
    w.AddString("llama.rope.scaling.type", "none");
    w.AddFloat32("llama.rope.scaling.factor", 8.0f);
    w.AddUint32("llama.rope.scaling.original_context_length", 256);
    w.AddUint32("llama.attention.head_count", 4);
    w.AddInt32Array("llama.attention.head_count_kv", std::vector<int32_t>{2, 2});
    w.AddUint32("other.unknown", 5);
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(LoaderTest, InfoFields) {
  const TestModel t = LoadTiny(TinyModelSpec());
  const ModelInfo& info = t.model->info();
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.file_type, "F32");
  EXPECT_EQ(info.vocab_size, 320);
  EXPECT_EQ(info.context_tokens, 512);
  EXPECT_EQ(info.num_layers, 2);
  EXPECT_EQ(info.embedding_length, 64);
  const int64_t layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128;
  EXPECT_EQ(info.macs_per_token, 2 * layer + 64 * 320);
  EXPECT_EQ(info.parameters, 2 * (layer + 2 * 64) + 2 * 64 * 320 + 64);
  EXPECT_EQ(info.active_bytes_per_token, 4 * info.macs_per_token);
  EXPECT_EQ(info.kv_bytes_per_token, 2 * 2 * 32 * 2);
  EXPECT_GE(info.weight_bytes, 4 * info.parameters);
  EXPECT_GT(info.load_s, 0.0);
}

TEST(LoaderTest, ActiveExpertsAloneCount) {
  TinyModelSpec spec = Arch("lfm2moe");
  const ModelInfo two = LoadTiny(spec).model->info();
  spec.experts_used = 3;
  const ModelInfo three = LoadTiny(spec).model->info();
  EXPECT_EQ(three.parameters, two.parameters);
  EXPECT_EQ(three.macs_per_token - two.macs_per_token, 3 * 3 * 64 * 64);  // three layers
}

TEST(LoaderTest, CancelStopsLoading) {
  GgufWriter writer;
  writer.set_durable(false);
  ASSERT_TRUE(BuildTinyModel(TinyModelSpec(), &writer).ok());
  const auto file = WriteAndOpen(writer, "cancel");
  std::atomic<bool> cancelled{true};
  ExecContext ctx;
  ctx.cancelled = &cancelled;
  EXPECT_EQ(LoadedModel::Load(ctx, *file).status().code(), ErrorCode::kCancelled);
}

TEST(LoaderTest, ManyThreadsPackTheSame) {
  TinyModelSpec spec = Arch("lfm2moe");
  spec.type = "Q5_0";
  const TestModel one = LoadTiny(spec);
  ThreadPool pool(3);
  ExecContext ctx;
  ctx.pool = &pool;
  const auto three = LoadedModel::Load(ctx, *one.file).value();
  for (size_t l = 0; l < 4; ++l) {
    const LayerWeights& a = one.model->weights().layers[l];
    const LayerWeights& b = three->weights().layers[l];
    if (a.up.data != nullptr) {
      EXPECT_EQ(memcmp(a.up.data, b.up.data, a.up.packed_bytes()), 0);
    }
    for (size_t e = 0; e < a.down_experts.size(); ++e)
      EXPECT_EQ(
          memcmp(a.down_experts[e].data, b.down_experts[e].data, a.down_experts[e].packed_bytes()),
          0);
  }
}

}  // namespace
}  // namespace lull::testing
