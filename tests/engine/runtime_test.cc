#include "lull/runtime.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>

#include "base/os/cgroup.h"
#include "base/os/os.h"
#include "engine/runtime_rep.h"
#include "tests/engine/world.h"
#include "tests/support/no_threads.h"

namespace lull {
namespace {

TEST(Runtime, DefaultsFitTheMachine) {
  const auto runtime = Runtime::Create({});
  ASSERT_TRUE(runtime.ok()) << runtime.status().ToString();
  const double quota = os::CgroupCpuQuota();
  const int most = quota > 0 ? static_cast<int>(std::ceil(quota)) : os::AvailableCpus();
  EXPECT_EQ((*runtime)->threads(), std::min(most, os::AvailableCpus()));
  EXPECT_FALSE((*runtime)->budget().cpu.capped());
  EXPECT_GT((*runtime)->cpu_meter().cpu_ns, 0);
  EXPECT_EQ((*runtime)->cpu_meter().throttled_ns, 0);
}

TEST(Runtime, InstructionSetByName) {
  const auto scalar = Runtime::Create({.isa = "scalar"});
  ASSERT_TRUE(scalar.ok());
  EXPECT_STREQ((*scalar)->isa(), "scalar");
  for (const char* isa :
       {"avx2", "avx2vnni", "avx512", "amx"}) {  // one the machine lacks is a usage error
    const auto runtime = Runtime::Create({.isa = isa});
    if (runtime.ok()) {
      EXPECT_STREQ((*runtime)->isa(), isa);
    } else {
      EXPECT_EQ(runtime.error().code, ErrorCode::kUsage) << isa;
    }
  }
  const auto unknown = Runtime::Create({.isa = "neon9"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_NE(unknown.error().message.find("neon9"), std::string::npos);
}

TEST(Runtime, RefusedThreadsAreAnError) {
  const double quota = os::CgroupCpuQuota();
  if (quota > 0 && quota <= 1) GTEST_SKIP() << "a CPU quota leaves one thread";
  const testing::World world({.threads = 1});
  const NoThreads refused;
  const auto runtime = Runtime::Create({.threads = 3});
  ASSERT_FALSE(runtime.ok());
  EXPECT_EQ(runtime.error().where, "compute thread 1");
  const auto engine = Engine::Create(*world.model, *world.runtime, {});
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().where, "engine thread");
}

// A model that loads must not silence those that answer meanwhile.
TEST(Runtime, LoadingLetsOthersCompute) {
  const testing::World world({.threads = 2}, {.embd = 512, .layers = 4, .ffn = 2048});
  Runtime::Rep& runtime = world.runtime->rep();
  const auto packed = [&] { return runtime.memory.ledger().packed; };
  const int64_t one = packed();
  std::atomic<bool> loaded{false};
  int turns = 0;  // while the weights of the second were on their way
  std::thread other([&] {
    while (!loaded) {
      std::lock_guard<FairMutex> lock(runtime.compute);
      turns += packed() > one && !loaded;
    }
  });
  const auto second = Model::Load(world.directory.File("tiny.gguf"), *world.runtime);
  loaded = true;
  other.join();
  EXPECT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_GT(turns, 10);
}

TEST(Runtime, RefusesNonsense) {
  for (const int threads : {-1, 100000}) {
    const auto runtime = Runtime::Create({.threads = threads});
    ASSERT_FALSE(runtime.ok());
    EXPECT_EQ(runtime.error().where, "threads");
  }
  const auto impossible = Runtime::Create({.budget = {.cpu = {.mean_share = 0.5, .p99_share = 0.5}}});
  ASSERT_FALSE(impossible.ok());
  EXPECT_EQ(impossible.error().code, ErrorCode::kBudgetImpossible);
}

}  // namespace
}  // namespace lull
