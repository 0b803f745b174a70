#include "store/blob_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/os/atomic_file.h"
#include "base/os/os.h"
#include "base/os/partial_file.h"
#include "base/os/sync_folder.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

constexpr char kPartial[] = ".partial", kJson[] = ".json";
constexpr std::chrono::hours kKeptAfterDeath{24 * 7};
constexpr size_t kMaxManifestBytes = 4 << 20;

Status IoError(const std::string& what, const std::error_code& ec, const std::string& path) {
  return Status(ErrorCode::kIo, what + ": " + ec.message(), path);
}

Result<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(ErrorCode::kNotFound, "cannot open", path);
  std::string text(kMaxManifestBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

Result<Manifest> ReadManifest(const std::string& path) {
  LULL_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  return ParseManifest(text, path);
}

Status WriteText(const std::string& path, const std::string& text) {
  LULL_ASSIGN_OR_RETURN(const auto file, os::AtomicFile::Create(path));
  LULL_RETURN_IF_ERROR(file->Write({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  return file->Commit();
}

// Names in a folder; none where it cannot be read.
std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
    names.push_back(it->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Manifests in a folder; what a killed process was about to write is none.
std::vector<std::string> JsonIn(const std::string& folder) {
  std::vector<std::string> names = NamesIn(folder);
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(kJson); });
  return names;
}

void RemoveUnfinished(const std::string& folder) {
  std::error_code ec;
  for (const std::string& name : NamesIn(folder))
    if (name.ends_with(kPartial)) fs::remove(folder + "/" + name, ec);
}

bool IsOld(const std::string& path) {
  std::error_code ec;
  const auto modified = fs::last_write_time(path, ec);
  return !ec && fs::file_time_type::clock::now() - modified > kKeptAfterDeath;
}

}  // namespace

// What is not to be removed.
struct BlobStore::Roots {
  std::set<std::string> keys, views;
};

std::string BlobStore::BlobPath(const ContentKey& key) const {
  return Folder("blobs/") + key.text();
}
std::string BlobStore::PartialPath(const ContentKey& key) const { return BlobPath(key) + kPartial; }
std::string BlobStore::ManifestPath(const std::string& name) const {
  return Folder("manifests/") + EncodedName(name) + kJson;
}
std::string BlobStore::ViewPath(const Manifest& manifest) const {
  return Folder("views/") + ContentId(manifest);
}

Status BlobStore::CreateFolders() const {
  for (const char* part : {"blobs", "manifests", "pulls", "views"}) {
    std::error_code ec;
    fs::create_directories(Folder(part), ec);
    if (ec)
      return Status(ErrorCode::kIo, "cannot create folder: " + ec.message(), Folder(part),
                    "set LULL_HOME to a folder you can write to");
  }
  return Status();
}

Result<std::unique_ptr<os::FileLock>> BlobStore::Lock() const {
  return os::FileLock::Acquire(Folder(".index.lock"));
}

std::vector<Manifest> BlobStore::List() const {
  std::vector<Manifest> manifests;
  for (const std::string& name : JsonIn(Folder("manifests"))) {
    Result<Manifest> manifest = ReadManifest(Folder("manifests/") + name);
    if (manifest.ok()) manifests.push_back(std::move(*manifest));
  }
  return manifests;
}

Result<Manifest> BlobStore::Find(const std::string& name) const {
  const std::string path = ManifestPath(name);
  LULL_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(path));
  if (manifest.name != name)
    return Status(ErrorCode::kInvalidInput, "damaged manifest: of another name", path,
                  "remove the file");
  return manifest;
}

bool BlobStore::HasBlobs(const Manifest& manifest) const {
  return std::all_of(manifest.files.begin(), manifest.files.end(),
                     [this](const ManifestFile& file) {
                       std::error_code ec;
                       const uint64_t bytes = fs::file_size(BlobPath(file.key), ec);
                       return !ec && (bytes == file.bytes);
                     });
}

// Requires: the lock.
Status BlobStore::MakeView(const Manifest& manifest) const {
  const std::string path = ViewPath(manifest), scratch = path + kPartial;
  std::error_code ec;
  if (fs::exists(path, ec)) return Status();
  fs::remove_all(scratch, ec);
  fs::create_directory(scratch, ec);
  if (ec) return IoError("cannot create folder", ec, scratch);
  for (const ManifestFile& file : manifest.files) {
    fs::create_symlink("../../blobs/" + file.key.text(), scratch + "/" + file.name, ec);
    if (ec) return IoError("cannot link", ec, scratch + "/" + file.name);
  }
  fs::rename(scratch, path, ec);
  if (ec) return IoError("cannot rename", ec, path);
  return Status();
}

Result<std::string> BlobStore::PathOf(const Manifest& manifest) const {
  const std::string view = ViewPath(manifest);
  const std::string path =
      manifest.kind == ModelKind::kGguf ? view + "/" + manifest.files[0].name : view;
  std::error_code ec;
  if (!HasBlobs(manifest))
    return Status(ErrorCode::kNotFound, "a file of the model is gone", view,
                  "lull pull " + manifest.name);
  if (fs::exists(path, ec)) return path;
  LULL_ASSIGN_OR_RETURN(const auto lock, Lock());
  LULL_RETURN_IF_ERROR(MakeView(manifest));
  return path;
}

void BlobStore::RemoveDeadPulls(const std::string& name) const {
  const std::string prefix = EncodedName(name) + "~";
  std::error_code ec;
  for (const std::string& file : JsonIn(Folder("pulls"))) {
    const std::string path = Folder("pulls/") + file;
    if (!file.starts_with(prefix)) continue;
    const Result<std::unique_ptr<os::FileLock>> lock = os::FileLock::TryAcquire(path);
    if (lock.ok() && *lock != nullptr) fs::remove(path, ec);
  }
}

Result<std::unique_ptr<PullTicket>> BlobStore::Begin(const Manifest& manifest) const {
  static std::atomic<uint64_t> counter{0};
  LULL_RETURN_IF_ERROR(CreateFolders());
  LULL_ASSIGN_OR_RETURN(const auto lock, Lock());
  auto ticket = std::make_unique<PullTicket>();
  ticket->manifest_ = manifest;
  ticket->path_ = Folder("pulls/") + EncodedName(manifest.name) + "~" +
                  std::to_string(os::ProcessId()) + "-" + std::to_string(counter++) + kJson;
  // One of a process that had this number and died would be taken over.
  LULL_RETURN_IF_ERROR(WriteText(ticket->path_, ManifestText(manifest)));
  LULL_ASSIGN_OR_RETURN(ticket->lock_, os::FileLock::TryAcquire(ticket->path_));
  RemoveDeadPulls(manifest.name);  // what they had is named by this one, or of no use
  LULL_RETURN_IF_ERROR(Sweep());
  return ticket;
}

Status BlobStore::WriteManifest(const Manifest& manifest) const {
  return WriteText(ManifestPath(manifest.name), ManifestText(manifest));
}

Result<bool> BlobStore::Publish(PullTicket& ticket) const {
  LULL_ASSIGN_OR_RETURN(const auto lock, Lock());
  if (!HasBlobs(ticket.manifest_)) return false;
  LULL_RETURN_IF_ERROR(MakeView(ticket.manifest_));
  LULL_RETURN_IF_ERROR(WriteManifest(ticket.manifest_));
  std::error_code ec;
  fs::remove(ticket.path_, ec);
  LULL_RETURN_IF_ERROR(Sweep());
  return true;
}

Status BlobStore::Copy(const Manifest& from, const std::string& to) const {
  LULL_ASSIGN_OR_RETURN(const auto lock, Lock());
  std::error_code ec;
  if (fs::exists(ManifestPath(to), ec))
    return Status(ErrorCode::kUsage, "there is a model of that name", to, "lull rm " + to);
  if (!HasBlobs(from))
    return Status(ErrorCode::kNotFound, "a file of the model is gone", from.name,
                  "lull pull " + from.name);
  Manifest copy = from;
  copy.name = to;
  LULL_RETURN_IF_ERROR(MakeView(copy));
  return WriteManifest(copy);
}

Status BlobStore::Adopt(const std::string& path, const ContentKey& key,
                        const Manifest& manifest) const {
  LULL_RETURN_IF_ERROR(CreateFolders());
  LULL_ASSIGN_OR_RETURN(const auto lock, Lock());
  std::error_code ec;
  if (fs::exists(ManifestPath(manifest.name), ec))
    return Status(ErrorCode::kUsage, "there is a model of that name", manifest.name,
                  "lull rm " + manifest.name);
  if (!fs::exists(BlobPath(key), ec)) fs::create_hard_link(path, BlobPath(key), ec);
  if (ec)
    return Status(ErrorCode::kUnsupported, "the file cannot have a second name: " + ec.message(),
                  path, "keep the store on a file system with hard links");
  os::SyncFolderOf(BlobPath(key));
  LULL_RETURN_IF_ERROR(MakeView(manifest));
  return WriteManifest(manifest);
}

Status BlobStore::Remove(const std::string& name) const {
  std::error_code ec;
  if (!fs::exists(Folder("manifests"), ec))
    return Status(ErrorCode::kNotFound, "no such model in the store", name, "lull list");
  LULL_ASSIGN_OR_RETURN(const auto lock, Lock());
  const size_t pulls_before = NamesIn(Folder("pulls")).size();
  RemoveDeadPulls(name);
  const bool removed = fs::remove(ManifestPath(name), ec);
  if (ec) return IoError("cannot remove", ec, ManifestPath(name));
  os::SyncFolderOf(ManifestPath(name));
  LULL_RETURN_IF_ERROR(Sweep());
  if (removed || NamesIn(Folder("pulls")).size() < pulls_before) return Status();
  return Status(ErrorCode::kNotFound, "no such model in the store", name, "lull list");
}

Result<BlobStore::Roots> BlobStore::CollectRoots() const {
  Roots roots;
  const auto add = [&roots](const Manifest& manifest) {
    for (const ManifestFile& file : manifest.files) roots.keys.insert(file.key.text());
    roots.views.insert(ContentId(manifest));
  };
  for (const std::string& name : JsonIn(Folder("manifests"))) {
    // One that cannot be read may stand for any blob: then nothing is removed.
    LULL_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(Folder("manifests/") + name));
    add(manifest);
  }
  for (const std::string& name : JsonIn(Folder("pulls"))) {
    const std::string path = Folder("pulls/") + name;
    const Result<Manifest> manifest = ReadManifest(path);
    std::error_code ec;
    if (manifest.ok()) add(*manifest);
    const Result<std::unique_ptr<os::FileLock>> lock = os::FileLock::TryAcquire(path);
    const bool dead = lock.ok() && *lock != nullptr;
    if (dead && (!manifest.ok() || IsOld(path))) fs::remove(path, ec);
  }
  return roots;
}

Status BlobStore::Sweep() const {
  for (const char* part : {"manifests", "pulls"}) RemoveUnfinished(Folder(part));
  const Result<Roots> roots = CollectRoots();
  if (!roots.ok()) return Status();
  std::error_code ec;
  for (const std::string& name : NamesIn(Folder("views")))
    if (!roots->views.contains(name)) fs::remove_all(Folder("views/") + name, ec);
  for (const std::string& name : NamesIn(Folder("blobs"))) {
    const bool partial = name.ends_with(kPartial);
    const std::string key = partial ? name.substr(0, name.size() - sizeof kPartial + 1) : name;
    if (!roots->keys.contains(key)) fs::remove(Folder("blobs/") + name, ec);
  }
  return Status();
}

}  // namespace lull
