#include "budget/cpu_governor.h"

#include <algorithm>
#include <mutex>

#include "base/os/os.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kWindowNs = 100 * kMs;

// Until a thread's next look a checkpoint costs one vDSO clock read and nothing else. Near the gate
// the least interval counts, and away from it the time in which all threads could reach it.
constexpr int64_t kLookIntervalNs = kMs / 10;
constexpr int64_t kMaxLookIntervalNs = kMs;
constexpr int64_t kTileNs = 2 * kMs / 10;
constexpr int64_t kQuantumNs = kLookIntervalNs + kTileNs;
// The smallest burst that still absorbs ordinary wake-up latency.
constexpr int64_t kMinBurstNs = kMs / 2;
// A sleeper looks again this often, so that a raised budget frees it.
constexpr int64_t kMaxSleepNs = 20 * kMs;
// Debt beyond this is forgiven: no thread may hang on a meter gone mad.
constexpr int64_t kMaxDebtNs = 10'000 * kMs;
// After a gap without a look, at most this much CPU time counts as spent just now; the rest is
// taken as spread over the gap. Without it a server idle for a minute would owe its first request
// for all the little things of that minute.
constexpr int64_t kGapNs = 20 * kMs;
constexpr int64_t kRecentNs = 50 * kMs;

// Rate and burst change together, so they share one atomic word: micro-CPUs and nanoseconds.
struct Word {
  static uint64_t Pack(const GovernorLimits& limits) {
    if (limits.rate <= 0.0) return 0;
    const uint64_t micro = static_cast<uint64_t>(std::clamp(limits.rate * 1e6, 1.0, 4e9));
    return micro << 32 | static_cast<uint64_t>(std::min<int64_t>(limits.burst_ns, UINT32_MAX));
  }
  explicit Word(uint64_t word)
      : rate(static_cast<double>(word >> 32) * 1e-6),
        burst_ns(static_cast<int64_t>(word & UINT32_MAX)) {}
  int64_t WallNs(int64_t cpu_ns) const {
    return static_cast<int64_t>(static_cast<double>(cpu_ns) / rate);
  }
  double rate;
  int64_t burst_ns;
};

// About 1.4 ms of wall time at the rate: long enough that a wake-up is cheap beside it, short
// enough that 20 ms windows stay smooth.
int64_t SliceNs(double rate, int64_t burst_ns) {
  return std::min(burst_ns / 2, std::max(kMs, static_cast<int64_t>(rate * 1.4 * kMs)));
}

// How long the gate stays open whatever the threads do. What the others have spent since their own
// last looks the meter may not have shown yet; and what is spent between two looks counts as spent
// at the second, against the whole burst.
int64_t OpenForNs(const Word& word, int64_t level_ns, int threads) {
  const double hidden_ns = (threads - 1) * static_cast<double>(kMaxLookIntervalNs + kTileNs);
  const double burst_ns = static_cast<double>(word.burst_ns) - hidden_ns;
  const double until_full = (burst_ns - static_cast<double>(std::max<int64_t>(level_ns, 0))) /
                            std::max(threads - word.rate, 1e-6);
  const double open_ns = std::min(until_full, burst_ns / threads - kTileNs);
  return static_cast<int64_t>(std::clamp(open_ns, static_cast<double>(kLookIntervalNs),
                                         static_cast<double>(kMaxLookIntervalNs)));
}

class SystemClock : public GovernorClock {
 public:
  int64_t MonotonicNs() override { return os::MonotonicNs(); }
  int64_t ProcessCpuNs() override { return os::ProcessCpuNs(); }
  void SleepUntilNs(int64_t monotonic_ns) override {
    static thread_local bool slack_set = false;
    if (!slack_set) os::SetCurrentThreadTimerSlackNs(1);
    slack_set = true;
    os::SleepUntilNs(monotonic_ns);
  }
};

uint64_t NextId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

GovernorClock& GovernorClock::System() {
  static SystemClock clock;
  return clock;
}

GovernorLimits LimitsOf(const CpuBudget& budget, int cpus) {
  GovernorLimits limits;
  if (!budget.capped() || budget.mean_share >= 1.0) return limits;
  const double p99 =
      budget.p99_share > 0.0 ? budget.p99_share : std::min(budget.mean_share + 0.15, 1.0);
  limits.rate = budget.mean_share * cpus;
  limits.quantum_ns = kQuantumNs;
  limits.slack_ns = static_cast<int64_t>((p99 - budget.mean_share) * cpus * kWindowNs);
  // Half of the slack stays unused: the sampler's ticks and the kernel's accounting are not exact.
  const int64_t wanted = std::max(5 * kMs, static_cast<int64_t>(limits.rate * 7 * kMs));
  const int64_t fits = limits.slack_ns / 2 - cpus * kQuantumNs;
  limits.burst_ns = std::max(kMinBurstNs, std::min(wanted, fits));
  limits.slice_ns = SliceNs(limits.rate, limits.burst_ns);
  return limits;
}

struct CpuGovernor::Rep {
  Rep(int cpus_in, GovernorClock& clock_in) : cpus(std::max(cpus_in, 1)), clock(clock_in) {}

  // Moves the theoretical arrival time by what the process spent since the last charge.
  void Charge(const Word& word, int64_t now);
  void Start(const Word& word);

  const uint64_t id = NextId();
  const int cpus;
  GovernorClock& clock;
  std::mutex set_mutex;  // orders SetBudget calls; no checkpoint takes it
  std::atomic<uint64_t> word{0};
  std::atomic<int64_t> tat{0};        // when the bucket will have paid for all that is charged
  std::atomic<int64_t> accounted{0};  // process CPU time charged so far
  std::atomic<int64_t> charged_at{0};
  std::atomic<int> threads{0};  // that have asked
  std::atomic<int64_t> checkpoints{0};
  std::atomic<int64_t> charged_cpu_ns{0};
};

void CpuGovernor::Rep::Start(const Word& w) {
  const int64_t now = clock.MonotonicNs();
  accounted.store(clock.ProcessCpuNs(), std::memory_order_relaxed);
  charged_at.store(now, std::memory_order_relaxed);
  tat.store(now + w.WallNs(w.burst_ns), std::memory_order_relaxed);  // no credit to begin with
}

void CpuGovernor::Rep::Charge(const Word& w, int64_t now) {
  const int64_t cpu = clock.ProcessCpuNs();
  int64_t before = accounted.load(std::memory_order_relaxed);
  do {
    if (cpu <= before) return;  // another thread has charged it
  } while (!accounted.compare_exchange_weak(before, cpu, std::memory_order_relaxed));
  const int64_t delta = cpu - before;
  charged_cpu_ns.fetch_add(delta, std::memory_order_relaxed);
  const int64_t gap = now - charged_at.exchange(now, std::memory_order_relaxed);
  const int64_t recent = gap > kGapNs ? std::min(delta, kRecentNs) : delta;
  const int64_t most = now + w.WallNs(kMaxDebtNs);
  int64_t old_tat = tat.load(std::memory_order_relaxed);
  int64_t new_tat;
  do {
    new_tat = std::max(old_tat + w.WallNs(delta), now + w.WallNs(recent));
    if (recent == delta) new_tat = std::max(old_tat, now) + w.WallNs(delta);
    new_tat = std::min(new_tat, most);
  } while (!tat.compare_exchange_weak(old_tat, new_tat, std::memory_order_relaxed));
}

CpuGovernor::CpuGovernor(const CpuBudget& budget, int cpus, GovernorClock& clock)
    : rep_(std::make_unique<Rep>(cpus, clock)) {
  SetBudget(budget);
}

CpuGovernor::~CpuGovernor() = default;

int64_t CpuGovernor::Poll(ThreadState& thread) {
  const uint64_t packed = rep_->word.load(std::memory_order_relaxed);
  if (packed == 0) return 0;
  const int64_t now = rep_->clock.MonotonicNs();
  if (thread.governor_id != rep_->id) {
    thread = {.governor_id = rep_->id};
    rep_->threads.fetch_add(1, std::memory_order_relaxed);
  }
  // The last look said nothing of another budget or of one more thread.
  const int threads = rep_->threads.load(std::memory_order_relaxed);
  if (thread.budget != packed || thread.threads != threads) thread.next_look_ns = now;
  thread.budget = packed;
  thread.threads = threads;
  ++thread.skipped;
  if (now >= thread.last_look_ns && now < thread.next_look_ns) return 0;
  rep_->checkpoints.fetch_add(thread.skipped, std::memory_order_relaxed);
  thread.skipped = 0;

  const Word word(packed);
  rep_->Charge(word, now);
  const int64_t tat = rep_->tat.load(std::memory_order_relaxed);
  thread.last_look_ns = now;
  const int64_t ahead_ns = tat - now;
  if (ahead_ns <= word.WallNs(word.burst_ns)) {
    const auto level_ns = static_cast<int64_t>(static_cast<double>(ahead_ns) * word.rate);
    thread.next_look_ns = now + OpenForNs(word, level_ns, threads);
    return 0;
  }
  thread.next_look_ns = now;  // look again on waking
  thread.skipped = -1;        // the second look is the same checkpoint
  const int64_t open = word.burst_ns - SliceNs(word.rate, word.burst_ns);
  return std::min(tat - word.WallNs(open), now + kMaxSleepNs);
}

bool CpuGovernor::capped() const { return rep_->word.load(std::memory_order_relaxed) != 0; }

void CpuGovernor::SetBudget(const CpuBudget& budget) {
  std::lock_guard<std::mutex> lock(rep_->set_mutex);
  const uint64_t packed = Word::Pack(LimitsOf(budget, rep_->cpus));
  const uint64_t old_packed = rep_->word.load(std::memory_order_relaxed);
  if (packed == old_packed) return;
  const Word word(packed);
  if (packed != 0 && old_packed == 0) {
    rep_->Start(word);
  } else if (packed != 0) {
    // The debt keeps its CPU time, so its wall time changes. A charge racing with this is converted
    // at one rate or the other: an error of at most one quantum per thread, once.
    const Word old_word(old_packed);
    const int64_t now = rep_->clock.MonotonicNs();
    rep_->Charge(old_word, now);
    int64_t old_tat = rep_->tat.load(std::memory_order_relaxed);
    int64_t new_tat;
    do {
      const double level_ns = static_cast<double>(old_tat - now) * old_word.rate;
      const double empty_ns = static_cast<double>(old_word.burst_ns - word.burst_ns);
      // Credit left (burst - level) carries over as it is, never more of it than there was.
      const int64_t cpu_ns = static_cast<int64_t>(std::max(level_ns, 0.0) - empty_ns);
      new_tat = now + word.WallNs(std::max<int64_t>(cpu_ns, 0));
    } while (!rep_->tat.compare_exchange_weak(old_tat, new_tat, std::memory_order_relaxed));
  }
  rep_->word.store(packed, std::memory_order_relaxed);
}

GovernorStats CpuGovernor::stats() const {
  return {rep_->checkpoints.load(std::memory_order_relaxed),
          rep_->charged_cpu_ns.load(std::memory_order_relaxed)};
}

int64_t CpuGovernor::burst_ns() const {
  return Word(rep_->word.load(std::memory_order_relaxed)).burst_ns;
}

double CpuGovernor::rate() const {
  const uint64_t packed = rep_->word.load(std::memory_order_relaxed);
  return packed == 0 ? rep_->cpus : Word(packed).rate;
}

}  // namespace lull
