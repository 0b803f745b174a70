// The governor against a discrete-event simulation: simulated threads, clock and CPU meter.
#include "budget/cpu_governor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "budget/budget_governor.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kUs = 1'000;

class SimClock : public GovernorClock {
 public:
  int64_t MonotonicNs() override { return now; }
  int64_t ProcessCpuNs() override {
    if (on_read) on_read();
    return cpu;
  }
  void SleepUntilNs(int64_t until) override { now = std::max(now, until); }
  int64_t now = 1'000'000 * kMs;
  int64_t cpu = 0;
  std::function<void()> on_read;  // brings cpu up to date
};

// What the process meter shows of the others' CPU time: all of it, whole tiles, or what they had
// spent as of their own last read of it, as Linux does between two ticks.
enum class Visible { kAll, kTiles, kReads };

// CPU time used up to any moment: a piecewise linear curve built from busy intervals.
class UsageCurve {
 public:
  explicit UsageCurve(const std::vector<std::pair<int64_t, int64_t>>& busy) {
    std::map<int64_t, int> slopes;
    for (const auto& [begin, end] : busy) {
      ++slopes[begin];
      --slopes[end];
    }
    int64_t used = 0, last = 0;
    int slope = 0;
    for (const auto& [time, change] : slopes) {
      used += slope * (time - last);
      points_.push_back({time, used});
      slope += change;
      last = time;
    }
  }

  int64_t At(int64_t time) const {
    auto next = std::upper_bound(points_.begin(), points_.end(), time,
                                 [](int64_t t, const Point& p) { return t < p.time; });
    if (next == points_.begin()) return 0;
    const Point& before = *std::prev(next);
    if (next == points_.end()) return before.used;
    const double share = static_cast<double>(time - before.time) / (next->time - before.time);
    return before.used + static_cast<int64_t>(share * (next->used - before.used));
  }

  // The most used in any window of this width. A maximum begins or ends at a point of the curve.
  int64_t MostIn(int64_t width) const {
    int64_t most = 0;
    for (const Point& p : points_) {
      most = std::max({most, At(p.time + width) - p.used, p.used - At(p.time - width)});
    }
    return most;
  }

 private:
  struct Point {
    int64_t time, used;
  };
  std::vector<Point> points_;
};

// What a thread does next: stall off the CPU, then compute one tile.
struct Unit {
  int64_t stall_ns = 0;
  int64_t work_ns = 0;
};
using Program = std::function<Unit(int thread)>;

struct SimOptions {
  int threads = 2;
  int64_t duration_ns = 1000 * kMs;
  int64_t wake_latency_ns = 0;  // up to this much, random
  Visible visible = Visible::kAll;
  std::function<void(int64_t elapsed_ns)> at_event;
};

// Threads never wait for a CPU: the adversary with the most freedom. Returns the busy intervals.
std::vector<std::pair<int64_t, int64_t>> Simulate(CpuGovernor& governor, SimClock& clock,
                                                  const Program& program, const SimOptions& options,
                                                  std::mt19937_64& rng) {
  struct Thread {
    CpuGovernor::ThreadState state;
    bool working = false;
    int64_t shown_cpu = 0, own_cpu = 0;
    int64_t work_begin = 0, work_end = 0;
    Unit next;
  };
  enum Kind { kFinish, kWake, kBegin };
  using Event = std::tuple<int64_t, int, Kind>;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  std::vector<Thread> threads(options.threads);
  std::vector<std::pair<int64_t, int64_t>> busy;
  const int64_t start = clock.now;
  const int64_t before = clock.cpu;
  int64_t finished_cpu = before;

  const auto schedule_unit = [&](int i) {
    threads[i].next = program(i);
    events.push({clock.now + threads[i].next.stall_ns, i, kBegin});
  };
  for (int i = 0; i < options.threads; ++i) schedule_unit(i);
  while (!events.empty()) {
    const auto [time, i, kind] = events.top();
    events.pop();
    if (time - start > options.duration_ns) break;
    clock.now = time;
    if (options.at_event) options.at_event(time - start);
    Thread& thread = threads[i];
    if (kind == kBegin) {
      thread.working = true;
      thread.work_begin = time;
      thread.work_end = time + thread.next.work_ns;
      busy.push_back({thread.work_begin, thread.work_end});
      events.push({thread.work_end, i, kFinish});
      continue;
    }
    if (kind == kFinish) {
      thread.working = false;
      finished_cpu += thread.next.work_ns;
      thread.own_cpu += thread.next.work_ns;
    }
    clock.on_read = [&] {
      thread.shown_cpu = thread.own_cpu;
      int64_t visible = options.visible == Visible::kReads ? before : finished_cpu;
      for (const Thread& other : threads) {
        if (options.visible == Visible::kReads) visible += other.shown_cpu;
        if (options.visible == Visible::kAll && other.working) visible += time - other.work_begin;
      }
      clock.cpu = std::max(clock.cpu, visible);
    };
    const int64_t wake = governor.Poll(thread.state);
    clock.on_read = nullptr;
    if (wake == 0) {
      schedule_unit(i);
    } else {
      EXPECT_GT(wake, time);
      const int64_t late =
          options.wake_latency_ns > 0 ? static_cast<int64_t>(rng() % options.wake_latency_ns) : 0;
      events.push({wake + late, i, kWake});
    }
  }
  return busy;
}

void ExpectBound(const std::vector<std::pair<int64_t, int64_t>>& busy, const CpuBudget& budget,
                 int cpus, int threads, const std::string& label) {
  const GovernorLimits limits = LimitsOf(budget, cpus);
  const UsageCurve curve(busy);
  for (const int64_t width : {20 * kMs, 50 * kMs, 100 * kMs, 1000 * kMs}) {
    const double bound = limits.rate * width + limits.burst_ns + threads * limits.quantum_ns;
    // 1 us for the rounding of the rate to a millionth of a CPU.
    ASSERT_LE(curve.MostIn(width), bound + kUs) << label << " window " << width / kMs << " ms";
  }
}

// One random adversary: threads, budget, and a mix of tiles, stalls and idle stretches.
void RunRandomSequence(uint64_t seed, int64_t max_duration_ns) {
  std::mt19937_64 rng(seed);
  const auto uniform = [&rng](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng() % (high - low + 1));
  };
  SimOptions options;
  options.threads = static_cast<int>(uniform(1, 4));
  options.duration_ns = uniform(30 * kMs, max_duration_ns);
  options.wake_latency_ns = uniform(0, 1) * uniform(1, 300 * kUs);
  options.visible = static_cast<Visible>(rng() % 3);
  const int cpus = options.threads;
  CpuBudget budget;
  budget.mean_share = 0.01 * uniform(2, 90);
  budget.p99_share = std::min(1.0, budget.mean_share + 0.01 * uniform(5, 30));
  const int stall_percent = static_cast<int>(uniform(0, 60));
  const int64_t longest_stall = uniform(10 * kUs, 60 * kMs);
  const int64_t longest_tile = uniform(20 * kUs, 200 * kUs);
  SimClock clock;
  CpuGovernor governor(budget, cpus, clock);
  const Program program = [&](int) {
    Unit unit;
    if (uniform(0, 99) < stall_percent) unit.stall_ns = uniform(0, longest_stall);
    unit.work_ns = uniform(1 * kUs, longest_tile);
    return unit;
  };
  const auto busy = Simulate(governor, clock, program, options, rng);
  ExpectBound(busy, budget, cpus, options.threads, "seed " + std::to_string(seed));
}

TEST(CpuGovernorSim, NoWindowExceedsTheBound) {
  for (uint64_t seed = 0; seed < 3000 && !HasFatalFailure(); ++seed) {
    RunRandomSequence(seed, 400 * kMs);
  }
  for (uint64_t seed = 1'000'000; seed < 1'000'060 && !HasFatalFailure(); ++seed) {
    RunRandomSequence(seed, 2500 * kMs);
  }
}

TEST(CpuGovernorSlowSim, NoWindowExceedsTheBoundIn100000Sequences) {
  for (uint64_t seed = 2'000'000; seed < 2'100'000 && !HasFatalFailure(); ++seed) {
    RunRandomSequence(seed, 120 * kMs);
  }
}

// What a budget that changes at work allows: the rates over the window, the largest burst that held
// in it, and a quantum a thread.
class ChangingBound {
 public:
  void Add(int64_t at_ns, const GovernorLimits& limits) { steps_.push_back({at_ns, limits}); }
  // Requires: changes were added in order, the first before begin_ns.
  double In(int64_t begin_ns, int64_t end_ns, int threads) const {
    double sum = 0.0, burst = 0.0;
    for (size_t i = 0; i < steps_.size(); ++i) {
      const int64_t until = i + 1 < steps_.size() ? steps_[i + 1].at_ns : end_ns;
      const int64_t from = std::max(begin_ns, steps_[i].at_ns), to = std::min(end_ns, until);
      if (from > to) continue;
      sum += steps_[i].limits.rate * static_cast<double>(to - from);
      burst = std::max(burst, static_cast<double>(steps_[i].limits.burst_ns));
    }
    return sum + burst + static_cast<double>(threads * steps_[0].limits.quantum_ns);
  }

 private:
  struct Step {
    int64_t at_ns;
    GovernorLimits limits;
  };
  std::vector<Step> steps_;
};

// As above, while the budget is changed every few milliseconds, up and down: no change gives credit
// that was not there.
void RunChangingSequence(uint64_t seed, int64_t max_duration_ns) {
  std::mt19937_64 rng(seed);
  const auto uniform = [&rng](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng() % (high - low + 1));
  };
  SimOptions options;
  options.threads = static_cast<int>(uniform(1, 4));
  options.duration_ns = uniform(60 * kMs, max_duration_ns);
  options.wake_latency_ns = uniform(0, 1) * uniform(1, 300 * kUs);
  options.visible = static_cast<Visible>(rng() % 3);
  const int cpus = options.threads;
  const auto random_budget = [&] {
    CpuBudget budget;
    budget.mean_share = 0.01 * uniform(2, 90);
    budget.p99_share = std::min(1.0, budget.mean_share + 0.01 * uniform(0, 40));
    return budget;
  };
  const int64_t longest_pause = uniform(kMs / 2, 60 * kMs);
  const int stall_percent = static_cast<int>(uniform(0, 60));
  const int64_t longest_stall = uniform(10 * kUs, 60 * kMs);
  const CpuBudget first = random_budget();
  SimClock clock;
  ChangingBound bound;
  CpuGovernor governor(first, cpus, clock);
  const int64_t start = clock.now;
  bound.Add(0, LimitsOf(first, cpus));
  int64_t next_change = uniform(0, longest_pause);
  options.at_event = [&](int64_t elapsed_ns) {
    if (elapsed_ns < next_change) return;
    const CpuBudget budget = random_budget();
    governor.SetBudget(budget);
    bound.Add(start + elapsed_ns, LimitsOf(budget, cpus));
    next_change = elapsed_ns + uniform(0, longest_pause);
  };
  const Program program = [&](int) {
    Unit unit;
    if (uniform(0, 99) < stall_percent) unit.stall_ns = uniform(0, longest_stall);
    unit.work_ns = uniform(1 * kUs, 200 * kUs);
    return unit;
  };
  const UsageCurve curve(Simulate(governor, clock, program, options, rng));
  for (const int64_t width : {20 * kMs, 50 * kMs, 100 * kMs}) {
    for (int64_t begin = start; begin < start + options.duration_ns; begin += kMs / 4) {
      const int64_t used = curve.At(begin + width) - curve.At(begin);
      ASSERT_LE(used, bound.In(begin, begin + width, options.threads) + 2 * kUs)
          << "seed " << seed << " window " << width / kMs << " ms at " << begin - start;
    }
  }
}

TEST(CpuGovernorSim, NoWindowExceedsTheBoundWhileTheBudgetChanges) {
  for (uint64_t seed = 3'000'000; seed < 3'000'600 && !HasFatalFailure(); ++seed) {
    RunChangingSequence(seed, 300 * kMs);
  }
}

TEST(CpuGovernorSlowSim, NoWindowExceedsTheBoundIn20000ChangingBudgets) {
  for (uint64_t seed = 4'000'000; seed < 4'020'000 && !HasFatalFailure(); ++seed) {
    RunChangingSequence(seed, 200 * kMs);
  }
}

TEST(CpuGovernorSim, BackloggedThreadsGetTheirRate) {
  for (const double share : {0.05, 0.10, 0.35, 0.70, 0.90}) {
    for (const int threads : {1, 2, 4}) {
      if (share * 4 > threads) continue;  // one thread cannot use more than one CPU
      std::mt19937_64 rng(7);
      SimClock clock;
      const CpuBudget budget{share, 0.0};
      CpuGovernor governor(budget, 4, clock);
      SimOptions options;
      options.threads = threads;
      options.duration_ns = 3000 * kMs;
      options.wake_latency_ns = 200 * kUs;
      const auto busy = Simulate(
          governor, clock,
          [&](int) {
            return Unit{0, static_cast<int64_t>(rng() % (200 * kUs)) + 1};
          },
          options, rng);
      ExpectBound(busy, budget, 4, threads, "backlogged");
      int64_t used = 0;
      for (const auto& [begin, end] : busy) used += end - begin;
      const double got = static_cast<double>(used) / (share * 4 * options.duration_ns);
      EXPECT_GE(got, 0.97) << share << " x " << threads;
      EXPECT_LE(got, 1.01) << share << " x " << threads;
    }
  }
}

TEST(CpuGovernorSim, StartsWithoutCredit) {
  SimClock clock;
  CpuGovernor governor({0.35, 0.50}, 2, clock);
  CpuGovernor::ThreadState thread;
  clock.now += kMs;
  clock.cpu += kMs;  // 1 ms of work in 1 ms: 0.3 ms ahead of the rate
  EXPECT_GT(governor.Poll(thread), clock.now);
}

TEST(CpuGovernorSim, IdleTimeGivesNoMoreThanTheBurst) {
  SimClock clock;
  CpuGovernor governor({0.35, 0.50}, 2, clock);
  CpuGovernor::ThreadState thread;
  EXPECT_EQ(governor.Poll(thread), 0);
  clock.now += 3'600'000 * kMs;
  int64_t used = 0;
  while (true) {
    clock.now += 200 * kUs;
    clock.cpu += 200 * kUs;
    used += 200 * kUs;
    if (governor.Poll(thread) != 0) break;
    ASSERT_LT(used, 100 * kMs);
  }
  // One thread at full speed gains on the rate only 0.3 of what it uses.
  EXPECT_LE(used * 0.3, governor.burst_ns() + 300 * kUs);
  // The first look after a pause takes what was spent since the one before for spent just now.
  EXPECT_GE(used * 0.3, governor.burst_ns() - kMs);
}

// Drives one thread through a tile of this CPU time and all the sleep it causes.
int64_t RunTile(CpuGovernor& governor, SimClock& clock, CpuGovernor::ThreadState& thread,
                int64_t work_ns) {
  clock.now += work_ns;
  clock.cpu += work_ns;
  const int64_t before = clock.now;
  while (const int64_t wake = governor.Poll(thread)) clock.now = wake;
  return clock.now - before;
}

TEST(CpuGovernorFaults, UninterruptibleUnitIsRepaid) {
  for (const bool after_idle : {false, true}) {
    SimClock clock;
    CpuGovernor governor({0.35, 0.50}, 2, clock);
    CpuGovernor::ThreadState thread;
    for (int i = 0; i < 1000; ++i) RunTile(governor, clock, thread, 150 * kUs);
    if (after_idle) clock.now += 5000 * kMs;
    const int64_t slept = RunTile(governor, clock, thread, 50 * kMs);
    // 50 ms less what was earned meanwhile at most (35 ms), less the credit: the rest takes time.
    const double owed_ms = after_idle ? (50.0 - 5.0) / 0.7 : (50.0 - 5.0 - 35.0) / 0.7;
    EXPECT_GE(slept, owed_ms * kMs) << after_idle;
    EXPECT_LE(slept, 80 * kMs) << after_idle;
  }
}

TEST(CpuGovernorFaults, ForwardClockJumpGivesNoCredit) {
  std::mt19937_64 rng(3);
  SimClock clock;
  const CpuBudget budget{0.35, 0.50};
  CpuGovernor governor(budget, 2, clock);
  const Program program = [&](int) {
    return Unit{0, static_cast<int64_t>(rng() % (200 * kUs)) + 1};
  };
  SimOptions options;
  const auto before = Simulate(governor, clock, program, options, rng);
  clock.now += 3'600'000 * kMs;
  const auto after = Simulate(governor, clock, program, options, rng);
  ExpectBound(after, budget, 2, 2, "after the jump");
}

TEST(CpuGovernorFaults, BackwardClockJumpEndsInTenSecondsOfCpu) {
  SimClock clock;
  CpuGovernor governor({0.35, 0.50}, 2, clock);
  CpuGovernor::ThreadState thread;
  RunTile(governor, clock, thread, kMs);
  clock.now -= 3'600'000 * kMs;
  EXPECT_LE(RunTile(governor, clock, thread, kMs), 15'000 * kMs);
}

TEST(CpuGovernorFaults, LiftedBudgetFreesASleeperWithin20Ms) {
  SimClock clock;
  CpuGovernor governor({0.05, 0.20}, 2, clock);
  CpuGovernor::ThreadState thread;
  clock.now += 1000 * kMs;
  clock.cpu += 1000 * kMs;
  const int64_t wake = governor.Poll(thread);
  ASSERT_GT(wake, clock.now);
  EXPECT_LE(wake, clock.now + 20 * kMs);
  clock.now += kMs;
  governor.SetBudget({});
  EXPECT_FALSE(governor.capped());
  clock.now = wake;
  EXPECT_EQ(governor.Poll(thread), 0);
}

TEST(CpuGovernorFaults, RateChangeMidSleepKeepsTheDebt) {
  SimClock clock;
  CpuGovernor governor({0.10, 0.30}, 1, clock);
  CpuGovernor::ThreadState thread;
  clock.now += 100 * kMs;
  clock.cpu += 100 * kMs;  // owes 90 ms of CPU time
  const int64_t start = clock.now;
  int64_t wake = governor.Poll(thread);
  ASSERT_NE(wake, 0);
  clock.now = wake;  // 20 ms later: 2 ms are paid
  governor.SetBudget({0.50, 0.80});
  while ((wake = governor.Poll(thread)) != 0) clock.now = wake;
  const double rest_ms = static_cast<double>(clock.now - start) / kMs - 20.0;
  // The bucket opens a little below its burst, so between "no credit" and "half a burst".
  EXPECT_NEAR(rest_ms, 88.0 / 0.5, 12.0);
}

TEST(CpuGovernorFaults, LoweredRateHoldsTheNewBoundAtOnce) {
  std::mt19937_64 rng(5);
  SimClock clock;
  const CpuBudget low{0.10, 0.20};
  CpuGovernor governor({0.80, 0.95}, 2, clock);
  const Program program = [&](int) {
    return Unit{0, static_cast<int64_t>(rng() % (200 * kUs)) + 1};
  };
  SimOptions options;
  Simulate(governor, clock, program, options, rng);
  governor.SetBudget(low);
  const auto after = Simulate(governor, clock, program, options, rng);
  ExpectBound(after, low, 2, 2, "after lowering");
}

TEST(CpuGovernorFaults, CpuTimeOfOtherAndExitedThreadsIsCharged) {
  SimClock clock;
  CpuGovernor governor({0.35, 0.50}, 2, clock);
  CpuGovernor::ThreadState thread;
  for (int i = 0; i < 100; ++i) RunTile(governor, clock, thread, 150 * kUs);
  const int64_t charged = governor.stats().charged_cpu_ns;
  clock.cpu += 15 * kMs;  // a thread that never checked in, and is gone
  int64_t slept = 0, tiles = 0;
  for (; slept == 0 && tiles < 8; ++tiles) slept = RunTile(governor, clock, thread, 150 * kUs);
  EXPECT_GT(slept, 10 * kMs);  // seen within a millisecond
  EXPECT_EQ(governor.stats().charged_cpu_ns - charged, 15 * kMs + tiles * 150 * kUs);
}

TEST(CpuGovernorSim, SmallThingsOfALongIdleDoNotStallTheFirstRequest) {
  SimClock clock;
  CpuGovernor governor({0.35, 0.50}, 2, clock);
  CpuGovernor::ThreadState thread;
  RunTile(governor, clock, thread, 150 * kUs);
  clock.now += 600'000 * kMs;
  clock.cpu += 3'000 * kMs;  // 0.5 % of ten minutes
  EXPECT_LE(RunTile(governor, clock, thread, 150 * kUs), 70 * kMs);
}

TEST(CpuGovernorSim, ShortTilesReadTheCpuMeterRarely) {
  class Counting : public SimClock {
   public:
    int64_t ProcessCpuNs() override {
      ++reads;
      return SimClock::ProcessCpuNs();
    }
    int reads = 0;
  } clock;
  CpuGovernor governor({0.90, 1.0}, 1, clock);
  CpuGovernor::ThreadState thread;
  for (int i = 0; i < 10'000; ++i) RunTile(governor, clock, thread, kUs);
  EXPECT_LE(clock.reads, 120);  // 10 ms of work in 11 ms: one in 0.1 to 1 ms, plus wake-ups
  EXPECT_NEAR(governor.stats().checkpoints, 10'000, 1010);
}

TEST(CpuGovernorSim, UncappedNeverSleepsNorReadsAMeter) {
  class Refusing : public SimClock {
   public:
    int64_t MonotonicNs() override { return ADD_FAILURE(), 0; }
    int64_t ProcessCpuNs() override { return ADD_FAILURE(), 0; }
    void SleepUntilNs(int64_t) override { ADD_FAILURE(); }
  } clock;
  for (const CpuBudget& budget : {CpuBudget{}, CpuBudget{1.0, 0.0}}) {
    BudgetGovernor governor({.cpu = budget}, 2, nullptr, clock);
    EXPECT_FALSE(governor.capped());
    EXPECT_EQ(governor.cpu().rate(), 2.0);
    for (int i = 0; i < 100; ++i) governor.Checkpoint();
  }
}

TEST(CpuGovernorSim, CheckpointSleepsAndCounts) {
  SimClock clock;
  BudgetGovernor governor({.cpu = {0.35, 0.50}}, 2, nullptr, clock);
  EXPECT_TRUE(governor.capped());
  EXPECT_NEAR(governor.cpu().rate(), 0.7, 1e-6);
  const int64_t start = clock.now;
  for (int i = 0; i < 10'000; ++i) {
    clock.now += 150 * kUs;
    clock.cpu += 150 * kUs;
    governor.Checkpoint();
  }
  EXPECT_NEAR(static_cast<double>(clock.cpu) / (clock.now - start), 0.7, 0.005);
  EXPECT_NEAR(governor.cpu().stats().checkpoints, 10'000, 7);  // the last look was up to 1 ms ago
  EXPECT_EQ(governor.PausedNs(), clock.now - start - clock.cpu);
}

TEST(CpuGovernorThreads, ConcurrentChargesLoseNothing) {
  // A frozen CPU meter per step and real threads: every nanosecond is charged exactly once.
  class AtomicClock : public GovernorClock {
   public:
    int64_t MonotonicNs() override { return now.fetch_add(101 * kUs) + 101 * kUs; }
    int64_t ProcessCpuNs() override { return cpu.fetch_add(kUs) + kUs; }
    void SleepUntilNs(int64_t) override {}
    std::atomic<int64_t> now{kMs}, cpu{0};
  } clock;
  BudgetGovernor governor({.cpu = {0.5, 0.8}}, 2, nullptr, clock);
  const int64_t baseline = clock.cpu.load();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        governor.Checkpoint();
        if (t == 0 && i % 500 == 250)
          governor.SetBudget({.cpu = {i % 1000 == 250 ? 0.3 : 0.5, 0.8}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(governor.cpu().stats().charged_cpu_ns, clock.cpu.load() - baseline);
}

}  // namespace
}  // namespace lull
