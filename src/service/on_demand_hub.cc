#include "service/on_demand_hub.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <list>
#include <mutex>
#include <new>
#include <thread>

#include "base/os/thread.h"

namespace lull {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Clock::time_point kNever = Clock::time_point::max();
constexpr int64_t kLeaversLookMs = 250;

Clock::time_point In(int64_t ms) {
  constexpr int64_t kMostMs = int64_t{1000} * 3600 * 24 * 365 * 100;
  if (ms < 0) return kNever;
  return Clock::now() + std::chrono::milliseconds(std::min(ms, kMostMs));
}

int64_t MillisecondsUntil(Clock::time_point time) {
  if (time == kNever) return -1;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(time - Clock::now());
  return std::max<int64_t>(left.count(), 0);
}

Error ShuttingDown() {
  return {ErrorCode::kBusy, "the server is shutting down", "model", "ask another one"};
}

}  // namespace

// Shared by the hub and every ServedModelPtr, so that the last of these needs no hub to return to.
struct OnDemandHub::Core : std::enable_shared_from_this<Core> {
  struct Entry {
    ServedModel served;
    std::string name;
    int64_t keep_alive_ms = 0;
    int uses = 0;   // requests that hold it
    int looks = 0;  // others that hold it
    Clock::time_point expires = kNever;
    uint64_t last_use = 0;  // the higher, the later
    bool doomed = false;    // to go as soon as nobody holds it
    bool held() const { return uses + looks > 0; }
  };
  // Holds one entry until it goes. Made where the mutex is not held and an error can still be
  // told; that it then takes hold cannot fail.
  struct Lease {
    explicit Lease(std::shared_ptr<Core> owner) : core(std::move(owner)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
      if (entry != nullptr) core->Release(entry, use);
    }
    const std::shared_ptr<Core> core;
    Entry* entry = nullptr;
    bool use = false;
  };
  using LeasePtr = std::shared_ptr<Lease>;
  struct Waiter {
    ModelQuery query;
    AcquireFn fn;
    LeasePtr lease;
  };
  struct Load {
    AvailableModel file;
    std::vector<Waiter> waiters;
  };
  using Lock = std::unique_lock<std::mutex>;

  Core(const OnDemandOptions& hub_options, const ModelCatalog& models, LoadFn load_fn)
      : options(hub_options), catalog(models), load(std::move(load_fn)) {}

  LeasePtr NewLease() { return std::make_shared<Lease>(shared_from_this()); }

  // --- with the mutex held ---

  Entry* Find(const std::string& name) {
    for (const auto& entry : entries)
      if (entry->name == name) return entry.get();
    return nullptr;
  }

  ServedModelPtr Hold(Entry* entry, bool use, LeasePtr lease) noexcept {
    ++(use ? entry->uses : entry->looks);
    lease->entry = entry;
    lease->use = use;
    return ServedModelPtr(std::move(lease), &entry->served);
  }

  ServedModelPtr HoldForUse(Entry* entry, const ModelQuery& query, LeasePtr lease) noexcept {
    entry->doomed = false;
    entry->last_use = ++uses;
    if (query.keep_alive_ms.has_value()) entry->keep_alive_ms = *query.keep_alive_ms;
    return Hold(entry, true, std::move(lease));
  }

  // The model itself, or a place among those that wait for it; false where there is neither.
  bool TakeOrJoin(const std::string& name, const ModelQuery& query, AcquireFn& fn,
                  const LeasePtr& lease, ServedModelPtr* taken) {
    if (Entry* entry = Find(name); entry != nullptr) {
      *taken = HoldForUse(entry, query, lease);
      return true;
    }
    const auto joined = std::find_if(loads.begin(), loads.end(),
                                     [&](const Load& l) { return l.file.name == name; });
    if (joined == loads.end()) return false;
    joined->waiters.push_back({query, std::move(fn), lease});
    return true;
  }

  void StartLoad(AvailableModel file, const ModelQuery& query, AcquireFn fn,
                 const LeasePtr& lease) {
    Load wanted{std::move(file), {}};
    wanted.waiters.push_back({query, std::move(fn), lease});
    loads.push_back(std::move(wanted));
    changed.notify_all();
  }

  // Why this model cannot be had now, if so.
  std::optional<Error> Refusal(const std::string& name) {
    if (draining) return ShuttingDown();
    if (Find(name) != nullptr) return std::nullopt;
    size_t waiting = 0;
    for (const Load& waited : loads) waiting += waited.waiters.size();
    if (waiting < static_cast<size_t>(options.max_waiting)) return std::nullopt;
    return Error{ErrorCode::kBusy, "too many requests wait for a model", "model", "try again"};
  }

  std::list<std::unique_ptr<Entry>> TakeExpired() {
    std::list<std::unique_ptr<Entry>> gone;
    const auto now = Clock::now();
    for (auto it = entries.begin(); it != entries.end();) {
      const Entry& entry = **it;
      const auto next = std::next(it);
      if (!entry.held() && (entry.doomed || now >= entry.expires)) {
        if (entry.served.engine != nullptr) AddRetired(entry.served.engine->stats());
        gone.splice(gone.end(), entries, it);
      }
      it = next;
    }
    return gone;
  }

  void AddRetired(EngineStats stats) {
    stats.running = stats.waiting = 0;
    stats.oldest_wait_ms = 0.0;
    stats.kv = {};
    AddStats(stats, &retired);
  }

  bool HasRoomFor(const AvailableModel& file) const {
    if (options.max_loaded > 0 && entries.size() >= static_cast<size_t>(options.max_loaded))
      return false;
    if (options.ram_bytes == 0) return true;
    int64_t bytes = file.bytes;
    for (const auto& entry : entries) bytes += entry->served.resident_bytes;
    return bytes <= options.ram_bytes;
  }

  Error NoRoomFor(const AvailableModel& file) const {
    return {ErrorCode::kOutOfMemory,
            file.name + " has " + std::to_string(file.bytes) + " bytes, more than the " +
                std::to_string(options.ram_bytes) + " that models may take",
            "model", "raise --ram, or ask for a smaller model"};
  }

  // Has the model go that was used longest ago. False: all are in use, or going already.
  bool EvictOne() {
    Entry* oldest = nullptr;
    for (const auto& entry : entries) {
      const bool idle = !entry->held() && !entry->doomed;
      if (idle && (oldest == nullptr || entry->last_use < oldest->last_use)) oldest = entry.get();
    }
    if (oldest == nullptr) return false;
    oldest->doomed = true;
    return true;
  }

  Clock::time_point NextExpiry() const {
    Clock::time_point next = kNever;
    for (const auto& entry : entries)
      if (!entry->held()) next = std::min(next, entry->expires);
    return next;
  }

  // --- without it ---

  void Release(Entry* entry, bool use) {
    std::lock_guard<std::mutex> lock(mutex);
    --(use ? entry->uses : entry->looks);
    if (use && entry->uses == 0) entry->expires = In(entry->keep_alive_ms);
    if (!entry->held()) changed.notify_all();
  }

  // Runs callbacks outside the lock, but such that Drain can wait for them.
  template <typename Fn>
  void Unlocked(Lock& lock, Fn&& fn) {
    delivering = true;
    lock.unlock();
    fn();
    lock.lock();
    delivering = false;
    changed.notify_all();
  }

  void Fail(Lock& lock, std::vector<Waiter> waiters, const Error& error) {
    Unlocked(lock, [&] {
      for (Waiter& waiter : waiters) Tell(waiter, error);
      waiters.clear();
    });
  }

  // Without memory to be told anything a client is cut; the hub's thread goes on.
  static void Tell(Waiter& waiter, Result<ServedModelPtr> served) {
    try {
      waiter.fn(std::move(served));
    } catch (const std::exception&) {
      waiter.fn = nullptr;
    }
  }

  // --- the hub's thread ---

  void Run() {
    Lock lock(mutex);
    for (;;) {
      if (auto gone = TakeExpired(); !gone.empty()) {
        lock.unlock();
        gone.clear();  // joins engines, unmaps weights
        lock.lock();
        changed.notify_all();
      } else if (!AdvanceLoads(lock)) {
        if (stop && entries.empty()) return;
        Wait(lock);
      }
    }
  }

  void Wait(Lock& lock) {
    Clock::time_point next = NextExpiry();
    // Nobody tells when a client that waits here leaves.
    if (!loads.empty()) next = std::min(next, In(kLeaversLookMs));
    if (next == kNever)
      changed.wait(lock);
    else
      changed.wait_until(lock, next);
  }

  // One step towards the first model that is waited for; false: something must change before.
  bool AdvanceLoads(Lock& lock) {
    if (loads.empty()) return false;
    if (draining) {
      std::vector<Waiter> waiters = std::move(loads.front().waiters);
      loads.pop_front();
      return Fail(lock, std::move(waiters), ShuttingDown()), true;
    }
    if (DropAbandoned(lock)) return true;
    if (HasRoomFor(loads.front().file)) return LoadFirst(lock);
    if (EvictOne()) return true;
    if (!entries.empty()) return false;
    FinishFirst(lock, NoRoomFor(loads.front().file));
    return true;
  }

  // Whether there was something to drop.
  bool DropAbandoned(Lock& lock) {
    std::vector<Waiter> dropped;
    for (Load& waited : loads) {
      std::vector<Waiter>& waiters = waited.waiters;
      const auto gone = std::stable_partition(waiters.begin(), waiters.end(), [](const Waiter& w) {
        return !w.query.abandoned.stop_requested();
      });
      std::move(gone, waiters.end(), std::back_inserter(dropped));
      waiters.erase(gone, waiters.end());
    }
    if (dropped.empty()) return false;
    std::erase_if(loads, [](const Load& waited) { return waited.waiters.empty(); });
    Fail(lock, std::move(dropped), {ErrorCode::kCancelled, "the client has gone", "model", ""});
    return true;
  }

  // What a third party throws fails this load, not the server.
  Result<ServedModel> Guarded(const AvailableModel& file) const {
    try {
      return load(file);
    } catch (const std::bad_alloc&) {
      return Error{ErrorCode::kOutOfMemory, "out of memory", file.path, "load a smaller model"};
    } catch (const std::exception& error) {
      return Error{ErrorCode::kInternal, error.what(), file.path, "please report this"};
    }
  }

  // False: no memory until another model goes.
  bool LoadFirst(Lock& lock) {
    const AvailableModel file = loads.front().file;
    lock.unlock();
    Result<ServedModel> result = Guarded(file);
    lock.lock();
    const bool later =
        !result.ok() && result.error().code == ErrorCode::kOutOfMemory && !entries.empty();
    if (later) return EvictOne();
    if (!result.ok()) return FinishFirst(lock, result.error()), true;
    auto entry = std::make_unique<Entry>();
    entry->name = file.name;
    entry->served = std::move(*result);
    entry->served.own = file.name == options.own;
    entry->keep_alive_ms = file.name == options.own ? -1 : options.keep_alive_ms;
    entry->expires = In(entry->keep_alive_ms);
    entry->doomed = stop;
    entries.push_back(std::move(entry));
    if (!draining) HandOut(lock);  // else the next step tells those who wait
    return true;
  }

  void HandOut(Lock& lock) {
    std::vector<Waiter> waiters = std::move(loads.front().waiters);
    loads.pop_front();
    const ServedModel* served = &entries.back()->served;
    for (const Waiter& waiter : waiters)
      HoldForUse(entries.back().get(), waiter.query, waiter.lease);
    Unlocked(lock, [&] {
      for (Waiter& waiter : waiters) Tell(waiter, ServedModelPtr(std::move(waiter.lease), served));
      waiters.clear();
    });
  }

  void FinishFirst(Lock& lock, const Error& error) {
    std::vector<Waiter> waiters = std::move(loads.front().waiters);
    loads.pop_front();
    Fail(lock, std::move(waiters), error);
  }

  const OnDemandOptions options;
  const ModelCatalog& catalog;
  const LoadFn load;
  Status start_status;
  std::thread thread;

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::list<std::unique_ptr<Entry>> entries;  // what is loaded
  std::list<Load> loads;                      // what is waited for; the first may be loading
  EngineStats retired;                        // of engines that are no more
  uint64_t uses = 0;
  bool draining = false;
  bool stop = false;
  bool delivering = false;  // callbacks are running on the hub's thread
};

OnDemandHub::OnDemandHub(const OnDemandOptions& options, const ModelCatalog& catalog, LoadFn load)
    : core_(std::make_shared<Core>(options, catalog, std::move(load))) {
  core_->start_status = os::StartThread(
      "model loading thread", [core = core_.get()] { core->Run(); }, &core_->thread);
}

OnDemandHub::~OnDemandHub() {
  Drain();
  std::vector<ServedModelPtr> loaded = Loaded();
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    core_->stop = true;
    for (const auto& entry : core_->entries) entry->doomed = true;
  }
  for (const ServedModelPtr& served : loaded)
    if (served->engine != nullptr) served->engine->Stop(0);
  loaded.clear();
  core_->changed.notify_all();
  if (core_->thread.joinable()) core_->thread.join();
}

const Status& OnDemandHub::start_status() const { return core_->start_status; }

void OnDemandHub::Acquire(const ModelQuery& query, AcquireFn fn) {
  Core& core = *core_;
  std::string name = CanonicalModelName(query.name);
  if (name.empty()) name = core.options.own;
  if (name.empty())
    return fn(Error{ErrorCode::kUsage, "model: missing", "model",
                    "name one of those that /v1/models lists"});
  AvailableModel file;
  const Core::LeasePtr lease = core.NewLease();
  for (bool found = false;; found = true) {
    Core::Lock lock(core.mutex);
    if (std::optional<Error> refusal = core.Refusal(name)) {
      lock.unlock();
      return fn(std::move(*refusal));
    }
    ServedModelPtr taken;
    if (core.TakeOrJoin(name, query, fn, lease, &taken)) {
      lock.unlock();
      return taken == nullptr ? void() : fn(std::move(taken));
    }
    if (found) return core.StartLoad(std::move(file), query, std::move(fn), lease);
    lock.unlock();
    Result<AvailableModel> known = core.catalog.Find(name);
    if (known.ok() && known->name == name) {
      file = std::move(*known);
      continue;
    }
    ModelQuery other = query;
    if (known.ok()) {  // under another of its names
      other.name = known->name;
      return Acquire(other, std::move(fn));
    }
    const bool own_instead = !query.exact && !core.options.own.empty() && name != core.options.own;
    if (!own_instead) return fn(known.error());
    other.name = core.options.own;
    return Acquire(other, std::move(fn));
  }
}

std::vector<ModelResidency> OnDemandHub::Residents() const {
  std::vector<ModelResidency> residents;
  std::lock_guard<std::mutex> lock(core_->mutex);
  for (const auto& entry : core_->entries) {
    ModelResidency resident;
    resident.in_use = entry->uses > 0;
    resident.expires_in_ms =
        resident.in_use ? entry->keep_alive_ms : MillisecondsUntil(entry->expires);
    const bool own = entry->name == core_->options.own;
    Core::LeasePtr lease = core_->NewLease();
    const auto place =
        residents.insert(own ? residents.begin() : residents.end(), std::move(resident));
    place->served = core_->Hold(entry.get(), false, std::move(lease));
  }
  return residents;
}

std::string OnDemandHub::own_name() const { return core_->options.own; }

EngineStats OnDemandHub::stats() const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  EngineStats sum = core_->retired;
  for (const auto& entry : core_->entries)
    if (entry->served.engine != nullptr) AddStats(entry->served.engine->stats(), &sum);
  return sum;
}

bool OnDemandHub::Unload(const std::string& name) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  Core::Entry* entry = core_->Find(CanonicalModelName(name));
  if (entry == nullptr) return false;
  entry->doomed = true;
  core_->changed.notify_all();
  return true;
}

void OnDemandHub::Drain() {
  {
    Core::Lock lock(core_->mutex);
    core_->draining = true;
    core_->changed.notify_all();
    core_->changed.wait(lock, [this] { return !core_->delivering; });
  }
  for (const ServedModelPtr& served : Loaded())
    if (served->engine != nullptr) served->engine->Drain();
}

OnDemandHub::LoadFn EngineLoader(Runtime& runtime, const EngineOptions& options) {
  return [&runtime, options](const AvailableModel& file) -> Result<ServedModel> {
    LULL_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, Model::Load(file.path, runtime));
    const ModelInfo& info = model->info();
    LULL_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, Engine::Create(*model, runtime, options));
    ServedModel served;
    served.id = file.name;
    served.resident_bytes = info.weight_bytes + engine->stats().kv.bytes_total;
    served.created_unix_s = std::chrono::duration_cast<std::chrono::seconds>(
                                std::chrono::system_clock::now().time_since_epoch())
                                .count();
    served.file = file;
    served.model = std::move(model);
    served.engine = std::move(engine);
    return served;
  };
}

}  // namespace lull
