#include "decode/stop.h"

#include <algorithm>
#include <utility>

namespace lull {
namespace {

constexpr size_t kMaxStops = 64;
constexpr size_t kMaxStopBytes = 4096;

// Length of the UTF-8 character at text[i], 0 where there is none (overlong forms and surrogates
// count as none).
size_t Utf8Length(std::string_view text, size_t i) {
  const auto at = [&](size_t j) -> uint32_t {
    return j < text.size() ? static_cast<uint8_t>(text[j]) : 0u;
  };
  const uint32_t lead = at(i);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead > 0xf4) return 0;
  uint32_t code = lead & (0xffu >> (length + 1));
  for (size_t j = 1; j < length; ++j) {
    if ((at(i + j) & 0xc0) != 0x80) return 0;
    code = (code << 6) | (at(i + j) & 0x3f);
  }
  if (length == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) return 0;
  if (length == 4 && (code < 0x10000 || code > 0x10ffff)) return 0;
  return length;
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8Length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

}  // namespace

Status CheckStopStrings(const std::vector<std::string>& stop) {
  if (stop.size() > kMaxStops) {
    return {ErrorCode::kUsage, std::to_string(stop.size()) + " stop strings", "stop",
            "give at most " + std::to_string(kMaxStops)};
  }
  for (size_t i = 0; i < stop.size(); ++i) {
    const std::string where = "stop[" + std::to_string(i) + "]";
    if (stop[i].empty()) {
      return {ErrorCode::kUsage, "a stop string is empty", where, "leave it out"};
    }
    if (stop[i].size() > kMaxStopBytes) {
      return {ErrorCode::kUsage, "a stop string has " + std::to_string(stop[i].size()) + " bytes",
              where, "give at most " + std::to_string(kMaxStopBytes)};
    }
    if (!IsUtf8(stop[i])) {
      return {ErrorCode::kUsage, "a stop string is not UTF-8", where, "give whole characters"};
    }
  }
  return Status::Ok();
}

StopMatcher::StopMatcher(const std::vector<std::string>& stop) : nodes_(1) {
  for (const std::string& s : stop) Insert(s);
  LinkFailures();
}

int32_t StopMatcher::Child(int32_t node, uint8_t byte) const {
  int32_t child = nodes_[static_cast<size_t>(node)].first_child;
  while (child >= 0 && nodes_[static_cast<size_t>(child)].byte != byte) {
    child = nodes_[static_cast<size_t>(child)].next_sibling;
  }
  return child;
}

void StopMatcher::Insert(const std::string& stop) {
  int32_t node = 0;
  for (const char c : stop) {
    const uint8_t byte = static_cast<uint8_t>(c);
    int32_t next = Child(node, byte);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      Node& parent = nodes_[static_cast<size_t>(node)];
      const Node child{-1, parent.first_child, 0, parent.depth + 1, 0, byte};
      parent.first_child = next;
      nodes_.push_back(child);
    }
    node = next;
  }
  nodes_[static_cast<size_t>(node)].match = static_cast<int32_t>(stop.size());
}

// Breadth first: a node's failure link is shorter than the node, so it is ready before it is read.
void StopMatcher::LinkFailures() {
  std::vector<int32_t> queue{0};
  for (size_t head = 0; head < queue.size(); ++head) {
    const int32_t parent = queue[head];
    for (int32_t c = nodes_[static_cast<size_t>(parent)].first_child; c >= 0;
         c = nodes_[static_cast<size_t>(c)].next_sibling) {
      Node& node = nodes_[static_cast<size_t>(c)];
      queue.push_back(c);
      if (parent == 0) continue;
      int32_t fail = nodes_[static_cast<size_t>(parent)].fail;
      int32_t next;
      while ((next = Child(fail, node.byte)) < 0 && fail != 0) {
        fail = nodes_[static_cast<size_t>(fail)].fail;
      }
      node.fail = std::max(next, 0);
      if (node.match == 0) node.match = nodes_[static_cast<size_t>(node.fail)].match;
    }
  }
}

std::string StopMatcher::Push(std::string_view text) {
  if (stopped_) return {};
  if (nodes_.size() == 1) return std::string(text);
  held_.append(text);
  const size_t start = held_.size() - text.size();
  for (size_t i = start; i < held_.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(held_[i]);
    int32_t next;
    while ((next = Child(state_, byte)) < 0 && state_ != 0) {
      state_ = nodes_[static_cast<size_t>(state_)].fail;
    }
    state_ = std::max(next, 0);
    const int32_t match = nodes_[static_cast<size_t>(state_)].match;
    if (match == 0) continue;
    stopped_ = true;
    std::string out = held_.substr(0, i + 1 - static_cast<size_t>(match));
    held_.clear();
    return out;
  }
  const size_t keep = static_cast<size_t>(nodes_[static_cast<size_t>(state_)].depth);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopMatcher::Finish() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace lull
