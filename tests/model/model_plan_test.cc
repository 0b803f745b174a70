// What is known of a model without its weights is what a runner of it takes.
#include "model/model_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "formats/file_kind.h"
#include "tests/model/model_test_util.h"
#include "tests/support/tiny_arch.h"

namespace lull {
namespace {

std::unique_ptr<GgufFile> TinyFile(const std::string& arch) {
  TinyModelSpec spec;
  spec.arch = arch;
  GgufWriter writer;
  writer.set_durable(false);
  EXPECT_TRUE(BuildTinyModel(spec, &writer).ok());
  return testing::WriteAndOpen(writer, "plan");
}

// The tables say what layers an architecture's files may have; the files, over all the variants
// that tests write, have just these.
TEST(ModelPlan, TraitsAreWhatFilesHave) {
  std::map<std::string, std::set<Mixer>> mixers;
  for (const std::string& arch : TinyModelArchitectures()) {
    SCOPED_TRACE(arch);
    const auto file = TinyFile(arch);
    const Result<ModelPlan> plan = PlanModel(ExecContext(), *file);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    const ArchitectureTraits traits = TraitsOf(*plan->architecture);
    for (const LayerKind& kind : plan->layer_kinds()) {
      mixers[plan->architecture->name].insert(kind.mixer);
      EXPECT_TRUE(traits.windows || kind.window == 0);
      EXPECT_TRUE(traits.shared_kv || !kind.shared_kv);
      EXPECT_TRUE(traits.experts || !kind.moe);
    }
  }
  for (const Architecture* architecture : AllArchitectures()) {
    const std::vector<Mixer> of_tables = TraitsOf(*architecture).mixers;
    EXPECT_EQ(mixers[architecture->name], std::set<Mixer>(of_tables.begin(), of_tables.end()))
        << architecture->name;
  }
}

TEST(ModelPlan, SequencesHoldWhatTheyAreSaidTo) {
  for (const char* arch : {"llama", "gemma3", "lfm2", "qwen35", "deepseek2", "mamba2"}) {
    SCOPED_TRACE(arch);
    const auto file = TinyFile(arch);
    const Result<ModelPlan> plan = PlanModel(ExecContext(), *file);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    const auto model = LoadedModel::Load(ExecContext(), *file);
    ASSERT_TRUE(model.ok());
    const Result<RunnerMemory> memory = MeasureRunner(**model, BestKernels(), {}, 1);
    ASSERT_TRUE(memory.ok());
    EXPECT_EQ(plan->SequenceBytesOf(KvType::kF16).full_context, memory->sequence_kv_bytes);
    EXPECT_EQ(plan->info.weight_bytes, (*model)->info().weight_bytes);
  }
}

}  // namespace
}  // namespace lull
