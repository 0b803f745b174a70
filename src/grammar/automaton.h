// A grammar as a nondeterministic pushdown automaton over bytes: nodes that consume a byte, split,
// call a rule or return from one. Immutable once finished, so thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "base/work_meter.h"
#include "grammar/code_set.h"
#include "lull/status.h"

namespace lull::grammar {

// A node and its two counters, each below kCounterLimit. Strings and white space count in the
// reference, so a string of at most a million characters is one node, not a million.
struct Ref {
  uint64_t bits = 0;

  static constexpr uint64_t kCounterLimit = 1 << 20;

  Ref() = default;
  explicit Ref(int32_t node, uint64_t a = 0, uint64_t b = 0)
      : bits(static_cast<uint64_t>(node) | a << 24 | b << 44) {}
  int32_t node() const { return static_cast<int32_t>(bits & 0xFFFFFF); }
  uint64_t a() const { return bits >> 24 & (kCounterLimit - 1); }
  uint64_t b() const { return bits >> 44; }
  auto operator<=>(const Ref&) const = default;
};

inline constexpr int32_t kNoNode = -1;

struct Node {
  enum class Kind : uint8_t {
    kDead,    // leads nowhere
    kByte,    // a byte from low to high, then next
    kSplit,   // next or other, no byte consumed; kNoNode: not that way
    kCall,    // rule `other`, then next
    kReturn,  // the end of a rule
    kSpace,   // a blank, or a line feed and up to 20 blanks, or nothing; then next. Counter a: 0
              // at first, after the line feed 1 plus the blanks that may still come
    kString,  // within a JSON string, low is the phase; returns after its end. Counter a: code
              // points that must still come; b: 0, or 1 plus those that may still come
  };
  Kind kind = Kind::kDead;
  uint8_t low = 0;
  uint8_t high = 0;
  int32_t next = kNoNode;
  int32_t other = kNoNode;
};

struct Rule {
  Ref start;
  int32_t rank = 0;  // a rule that may begin with a call of another has the smaller rank
};

class Automaton {
 public:
  // Where the rule `root` is left, the text is complete.
  const Node& node(int32_t index) const { return nodes_[index]; }
  int32_t num_nodes() const { return static_cast<int32_t>(nodes_.size()); }
  const Rule& rule(int32_t index) const { return rules_[index]; }
  int32_t num_rules() const { return static_cast<int32_t>(rules_.size()); }
  int32_t root() const { return root_; }
  // Nodes and rules below these numbers are the same in every automaton.
  int32_t common_nodes() const { return common_nodes_; }
  // Whether the rule is that of any object or any array.
  bool nests(int32_t rule) const { return rule == object_rule_ || rule == array_rule_; }
  // Within a string, between two code points.
  int32_t string_body() const { return string_body_; }
  int64_t bytes() const;

  // Bytes of one class are never told apart.
  int num_classes() const { return num_classes_; }
  int ClassOf(uint8_t byte) const { return classes_[byte]; }

  // Where the byte leads; false: nowhere.
  bool Consume(Ref ref, uint8_t byte, Ref* next) const;

 private:
  friend class AutomatonBuilder;
  bool ConsumeInString(Ref ref, const Node& node, uint8_t byte, Ref* next) const;

  std::deque<Node> nodes_;  // growing copies nothing
  std::vector<Rule> rules_;
  int32_t root_ = 0;
  int32_t common_nodes_ = 0;
  int32_t string_body_ = 0;
  int32_t object_rule_ = 0, array_rule_ = 0;
  int num_classes_ = 0;
  std::array<uint8_t, 256> classes_{};
};

struct AutomatonLimits {
  int32_t max_nodes = 400'000;
  int32_t max_rules = 20'000;
  int64_t max_steps = 30'000'000;  // of the work meter: half a second or less
};

// Builds backwards: what follows is built first and passed as `next`. Past a limit every call
// answers some node and status() says why; whoever loops asks ok().
class AutomatonBuilder {
 public:
  AutomatonBuilder(WorkMeter* meter, const AutomatonLimits& limits);

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  void Fail(Status status);
  WorkMeter* meter() { return meter_; }
  // Counts work of whoever builds; past the limit the builder fails.
  void Spend(size_t steps);

  int32_t Byte(uint8_t low, uint8_t high, int32_t next);
  int32_t Literal(std::string_view bytes, int32_t next);
  int32_t Split(int32_t first, int32_t second);
  int32_t AnyOf(const std::vector<int32_t>& nodes);  // kDead where empty
  int32_t Optional(int32_t node, int32_t next) { return Split(node, next); }
  int32_t Call(int32_t rule, int32_t next);
  int32_t Return();  // always the same node
  int32_t Dead();
  int32_t Space(int32_t next);
  int32_t Codes(const CodeSet& set, int32_t next);
  // A split to be completed by SetSplit: loops.
  int32_t OpenSplit();
  void SetSplit(int32_t split, int32_t first, int32_t second);

  const Node& node(int32_t index) const { return nodes_[index]; }
  // How far within a code point of a JSON string a text is: 0 between two. Requires: the byte may
  // come there, and does not end the string.
  static int CodeProgress(int progress, uint8_t byte);

  int32_t NewRule();  // its start is set later
  void SetRule(int32_t rule, int32_t start) { rules_[rule].start = Ref(start); }
  // The rule of strings with so many code points, made at the first call. max: kNoMaximum, or at
  // most kMaxStringLength. Requires: min <= max.
  static constexpr uint64_t kMaxStringLength = 1'000'000;
  static constexpr uint64_t kNoMaximum = UINT64_MAX;
  int32_t StringRule(uint64_t min, uint64_t max);
  // Within a string of any length, after its opening quote; returns from the rule after its end.
  int32_t StringBody() const;
  // Rules of every automaton.
  int32_t integer_rule() const { return integer_rule_; }
  int32_t number_rule() const { return number_rule_; }
  int32_t value_rule() const { return value_rule_; }
  int32_t object_rule() const { return object_rule_; }
  int32_t array_rule() const { return array_rule_; }

  // Cuts what can never be completed, orders the rules. kInvalidInput: the root can never be
  // completed, or a rule calls itself before any byte.
  Result<Automaton> Finish(int32_t root);

 private:
  int32_t Add(Node node);
  void AddCommonRules();
  void Trim();
  Status OrderRules();
  Status LeftCalls(int32_t rule, std::vector<int32_t>* callees);
  void MakeClasses();

  WorkMeter* meter_;
  AutomatonLimits limits_;
  int64_t steps_ = 0;
  Status status_;
  std::deque<Node> nodes_;  // growing copies nothing
  std::vector<Rule> rules_;
  std::vector<std::pair<uint64_t, int32_t>> string_rules_;  // bounds and rule
  std::vector<uint32_t> visited_;                           // by node, see LeftCalls
  uint32_t visit_ = 0;
  Automaton result_;
  int32_t common_nodes_ = 0;
  int32_t return_node_ = 0, dead_node_ = 0, string_node_ = 0;
  int32_t integer_rule_ = 0, number_rule_ = 0, value_rule_ = 0, object_rule_ = 0, array_rule_ = 0;
};

}  // namespace lull::grammar
