// Stop strings in streamed text: what could still become one is held back, what cannot is let go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lull/status.h"

namespace lull {

// kUsage: too many, empty, too long, not UTF-8.
Status CheckStopStrings(const std::vector<std::string>& stop);

// An Aho-Corasick automaton over bytes: linear in text and stop strings together.
// Requires: CheckStopStrings is ok. Not thread-safe.
class StopMatcher {
 public:
  explicit StopMatcher(const std::vector<std::string>& stop);

  // Text that is now certain to be part of the answer. Once stopped() it stays empty.
  // The first stop string to end wins, the longest where several end at the same byte.
  std::string Push(std::string_view text);
  // The rest where no stop string came.
  std::string Finish();
  bool stopped() const { return stopped_; }

 private:
  struct Node {
    int32_t first_child = -1;
    int32_t next_sibling = -1;
    int32_t fail = 0;  // the longest proper suffix that is a prefix of a stop string
    int32_t depth = 0;
    int32_t match = 0;  // length of the longest stop string that ends here, 0: none
    uint8_t byte = 0;
  };
  int32_t Child(int32_t node, uint8_t byte) const;
  void Insert(const std::string& stop);
  void LinkFailures();

  std::vector<Node> nodes_;
  std::string held_;  // the last nodes_[state_].depth bytes
  int32_t state_ = 0;
  bool stopped_ = false;
};

}  // namespace lull
