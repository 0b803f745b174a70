// The hub as a state machine: what loads, waits, stays and goes. Models are names without weights;
// the last tests take real ones, for engines that end in the middle of requests.
#include "service/on_demand_hub.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <thread>

#include "tests/support/heap_meter.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

using std::chrono::milliseconds;

template <typename Fn>
bool Soon(Fn&& fn) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!fn() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(milliseconds(2));
  return fn();
}

class FakeCatalog : public ModelCatalog {
 public:
  std::vector<AvailableModel> List() const override {
    std::vector<AvailableModel> models;
    for (const char* name : {"a", "b", "c", "d"}) models.push_back(Named(name));
    return models;
  }
  Result<AvailableModel> Find(const std::string& name) const override {
    for (AvailableModel& model : List())
      if (model.name == name || "alias_of_" + model.name == name) return std::move(model);
    return Error{ErrorCode::kNotFound, "model '" + name + "' not found", "model", ""};
  }
  Result<AvailableModel> Offer(const std::string& name) const override { return Find(name); }
  Result<AvailableModel> Pull(const std::string& name, const ProgressFn&) override {
    return Find(name);
  }
  Status Copy(const std::string&, const std::string&) override { return Status(); }
  Status Remove(const std::string&) override { return Status(); }

 private:
  static AvailableModel Named(const std::string& name) {
    AvailableModel model;
    model.name = name;
    model.bytes = 100;
    return model;
  }
};

// Loads at once unless held; counts.
class FakeLoader {
 public:
  OnDemandHub::LoadFn fn() {
    return [this](const AvailableModel& file) -> Result<ServedModel> {
      std::unique_lock<std::mutex> lock(mutex_);
      ++loads_[file.name];
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
      if (errors_.count(file.name) > 0) return errors_[file.name];
      ServedModel served;
      served.id = file.name;
      served.resident_bytes = file.bytes;
      return served;
    };
  }
  void Hold(bool held) {
    std::lock_guard<std::mutex> lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  void FailWith(const std::string& name, const Error& error) {
    std::lock_guard<std::mutex> lock(mutex_);
    errors_[name] = error;
  }
  void Heal(const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    errors_.erase(name);
  }
  int loads(const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    return loads_[name];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> loads_;
  std::map<std::string, Error> errors_;
  bool held_ = false;
};

// What one Acquire came to.
class Reply {
 public:
  ModelHub::AcquireFn fn() {
    return [this](Result<ServedModelPtr> result) {
      std::lock_guard<std::mutex> lock(mutex_);
      ++calls_;
      if (result.ok())
        served_ = std::move(*result);
      else
        error_ = result.error();
    };
  }
  bool Came() {
    return Soon([this] {
      std::lock_guard<std::mutex> lock(mutex_);
      return calls_ > 0;
    });
  }
  int calls() {
    std::lock_guard<std::mutex> lock(mutex_);
    return calls_;
  }
  std::string id() {
    if (!Came()) return "nothing came";
    std::lock_guard<std::mutex> lock(mutex_);
    return served_ == nullptr ? "error: " + error_.message : served_->id;
  }
  ErrorCode code() {
    if (!Came()) return ErrorCode::kInternal;
    std::lock_guard<std::mutex> lock(mutex_);
    return error_.code;
  }
  void Release() {
    ServedModelPtr served;
    std::lock_guard<std::mutex> lock(mutex_);
    served_.swap(served);
  }

 private:
  std::mutex mutex_;
  int calls_ = 0;
  ServedModelPtr served_;
  Error error_{ErrorCode::kOk, "", "", ""};
};

ModelQuery Query(const std::string& name, std::optional<int64_t> keep_alive_ms = {}) {
  ModelQuery query;
  query.name = name;
  query.keep_alive_ms = keep_alive_ms;
  return query;
}

std::set<std::string> LoadedNames(const ModelHub& hub) {
  std::set<std::string> names;
  for (const ServedModelPtr& served : hub.Loaded()) names.insert(served->id);
  return names;
}

struct World {
  explicit World(const OnDemandOptions& options) : hub(options, catalog, loader.fn()) {}
  FakeCatalog catalog;
  FakeLoader loader;
  OnDemandHub hub;
};

using Names = std::set<std::string>;

TEST(OnDemandHub, LoadsOnceAndKeeps) {
  World world({});
  for (const char* name : {"a", "a:latest", "alias_of_a", "a"}) {
    Reply reply;
    world.hub.Acquire(name, reply.fn());
    EXPECT_EQ(reply.id(), "a");
  }
  EXPECT_EQ(world.loader.loads("a"), 1);
  EXPECT_EQ(LoadedNames(world.hub), Names{"a"});
  const auto residents = world.hub.Residents();
  ASSERT_EQ(residents.size(), 1u);
  EXPECT_FALSE(residents[0].in_use);
  EXPECT_GT(residents[0].expires_in_ms, 200'000);
  EXPECT_LE(residents[0].expires_in_ms, 300'000);
}

TEST(OnDemandHub, UnknownNames) {
  World without({});
  Reply unknown, none;
  without.hub.Acquire("x", unknown.fn());
  without.hub.Acquire("", none.fn());
  EXPECT_EQ(unknown.code(), ErrorCode::kNotFound);
  EXPECT_EQ(none.code(), ErrorCode::kUsage);

  OnDemandOptions options;
  options.own = "b";
  World with(options);
  Reply own, any, exact, other;
  with.hub.Acquire("", own.fn());
  with.hub.Acquire("gpt-9", any.fn());
  ModelQuery query = Query("gpt-9");
  query.exact = true;
  with.hub.Acquire(query, exact.fn());
  with.hub.Acquire("c", other.fn());
  EXPECT_EQ(own.id(), "b");
  EXPECT_EQ(any.id(), "b");
  EXPECT_EQ(exact.code(), ErrorCode::kNotFound);
  EXPECT_EQ(other.id(), "c");
  EXPECT_EQ(with.hub.Loaded().front()->id, "b");
  for (const ModelResidency& resident : with.hub.Residents())
    EXPECT_EQ(resident.expires_in_ms < 0, resident.served->id == "b");
}

TEST(OnDemandHub, KeepAlive) {
  World world({});
  Reply at_once, soon, ever;
  world.hub.Acquire(Query("a", 0), at_once.fn());
  world.hub.Acquire(Query("b", 30), soon.fn());
  world.hub.Acquire(Query("c", -1), ever.fn());
  EXPECT_EQ(at_once.id() + soon.id() + ever.id(), "abc");
  std::this_thread::sleep_for(milliseconds(60));  // in use: nothing goes
  EXPECT_EQ(LoadedNames(world.hub), (Names{"a", "b", "c"}));
  at_once.Release();
  soon.Release();
  ever.Release();
  EXPECT_TRUE(Soon([&] { return LoadedNames(world.hub) == Names{"c"}; }));
  EXPECT_TRUE(world.hub.Unload("c:latest"));
  EXPECT_FALSE(world.hub.Unload("b"));
  EXPECT_TRUE(Soon([&] { return world.hub.Residents().empty(); }));
}

TEST(OnDemandHub, WhoComesWhileItLoadsWaitsAlong) {
  World world({});
  world.loader.Hold(true);
  Reply replies[5];
  for (Reply& reply : replies) world.hub.Acquire("a", reply.fn());
  ASSERT_TRUE(Soon([&] { return world.loader.loads("a") == 1; }));
  for (Reply& reply : replies) EXPECT_EQ(reply.calls(), 0);
  world.loader.Hold(false);
  for (Reply& reply : replies) EXPECT_EQ(reply.id(), "a");
  EXPECT_EQ(world.loader.loads("a"), 1);
}

TEST(OnDemandHub, ErrorsReachAllWhoWaitAndTheNextTriesAgain) {
  World world({});
  world.loader.FailWith("a", {ErrorCode::kInvalidModel, "broken", "a", ""});
  world.loader.Hold(true);
  Reply replies[3], again;
  for (Reply& reply : replies) world.hub.Acquire("a", reply.fn());
  world.loader.Hold(false);
  for (Reply& reply : replies) EXPECT_EQ(reply.code(), ErrorCode::kInvalidModel);
  world.loader.Heal("a");
  world.hub.Acquire("a", again.fn());
  EXPECT_EQ(again.id(), "a");
  EXPECT_EQ(world.loader.loads("a"), 2);
}

TEST(OnDemandHub, NothingIsLoadedForClientsThatHaveGone) {
  World world({});
  world.loader.Hold(true);
  Reply first, gone, stays;
  world.hub.Acquire("a", first.fn());
  std::stop_source left;
  ModelQuery query = Query("b");
  query.abandoned = left.get_token();
  world.hub.Acquire(query, gone.fn());
  ModelQuery shared = Query("c");
  shared.abandoned = left.get_token();
  Reply gone_too;
  world.hub.Acquire(shared, gone_too.fn());
  world.hub.Acquire("c", stays.fn());
  left.request_stop();
  world.loader.Hold(false);
  EXPECT_EQ(first.id(), "a");
  EXPECT_EQ(gone.code(), ErrorCode::kCancelled);
  EXPECT_EQ(gone_too.code(), ErrorCode::kCancelled);
  EXPECT_EQ(stays.id(), "c");
  EXPECT_EQ(world.loader.loads("b"), 0);
}

TEST(OnDemandHub, WhoLeavesWhileAllModelsAreInUseIsToldSo) {
  OnDemandOptions options;
  options.max_loaded = 1;
  World world(options);
  Reply holds, waits, gone;
  world.hub.Acquire("a", holds.fn());
  ASSERT_EQ(holds.id(), "a");  // and is not given back
  world.hub.Acquire("b", waits.fn());
  std::stop_source left;
  ModelQuery query = Query("c");
  query.abandoned = left.get_token();
  world.hub.Acquire(query, gone.fn());
  left.request_stop();
  EXPECT_EQ(gone.code(), ErrorCode::kCancelled);
  EXPECT_EQ(waits.calls(), 0);
  world.hub.Drain();
  EXPECT_EQ(waits.code(), ErrorCode::kBusy);
}

TEST(OnDemandHub, TheOneUsedLongestAgoMakesRoom) {
  OnDemandOptions options;
  options.max_loaded = 2;
  World world(options);
  const auto use = [&](const std::string& name) {
    Reply reply;
    world.hub.Acquire(name, reply.fn());
    EXPECT_EQ(reply.id(), name);
  };
  use("a");
  use("b");
  use("a");
  use("c");
  EXPECT_EQ(LoadedNames(world.hub), (Names{"a", "c"}));
  EXPECT_EQ(world.loader.loads("a"), 1);
}

TEST(OnDemandHub, WhereAllAreInUseTheNextWaitsForOneToEnd) {
  OnDemandOptions options;
  options.ram_bytes = 250;  // two of 100
  World world(options);
  Reply a, b, c;
  world.hub.Acquire("a", a.fn());
  world.hub.Acquire("b", b.fn());
  EXPECT_EQ(a.id() + b.id(), "ab");
  world.hub.Acquire("c", c.fn());
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_EQ(c.calls(), 0);
  a.Release();
  EXPECT_EQ(c.id(), "c");
  EXPECT_EQ(LoadedNames(world.hub), (Names{"b", "c"}));
}

TEST(OnDemandHub, AModelThatNeverFitsIsRefused) {
  OnDemandOptions options;
  options.ram_bytes = 99;
  World world(options);
  Reply reply;
  world.hub.Acquire("a", reply.fn());
  EXPECT_EQ(reply.code(), ErrorCode::kOutOfMemory);
  EXPECT_EQ(world.loader.loads("a"), 0);
}

TEST(OnDemandHub, OutOfMemoryWhileLoadingEvictsAndTriesAgain) {
  World world({});
  Reply a, b;
  world.hub.Acquire("a", a.fn());
  EXPECT_EQ(a.id(), "a");
  world.loader.FailWith("b", {ErrorCode::kOutOfMemory, "no memory", "", ""});
  world.hub.Acquire("b", b.fn());
  ASSERT_TRUE(Soon([&] { return world.loader.loads("b") == 1; }));
  EXPECT_EQ(b.calls(), 0);  // a is in use
  world.loader.Heal("b");
  a.Release();
  EXPECT_EQ(b.id(), "b");
  EXPECT_EQ(world.loader.loads("b"), 2);

  World alone({});
  alone.loader.FailWith("b", {ErrorCode::kOutOfMemory, "no memory", "", ""});
  Reply refused;
  alone.hub.Acquire("b", refused.fn());
  EXPECT_EQ(refused.code(), ErrorCode::kOutOfMemory);
}

TEST(OnDemandHub, TooManyWaiting) {
  OnDemandOptions options;
  options.max_waiting = 2;
  World world(options);
  world.loader.Hold(true);
  Reply a, b, c;
  world.hub.Acquire("a", a.fn());
  world.hub.Acquire("b", b.fn());
  world.hub.Acquire("c", c.fn());
  EXPECT_EQ(c.code(), ErrorCode::kBusy);
  world.loader.Hold(false);
  EXPECT_EQ(a.id() + b.id(), "ab");
}

TEST(OnDemandHub, DrainingTellsThoseThatWait) {
  World world({});
  world.loader.Hold(true);
  Reply waits, late;
  world.hub.Acquire("a", waits.fn());
  ASSERT_TRUE(Soon([&] { return world.loader.loads("a") == 1; }));
  world.hub.Drain();
  world.hub.Acquire("a", late.fn());
  EXPECT_EQ(late.code(), ErrorCode::kBusy);
  world.loader.Hold(false);
  EXPECT_EQ(waits.code(), ErrorCode::kBusy);
}

TEST(OnDemandHub, EndsWhileItLoads) {
  std::atomic<int> answers{0};
  {
    World world({});
    for (const char* name : {"a", "b"})
      world.hub.Acquire(name, [&answers](Result<ServedModelPtr>) { ++answers; });
  }
  EXPECT_EQ(answers.load(), 2);
}

// Everything at once, for the thread sanitizer.
TEST(OnDemandHub, ManyClientsUnloadsAndAnEndInTheMiddle) {
  std::atomic<int> answers{0};
  constexpr int kThreads = 4, kRounds = 200;
  {
    OnDemandOptions options;
    options.max_loaded = 2;
    options.keep_alive_ms = 1;
    World world(options);
    std::vector<std::thread> clients;
    for (int t = 0; t < kThreads; ++t) {
      clients.emplace_back([&world, &answers, t] {
        for (int i = 0; i < kRounds; ++i) {
          const std::string name(1, static_cast<char>('a' + (i + t) % 4));
          std::stop_source left;
          ModelQuery query = Query(name);
          if (i % 5 == 0) query.keep_alive_ms = i % 3 - 1;
          query.abandoned = left.get_token();
          world.hub.Acquire(query, [&answers](Result<ServedModelPtr>) { ++answers; });
          if (i % 7 == 0) left.request_stop();
          if (i % 11 == 0) world.hub.Unload(name);
          if (i % 13 == 0) world.hub.Residents();
          if (i % 17 == 0) world.hub.stats();
        }
      });
    }
    for (std::thread& client : clients) client.join();
  }
  EXPECT_EQ(answers.load(), kThreads * kRounds);
}

// Real models in a folder: "x" and "y".
// Asking fails, at whatever allocation, without a lock or a hold left behind.
TEST(OnDemandHub, WhoFindsNoMemoryHoldsNothing) {
  World world({});
  Reply first;
  world.hub.Acquire("a", first.fn());
  ASSERT_EQ(first.id(), "a");
  first.Release();
  int number = 0;
  std::thread([&] {
    LetAllocationsFail();
    for (bool failed = true; failed && number < 500; ++number) {
      FailAllocation(number);
      try {
        world.hub.Acquire("a", [](Result<ServedModelPtr>) {});
        world.hub.Acquire("b", [](Result<ServedModelPtr>) {});
        world.hub.Residents();
      } catch (const std::bad_alloc&) {
      }
      failed = AllocationHasFailed();
      FailAllocation(-1);
    }
  }).join();
  EXPECT_GT(number, 5);
  EXPECT_LT(number, 500);
  Reply loaded;  // else "b" may still be on its way
  world.hub.Acquire("b", loaded.fn());
  ASSERT_EQ(loaded.id(), "b");
  loaded.Release();
  world.hub.Unload("a");
  world.hub.Unload("b");
  EXPECT_TRUE(Soon([&] { return world.hub.Residents().empty(); })) << "something is still held";
}

class EngineHubTest : public testing::Test {
 protected:
  class FolderCatalog : public FakeCatalog {
   public:
    explicit FolderCatalog(std::string folder) : folder_(std::move(folder)) {}
    Result<AvailableModel> Find(const std::string& name) const override {
      AvailableModel model;
      model.name = name;
      model.path = folder_ + "/" + name + ".gguf";
      return model;
    }

   private:
    std::string folder_;
  };

  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) /
        ("hub_" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()));
    std::filesystem::create_directories(folder_);
    TinyModelSpec spec;
    spec.ctx = 512;
    for (const char* name : {"x", "y"}) {
      ASSERT_TRUE(WriteTinyModel(spec, (folder_ / (std::string(name) + ".gguf")).string()).ok());
      ++spec.seed;
    }
    RuntimeOptions options;
    options.threads = 2;
    Result<std::unique_ptr<Runtime>> runtime = Runtime::Create(options);
    ASSERT_TRUE(runtime.ok());
    runtime_ = std::move(*runtime);
    catalog_ = std::make_unique<FolderCatalog>(folder_.string());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Request LongRequest() {
    Request request;
    request.prompt_tokens = {1, 2, 3};
    request.max_new_tokens = 300;
    request.ignore_eog = true;
    return request;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<FolderCatalog> catalog_;
};

// The request alone holds its model, and lets go of it on the engine's own thread.
TEST_F(EngineHubTest, AModelUnloadedUnderARequestEndsAfterIt) {
  OnDemandHub hub({}, *catalog_, EngineLoader(*runtime_, {}));
  std::atomic<int> tokens{0}, finished{0};
  for (int round = 0; round < 3; ++round) {
    hub.Acquire(Query("x", 0), [&](Result<ServedModelPtr> result) {
      ASSERT_TRUE(result.ok()) << result.status().ToString();
      const ServedModelPtr served = std::move(*result);
      const auto id =
          served->engine->Submit(LongRequest(), [served, &tokens, &finished](const Event& event) {
            ++(event.kind == Event::Kind::kToken ? tokens : finished);
          });
      ASSERT_TRUE(id.ok());
    });
    ASSERT_TRUE(Soon([&] { return finished.load() == round + 1; }));
    EXPECT_TRUE(Soon([&] { return hub.Residents().empty(); }));
  }
  EXPECT_EQ(tokens.load(), 900);
  EXPECT_EQ(hub.stats().new_tokens, 900);
  EXPECT_EQ(hub.stats().requests_finished, 3);
}

TEST_F(EngineHubTest, TheEndCancelsWhatRuns) {
  std::atomic<int> finished{0};
  {
    OnDemandHub hub({}, *catalog_, EngineLoader(*runtime_, {}));
    for (const char* name : {"x", "y", "x"}) {
      hub.Acquire(name, [&](Result<ServedModelPtr> result) {
        ASSERT_TRUE(result.ok()) << result.status().ToString();
        const ServedModelPtr served = std::move(*result);
        const auto id =
            served->engine->Submit(LongRequest(), [served, &finished](const Event& event) {
              finished += event.kind == Event::Kind::kFinish;
            });
        ASSERT_TRUE(id.ok());
      });
    }
    ASSERT_TRUE(Soon([&] { return hub.stats().requests_submitted == 3; }));
  }
  EXPECT_EQ(finished.load(), 3);
}

}  // namespace
}  // namespace lull
