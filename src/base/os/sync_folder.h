// Makes what was renamed into or removed from a folder durable.
#pragma once

#include <string>

namespace lull::os {

// The folder that path lies in; one that cannot be synced is not worth failing for.
void SyncFolderOf(const std::string& path);

}  // namespace lull::os
