// Models on disk by their contents: blobs, and names that stand for them.
//
//   blobs/KEY           a whole file, verified, read-only; KEY as ContentKey's text
//   blobs/KEY.partial   what has been fetched of it
//   manifests/NAME.json which blobs a name stands for
//   pulls/NAME~N.json   the same of a pull that has not ended: its blobs stay
//   views/ID/FILE       a model's files under their own names, as links to blobs
//
// Whoever changes manifests, pulls or views, or removes a blob, holds .index.lock, for moments. A
// blob appears only while a file in pulls/ names it. docs/design/store.md says why nothing is lost.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/os/file_lock.h"
#include "lull/status.h"
#include "store/manifest.h"

namespace lull {

// A pull under way: while it lives its blobs and partial files stay, and for a week after a process
// that died in it.
class PullTicket {
 public:
  const Manifest& manifest() const { return manifest_; }

 private:
  friend class BlobStore;
  Manifest manifest_;
  std::string path_;
  std::unique_ptr<os::FileLock> lock_;
};

// Thread-safe, and safe between processes; holds nothing but the folder's name.
class BlobStore {
 public:
  explicit BlobStore(std::string folder) : folder_(std::move(folder)) {}

  // Names, sorted. What cannot be read is left out.
  std::vector<Manifest> List() const;
  // kNotFound; kInvalidInput where the manifest is damaged.
  Result<Manifest> Find(const std::string& name) const;
  // What loads: the first file of a GGUF model, the folder of a safetensors one. Makes the view
  // where it is missing. kNotFound names a blob that is gone.
  Result<std::string> PathOf(const Manifest& manifest) const;

  // Before the first byte: what is to be fetched. Creates the folders.
  Result<std::unique_ptr<PullTicket>> Begin(const Manifest& manifest) const;
  // All blobs are there: the name stands for them. False where one has gone meanwhile: fetch again.
  Result<bool> Publish(PullTicket& ticket) const;

  // Another name for the same blobs. kUsage where `to` is taken.
  Status Copy(const Manifest& from, const std::string& to) const;
  // A file outside of the blobs becomes one, sharing its bytes. kUnsupported where the file system
  // has no hard links. Requires: its contents are of that key.
  Status Adopt(const std::string& path, const ContentKey& key, const Manifest& manifest) const;
  // The name goes, and blobs that no other name or pull stands for. kNotFound.
  Status Remove(const std::string& name) const;

  std::string BlobPath(const ContentKey& key) const;
  std::string PartialPath(const ContentKey& key) const;

 private:
  struct Roots;
  std::string Folder(const char* part) const { return folder_ + "/" + part; }
  std::string ManifestPath(const std::string& name) const;
  std::string ViewPath(const Manifest& manifest) const;
  Status CreateFolders() const;
  Result<std::unique_ptr<os::FileLock>> Lock() const;
  Status MakeView(const Manifest& manifest) const;
  bool HasBlobs(const Manifest& manifest) const;
  Status WriteManifest(const Manifest& manifest) const;
  // These hold the lock.
  void RemoveDeadPulls(const std::string& name) const;
  Result<Roots> CollectRoots() const;
  Status Sweep() const;

  std::string folder_;
};

}  // namespace lull
