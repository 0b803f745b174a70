#include "store/pip_helper.h"

#include <algorithm>
#include <cstdlib>

namespace lull {
namespace {

// Lines of progress: a step as it is, or where a part lies, "@PART URL SHA-256"; the last line may
// be heard again.
constexpr char kFound = '@';

// In the helper's process.
Status LocateByName(const Store& store, const std::string& name,
                    const os::HelperProcess::OnLine& report) {
  const CatalogEntry* entry = FindCatalogEntry(name);
  if (entry == nullptr) return Status(ErrorCode::kNotFound, "no such model", name);
  LULL_ASSIGN_OR_RETURN(const PackageFiles files,
                        store.Locate(*entry, [&](const std::string& step, uint64_t, uint64_t) {
                          return report(step);
                        }));
  for (size_t i = 0; i < files.size(); ++i)
    if (!report(kFound + std::to_string(i) + ' ' + files[i].url + ' ' + files[i].sha256))
      return Status(ErrorCode::kCancelled, "cancelled", name);
  return Status();
}

bool IsSha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool IsUrl(const std::string& text) {
  const bool known =
      text.starts_with("https://") || text.starts_with("http://") || text.starts_with("file://");
  return known && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

Status NoSense() {
  return Status(ErrorCode::kIo, "the helper said what makes no sense", "helper", "try again");
}

// Into files, which has a place for every part.
Status TakeFound(const std::string& line, PackageFiles* files, size_t* found) {
  const size_t url_at = line.find(' ') + 1, sha_at = line.rfind(' ') + 1;
  const size_t part = strtoul(line.c_str() + 1, nullptr, 10);
  if (sha_at <= url_at || url_at == 0 || part >= files->size()) return NoSense();
  const PackageFile file = {line.substr(url_at, sha_at - 1 - url_at), line.substr(sha_at)};
  const bool there = file.url.empty() && file.sha256.empty();
  if (!there && (!IsUrl(file.url) || !IsSha256(file.sha256)))
    return Status(ErrorCode::kIo, "pip's report names no location and SHA-256", file.url);
  (*files)[part] = file;
  *found = part + 1;
  return Status();
}

}  // namespace

Result<std::unique_ptr<PipHelper>> PipHelper::Start(const std::string& folder,
                                                    const os::HelperProcess::Limits& limits) {
  std::unique_ptr<PipHelper> helper(new PipHelper());
  LULL_ASSIGN_OR_RETURN(helper->process_,
                        os::HelperProcess::Start(
                            [store = Store(folder)](const std::string& name,
                                                    const os::HelperProcess::OnLine& report) {
                              return LocateByName(store, name, report);
                            },
                            limits));
  return helper;
}

Result<PackageFiles> PipHelper::Locate(const CatalogEntry& entry, const PullProgressFn& progress) {
  PackageFiles files(entry.parts.size());
  size_t found = 0;
  Status wrong;
  const auto on_line = [&](const std::string& line) {
    if (!line.starts_with(kFound)) return !progress || progress(line, 0, 0);
    const Status taken = TakeFound(line, &files, &found);
    if (wrong.ok()) wrong = taken;
    return true;
  };
  LULL_RETURN_IF_ERROR(process_->Do(entry.name, on_line));
  LULL_RETURN_IF_ERROR(wrong);
  if (found != files.size()) return NoSense();
  return files;
}

}  // namespace lull
