// libFuzzer target: any bytes as a hub's listing, its revision, a name and a manifest. Built by the
// preset "fuzz".
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "store/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<lull::HubFile> files;
  if (lull::ParseHubTree(text, &files).ok()) (void)lull::SelectHubFiles({"o/r", "", "", ""}, files);
  for (const lull::HubFile& file : files)
    if (!lull::IsHubFilePath(file.path)) __builtin_trap();
  (void)lull::ParseHubRevision(text);
  (void)lull::ParseNextLink(text);
  (void)lull::QuantOfFileName(text);
  const auto source = lull::FindModelSource(text);
  if (source.ok() && source->entry == nullptr && !lull::ParseHubRef(source->hub.Name()).ok())
    __builtin_trap();
  const auto manifest = lull::ParseManifest(text, "fuzz");
  if (manifest.ok() && !lull::ParseManifest(lull::ManifestText(*manifest), "fuzz").ok())
    __builtin_trap();
  return 0;
}
