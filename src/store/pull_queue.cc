#include "store/pull_queue.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

#include "base/sha256.h"
#include "store/disk_space.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

constexpr int kPublishAttempts = 3;

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// What a plan becomes in the store.
Manifest ManifestOf(const HubPlan& plan, const std::string& name) {
  Manifest manifest;
  manifest.name = name.empty() ? plan.selection.ref.Name() : name;
  manifest.kind = plan.selection.kind;
  manifest.source = plan.selection.ref.Name();
  manifest.commit = plan.commit;
  manifest.license = plan.license;
  manifest.pulled_unix_s = UnixSeconds();
  for (const HubFile& file : plan.selection.files)
    manifest.files.push_back({BaseName(file.path), file.bytes, file.key});
  return manifest;
}

class PullQueue {
 public:
  PullQueue(const std::vector<ModelSource>& sources, const PullQueueOptions& options,
            const PullCatalogFn& catalog, const PullObserver& observer)
      : options_(options),
        catalog_(catalog),
        observer_(observer),
        store_(options.folder),
        models_(sources.size()) {
    for (size_t i = 0; i < sources.size(); ++i) {
      models_[i].source = sources[i];
      jobs_.push_back({i, kWholeModel});
    }
  }

  std::vector<PullOutcome> Run() {
    std::vector<std::thread> threads;
    for (int i = 1; i < options_.jobs; ++i) {
      try {
        threads.emplace_back([this] { Work(); });
      } catch (const std::system_error&) {
        break;  // fewer do it as well
      }
    }
    Work();
    for (std::thread& thread : threads) thread.join();
    std::vector<PullOutcome> outcomes;
    for (Model& model : models_) outcomes.push_back(std::move(model.outcome));
    return outcomes;
  }

 private:
  static constexpr size_t kWholeModel = ~size_t{0};

  struct Job {
    size_t model;
    size_t file;  // kWholeModel: list it, or fetch it from the catalogue
  };
  struct Model {
    ModelSource source;
    HubPlan plan;
    std::unique_ptr<PullTicket> ticket;
    size_t files_left = 0;
    int publish_attempts = 0;
    PullOutcome outcome;
  };

  void Work() {
    HttpClient http(options_.hub.fetch.http);
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !jobs_.empty() || working_ == 0; });
      if (jobs_.empty()) return;
      const Job job = jobs_.front();
      jobs_.pop_front();
      Model& model = models_[job.model];
      ++working_;
      Status status;
      if (model.outcome.status.ok()) {
        lock.unlock();
        status = job.file == kWholeModel ? Start(http, job.model) : FetchOne(http, job);
        lock.lock();
      }
      if (model.outcome.status.ok() && !status.ok()) model.outcome.status = status;
      if (model.outcome.status.ok() && job.file != kWholeModel && --model.files_left == 0)
        End(job.model, lock);
      --working_;
      changed_.notify_all();
    }
  }

  // Of one row; also ends what another file's failure has made pointless.
  FetchProgressFn Progress(size_t index, const std::string& what) {
    return [this, index, what](const std::string& note, uint64_t done, uint64_t total) {
      return Tell({index, what, note, done, total, false});
    };
  }
  bool Tell(const PullEvent& event) {
    std::lock_guard<std::mutex> lock(observer_mutex_);
    if (observer_ && !given_up_) given_up_ = !observer_(event);
    return !given_up_;
  }

  Status Start(HttpClient& http, size_t index) {
    return models_[index].source.entry != nullptr ? PullFromCatalog(index) : Plan(http, index);
  }

  Status PullFromCatalog(size_t index) {
    Model& model = models_[index];
    const CatalogEntry& entry = *model.source.entry;
    std::string row;
    LULL_ASSIGN_OR_RETURN(
        const std::string path,
        catalog_(entry, [&](const std::string& step, uint64_t done, uint64_t total) {
          if (!row.empty() && row != step) Tell({index, row, "", 0, 0, true});
          row = step;
          return Tell({index, step, "", done, total, false});
        }));
    if (!row.empty()) Tell({index, row, "", 0, 0, true});
    model.outcome = {Status(), entry.name, path, entry.license, "", entry.file_bytes};
    return Status();
  }

  Status Plan(HttpClient& http, size_t index) {
    Model& model = models_[index];
    const std::string what = "listing " + model.source.hub.repo;
    if (!Tell({index, what, "", 0, 0, false}))
      return Status(ErrorCode::kCancelled, "cancelled", model.source.hub.Name());
    LULL_ASSIGN_OR_RETURN(model.plan,
                          Hub(options_.hub, http).Plan(model.source.hub, Progress(index, what)));
    Tell({index, what, "", 0, 0, true});
    const Manifest manifest = ManifestOf(model.plan, model.source.name);
    LULL_ASSIGN_OR_RETURN(model.ticket, store_.Begin(manifest));
    LULL_RETURN_IF_ERROR(CheckSpace(manifest));
    std::lock_guard<std::mutex> lock(mutex_);
    model.outcome.name = manifest.name;
    model.outcome.license = manifest.license;
    model.outcome.note = model.plan.selection.note;
    model.outcome.bytes = manifest.bytes();
    Enqueue(index);
    return Status();
  }

  // Requires: the mutex.
  void Enqueue(size_t index) {
    Model& model = models_[index];
    model.files_left = model.ticket->manifest().files.size();
    for (size_t i = 0; i < model.files_left; ++i) jobs_.push_back({index, i});
    changed_.notify_all();
  }

  // For everything that this queue still has to fetch.
  Status CheckSpace(const Manifest& manifest) {
    std::set<ContentKey> counted;
    std::lock_guard<std::mutex> lock(mutex_);
    for (const ManifestFile& file : manifest.files) planned_[file.key] = file.bytes;
    uint64_t missing_bytes = 0;
    for (const auto& [key, bytes] : planned_) {
      std::error_code ec;
      if (fs::exists(store_.BlobPath(key), ec)) continue;
      const uint64_t there = fs::file_size(store_.PartialPath(key), ec);
      missing_bytes += ec ? bytes : bytes - std::min(bytes, there);
    }
    return CheckDiskSpace(options_.folder, missing_bytes);
  }

  // A file of the catalogue, where its bytes are right, is as good as a blob.
  bool LinkFromCatalog(const ContentKey& key) {
    for (const CatalogEntry& entry : Catalog()) {
      if (!key.is_sha256() || entry.sha256 != key.hex()) continue;
      const std::string path = options_.folder + "/" + entry.file_name;
      std::error_code ec;
      if (fs::file_size(path, ec) != entry.file_bytes || ec) return false;
      const Result<std::string> sha256 = Sha256OfFile(path);
      if (!sha256.ok() || *sha256 != entry.sha256) return false;
      fs::create_hard_link(path, store_.BlobPath(key), ec);
      return !ec;
    }
    return false;
  }

  Status FetchOne(HttpClient& http, const Job& job) {
    const Model& model = models_[job.model];
    const ManifestFile& file = model.ticket->manifest().files[job.file];
    const HubFile& source = model.plan.selection.files[job.file];
    const Hub hub(options_.hub, http);
    FetchTarget target;
    target.url = hub.FileUrl(model.plan.selection.ref, model.plan.commit, source.path);
    target.token = hub.TokenToSend();
    target.key = file.key;
    target.bytes = file.bytes;
    target.path = store_.BlobPath(file.key);
    target.partial_path = store_.PartialPath(file.key);
    const auto progress = [&](const std::string& note, uint64_t done, uint64_t total) {
      return Tell({job.model, file.name, note, done, total, false}) && StillWanted(job.model);
    };
    std::error_code ec;
    if (fs::exists(target.path, ec) || LinkFromCatalog(file.key)) {
      Tell({job.model, file.name, "already there", file.bytes, file.bytes, true});
      return Status();
    }
    LULL_RETURN_IF_ERROR(FetchFile(http, target, options_.hub.fetch, progress));
    Tell({job.model, file.name, "", file.bytes, file.bytes, true});
    return Status();
  }

  bool StillWanted(size_t index) {
    std::lock_guard<std::mutex> lock(mutex_);
    return models_[index].outcome.status.ok();
  }

  // All files are there. Requires: the mutex, which is let go meanwhile.
  void End(size_t index, std::unique_lock<std::mutex>& lock) {
    Model& model = models_[index];
    lock.unlock();
    const Result<bool> published = store_.Publish(*model.ticket);
    const Result<std::string> path = published.ok() && *published
                                         ? store_.PathOf(model.ticket->manifest())
                                         : Result<std::string>(std::string());
    lock.lock();
    if (!published.ok()) {
      model.outcome.status = published.status();
    } else if (*published) {
      model.outcome.status = path.status();
      model.outcome.path = path.ok() ? *path : "";
      model.ticket.reset();
    } else if (++model.publish_attempts < kPublishAttempts) {
      Enqueue(index);
    } else {
      model.outcome.status = Status(ErrorCode::kBusy, "its files are removed as fast as they come",
                                    model.outcome.name, "pull again");
    }
  }

  const PullQueueOptions& options_;
  const PullCatalogFn& catalog_;
  const PullObserver& observer_;
  const BlobStore store_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<Model> models_;
  std::map<ContentKey, uint64_t> planned_;
  int working_ = 0;
  std::mutex observer_mutex_;
  bool given_up_ = false;
};

}  // namespace

std::vector<PullOutcome> PullAll(const std::vector<ModelSource>& sources,
                                 const PullQueueOptions& options, const PullCatalogFn& catalog,
                                 const PullObserver& observer) {
  return PullQueue(sources, options, catalog, observer).Run();
}

}  // namespace lull
