// What this program was built from.
#pragma once

namespace lull {

// The commit, 12 hex digits, with "+changes" where the tree differed from it; "unknown" without
// git.
const char* BuildCommit();

}  // namespace lull
