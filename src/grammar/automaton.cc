#include "grammar/automaton.h"

#include <algorithm>
#include <bitset>
#include <string>
#include <unordered_map>
#include <utility>

namespace lull::grammar {
namespace {

constexpr uint64_t kMaxIndent = 20;
constexpr int32_t kNodeCap = 1 << 24;  // what a Ref holds

// Where in a JSON string: nodes of one block, in this order.
enum StringPhase : uint8_t {
  kOpen,    // before the opening quote
  kBody,    // between code points
  kEscape,  // after a backslash
  kHex1,    // of \uXXXX, surrogates excluded
  kHex2,
  kHex2NotSurrogate,
  kHex3,
  kHex4,
  kOneLeft,  // continuation bytes to come
  kTwoLeft,
  kThreeLeft,
  kAfterE0,
  kAfterEd,
  kAfterF0,
  kAfterF4,
  kNumPhases
};

bool In(uint8_t byte, uint8_t low, uint8_t high) { return byte >= low && byte <= high; }
bool IsHex(uint8_t byte) { return In(byte, '0', '9') || In(byte, 'a', 'f') || In(byte, 'A', 'F'); }

// The phase that a byte leads to; kNumPhases: none. *whole: it completes a code point. The closing
// quote is not among them.
StringPhase NextPhase(uint8_t phase, uint8_t byte, bool* whole) {
  const bool continuation = In(byte, 0x80, 0xBF);
  *whole = false;
  switch (phase) {
    case kBody:
      if (byte == '\\') return kEscape;
      if (byte >= 0x20 && byte < 0x80) return *whole = true, kBody;
      if (In(byte, 0xC2, 0xDF)) return kOneLeft;
      if (byte == 0xE0) return kAfterE0;
      if (byte == 0xED) return kAfterEd;
      if (In(byte, 0xE1, 0xEF)) return kTwoLeft;
      if (byte == 0xF0) return kAfterF0;
      if (In(byte, 0xF1, 0xF3)) return kThreeLeft;
      return byte == 0xF4 ? kAfterF4 : kNumPhases;
    case kEscape:
      if (byte == 'u') return kHex1;
      *whole = std::string_view("\"\\/bfnrt").find(static_cast<char>(byte)) != std::string::npos;
      return *whole ? kBody : kNumPhases;
    case kHex1:
      if (byte == 'd' || byte == 'D') return kHex2NotSurrogate;
      return IsHex(byte) ? kHex2 : kNumPhases;
    case kHex2:
      return IsHex(byte) ? kHex3 : kNumPhases;
    case kHex2NotSurrogate:
      return In(byte, '0', '7') ? kHex3 : kNumPhases;
    case kHex3:
      return IsHex(byte) ? kHex4 : kNumPhases;
    case kHex4:
      *whole = IsHex(byte);
      return *whole ? kBody : kNumPhases;
    case kOneLeft:
      *whole = continuation;
      return continuation ? kBody : kNumPhases;
    case kTwoLeft:
      return continuation ? kOneLeft : kNumPhases;
    case kThreeLeft:
      return continuation ? kTwoLeft : kNumPhases;
    case kAfterE0:
      return In(byte, 0xA0, 0xBF) ? kOneLeft : kNumPhases;
    case kAfterEd:
      return In(byte, 0x80, 0x9F) ? kOneLeft : kNumPhases;
    case kAfterF0:
      return In(byte, 0x90, 0xBF) ? kTwoLeft : kNumPhases;
    case kAfterF4:
      return In(byte, 0x80, 0x8F) ? kTwoLeft : kNumPhases;
    default:
      return kNumPhases;
  }
}

}  // namespace

int64_t Automaton::bytes() const {
  return static_cast<int64_t>(sizeof(*this) + nodes_.size() * sizeof(Node) +
                              rules_.size() * sizeof(Rule));
}

bool Automaton::Consume(Ref ref, uint8_t byte, Ref* next) const {
  const Node& node = nodes_[ref.node()];
  switch (node.kind) {
    case Node::Kind::kByte:
      *next = Ref(node.next);
      return byte >= node.low && byte <= node.high;
    case Node::Kind::kSpace:
      if (ref.a() == 0) {
        *next = byte == '\n' ? Ref(ref.node(), 1 + kMaxIndent) : Ref(node.next);
        return byte == ' ' || byte == '\n';
      }
      *next = Ref(ref.node(), ref.a() - 1);
      return ref.a() > 1 && (byte == ' ' || byte == '\t');
    case Node::Kind::kString:
      return ConsumeInString(ref, node, byte, next);
    default:
      return false;
  }
}

bool Automaton::ConsumeInString(Ref ref, const Node& node, uint8_t byte, Ref* next) const {
  const uint8_t phase = node.low;
  const int32_t block = ref.node() - phase;
  if (phase == kOpen) {
    *next = Ref(block + kBody, ref.a(), ref.b());
    return byte == '"';
  }
  if (phase == kBody && byte == '"') {
    *next = Ref(node.next);
    return ref.a() == 0;
  }
  if (phase == kBody && ref.b() == 1) return false;
  bool whole = false;
  const StringPhase to = NextPhase(phase, byte, &whole);
  if (to == kNumPhases) return false;
  uint64_t least = ref.a(), most = ref.b();
  if (whole) {
    if (least > 0) --least;
    if (most > 0) --most;  // was above 1
  }
  *next = Ref(block + to, least, most);
  return true;
}

AutomatonBuilder::AutomatonBuilder(WorkMeter* meter, const AutomatonLimits& limits)
    : meter_(meter), limits_(limits) {
  limits_.max_nodes = std::min(limits_.max_nodes, kNodeCap);
  AddCommonRules();
  common_nodes_ = static_cast<int32_t>(nodes_.size());
}

int AutomatonBuilder::CodeProgress(int progress, uint8_t byte) {
  bool whole = false;
  return NextPhase(static_cast<uint8_t>(progress + kBody), byte, &whole) - kBody;
}

void AutomatonBuilder::Spend(size_t steps) {
  meter_->Spend(steps);
  steps_ += static_cast<int64_t>(steps);
  if (steps_ <= limits_.max_steps || !ok()) return;
  Fail({ErrorCode::kUnsupported,
        "the grammar takes too much work to build",
        {},
        "use a smaller schema, fewer alternatives or smaller repetition counts"});
}

void AutomatonBuilder::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

int32_t AutomatonBuilder::Add(Node node) {
  Spend(1);
  if (static_cast<int32_t>(nodes_.size()) >= limits_.max_nodes) {
    Fail({ErrorCode::kUnsupported,
          "the grammar needs more than " + std::to_string(limits_.max_nodes) + " states",
          {},
          "use smaller repetition counts or a smaller schema"});
  }
  if (!ok()) return dead_node_;
  nodes_.push_back(node);
  return static_cast<int32_t>(nodes_.size()) - 1;
}

int32_t AutomatonBuilder::Byte(uint8_t low, uint8_t high, int32_t next) {
  return Add({Node::Kind::kByte, low, high, next, kNoNode});
}

int32_t AutomatonBuilder::Literal(std::string_view bytes, int32_t next) {
  for (size_t i = bytes.size(); i > 0 && ok(); --i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i - 1]);
    next = Byte(byte, byte, next);
  }
  return next;
}

int32_t AutomatonBuilder::Split(int32_t first, int32_t second) {
  return Add({Node::Kind::kSplit, 0, 0, first, second});
}

int32_t AutomatonBuilder::AnyOf(const std::vector<int32_t>& nodes) {
  if (nodes.empty()) return dead_node_;
  int32_t node = nodes.back();
  for (size_t i = nodes.size() - 1; i > 0 && ok(); --i) node = Split(nodes[i - 1], node);
  return node;
}

int32_t AutomatonBuilder::Call(int32_t rule, int32_t next) {
  return Add({Node::Kind::kCall, 0, 0, next, rule});
}

int32_t AutomatonBuilder::Return() { return return_node_; }
int32_t AutomatonBuilder::Dead() { return dead_node_; }
int32_t AutomatonBuilder::StringBody() const { return string_node_ + kBody; }

int32_t AutomatonBuilder::Space(int32_t next) {
  return Add({Node::Kind::kSpace, 0, 0, next, kNoNode});
}

int32_t AutomatonBuilder::Codes(const CodeSet& set, int32_t next) {
  // Sequences that end alike share their ends.
  std::vector<std::pair<Node, int32_t>> made;
  std::vector<int32_t> starts;
  for (const ByteSequence& sequence : Utf8Sequences(set)) {
    int32_t node = next;
    for (int i = sequence.size - 1; i >= 0; --i) {
      Spend(1 + made.size() / 8);
      const auto same = std::find_if(made.begin(), made.end(), [&](const auto& entry) {
        return entry.first.low == sequence.low[i] && entry.first.high == sequence.high[i] &&
               entry.first.next == node;
      });
      if (same != made.end()) {
        node = same->second;
        continue;
      }
      const int32_t added = Byte(sequence.low[i], sequence.high[i], node);
      if (i > 0)
        made.push_back({{Node::Kind::kByte, sequence.low[i], sequence.high[i], node, 0}, added});
      node = added;
    }
    starts.push_back(node);
    if (!ok()) break;
  }
  return AnyOf(starts);
}

int32_t AutomatonBuilder::OpenSplit() { return Split(kNoNode, kNoNode); }

void AutomatonBuilder::SetSplit(int32_t split, int32_t first, int32_t second) {
  if (!ok()) return;  // split may be no node of its own
  nodes_[split].next = first;
  nodes_[split].other = second;
}

int32_t AutomatonBuilder::NewRule() {
  Spend(1);
  if (static_cast<int32_t>(rules_.size()) >= limits_.max_rules) {
    Fail({ErrorCode::kUnsupported,
          "the grammar needs more than " + std::to_string(limits_.max_rules) + " rules",
          {},
          "use a smaller schema"});
    return 0;
  }
  rules_.push_back({Ref(dead_node_), 0});
  return static_cast<int32_t>(rules_.size()) - 1;
}

int32_t AutomatonBuilder::StringRule(uint64_t min, uint64_t max) {
  const uint64_t bound = max == kNoMaximum ? 0 : std::min(max, kMaxStringLength) + 1;
  const uint64_t key = std::min(min, kMaxStringLength) << 32 | bound;
  for (const auto& [bounds, rule] : string_rules_) {
    if (bounds == key) return rule;
  }
  const int32_t rule = NewRule();
  if (!ok()) return rule;
  rules_[rule].start = Ref(string_node_ + kOpen, key >> 32, bound);
  string_rules_.push_back({key, rule});
  return rule;
}

void AutomatonBuilder::AddCommonRules() {
  dead_node_ = Add({});
  return_node_ = Add({Node::Kind::kReturn, 0, 0, kNoNode, kNoNode});
  string_node_ = static_cast<int32_t>(nodes_.size());
  for (uint8_t phase = 0; phase < kNumPhases; ++phase) {
    Add({Node::Kind::kString, phase, 0, return_node_, kNoNode});
  }
  const int32_t string_rule = StringRule(0, kNoMaximum);
  integer_rule_ = NewRule();
  number_rule_ = NewRule();
  value_rule_ = NewRule();
  object_rule_ = NewRule();
  array_rule_ = NewRule();
  const auto digits_up_to = [&](int count, int32_t next) {
    int32_t node = next;
    for (int i = 0; i < count; ++i) node = Split(Byte('0', '9', node), next);
    return node;
  };
  // Digits are bounded, so that every reader holds the number: up to 18 before the point (64 bits),
  // 17 after it, an exponent of two.
  const auto whole_part = [&](int32_t next) {
    const int32_t magnitude = Split(Byte('0', '0', next), Byte('1', '9', digits_up_to(17, next)));
    return Split(Byte('-', '-', magnitude), magnitude);
  };
  SetRule(integer_rule_, whole_part(return_node_));
  const int32_t exponent_digits = Byte('0', '9', digits_up_to(1, return_node_));
  const int32_t sign =
      AnyOf({Byte('+', '+', exponent_digits), Byte('-', '-', exponent_digits), exponent_digits});
  const int32_t exponent = AnyOf({Byte('e', 'e', sign), Byte('E', 'E', sign), return_node_});
  const int32_t fraction =
      Split(Byte('.', '.', Byte('0', '9', digits_up_to(16, exponent))), exponent);
  SetRule(number_rule_, whole_part(fraction));

  // '{' space [string space ':' space value space (',' space string ...)*] '}'
  const int32_t object_more = OpenSplit();
  const int32_t member =
      Call(string_rule, Space(Byte(':', ':', Space(Call(value_rule_, Space(object_more))))));
  const int32_t object_end = Byte('}', '}', return_node_);
  SetSplit(object_more, Byte(',', ',', Space(member)), object_end);
  SetRule(object_rule_, Byte('{', '{', Space(Split(member, object_end))));

  const int32_t array_more = OpenSplit();
  const int32_t item = Call(value_rule_, Space(array_more));
  const int32_t array_end = Byte(']', ']', return_node_);
  SetSplit(array_more, Byte(',', ',', Space(item)), array_end);
  SetRule(array_rule_, Byte('[', '[', Space(Split(item, array_end))));

  SetRule(value_rule_, AnyOf({Call(string_rule, return_node_), Call(number_rule_, return_node_),
                              Call(object_rule_, return_node_), Call(array_rule_, return_node_),
                              Literal("true", return_node_), Literal("false", return_node_),
                              Literal("null", return_node_)}));
}

// Nodes from which no rule's end can be reached become kDead, and no split leads to them.
void AutomatonBuilder::Trim() {
  const size_t count = nodes_.size();
  // Who becomes useful when a node does: nodes by what they lead to, and calls by their rule's
  // start.
  std::vector<std::vector<int32_t>> callers(rules_.size());
  std::vector<int32_t> first_user, users, fill;
  AssignPaced(meter_, count + 1, int32_t{0}, &first_user);
  const auto each_target = [&](const Node& node, auto&& fn) {
    if (node.next != kNoNode) fn(node.next);
    if (node.kind == Node::Kind::kSplit && node.other != kNoNode) fn(node.other);
  };
  for (const Node& node : nodes_) {
    Spend(1);
    each_target(node, [&](int32_t to) { ++first_user[to + 1]; });
  }
  AssignPaced(meter_, count, int32_t{0}, &fill);
  for (size_t i = 0; i < count; ++i) {
    Spend(1);
    fill[i] = first_user[i];
    first_user[i + 1] += first_user[i];
  }
  AssignPaced(meter_, static_cast<size_t>(first_user[count]), int32_t{0}, &users);
  for (size_t i = 0; i < count; ++i) {
    Spend(2);
    each_target(nodes_[i], [&](int32_t to) { users[fill[to]++] = static_cast<int32_t>(i); });
    if (nodes_[i].kind == Node::Kind::kCall) {
      callers[nodes_[i].other].push_back(static_cast<int32_t>(i));
    }
  }
  std::unordered_map<int32_t, std::vector<int32_t>> rules_at;
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    rules_at[rules_[rule].start.node()].push_back(static_cast<int32_t>(rule));
  }
  std::vector<bool> useful(count), rule_useful(rules_.size());
  std::vector<int32_t> todo;
  const auto mark = [&](int32_t index) {
    const Node& node = nodes_[index];
    if (useful[index] || node.kind == Node::Kind::kDead) return;
    if (node.kind == Node::Kind::kCall && !(rule_useful[node.other] && useful[node.next])) return;
    useful[index] = true;
    todo.push_back(index);
  };
  for (size_t i = 0; i < count; ++i) {
    const Node::Kind kind = nodes_[i].kind;
    if (kind == Node::Kind::kReturn || kind == Node::Kind::kString) mark(static_cast<int32_t>(i));
  }
  while (!todo.empty()) {
    const int32_t index = todo.back();
    todo.pop_back();
    Spend(2);
    for (int32_t i = first_user[index]; i < first_user[index + 1]; ++i) mark(users[i]);
    const auto starting = rules_at.find(index);
    if (starting == rules_at.end()) continue;
    for (int32_t rule : starting->second) {
      if (rule_useful[rule]) continue;
      rule_useful[rule] = true;
      for (int32_t caller : callers[rule]) mark(caller);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    Spend(1);
    Node& node = nodes_[i];
    if (!useful[i]) node = Node();
    if (node.kind != Node::Kind::kSplit) continue;
    if (node.next != kNoNode && !useful[node.next]) node.next = kNoNode;
    if (node.other != kNoNode && !useful[node.other]) node.other = kNoNode;
  }
  FreePaced(meter_, &first_user);
  FreePaced(meter_, &users);
  FreePaced(meter_, &fill);
}

// The rules that a rule may call before it has consumed a byte.
Status AutomatonBuilder::LeftCalls(int32_t rule, std::vector<int32_t>* callees) {
  callees->clear();
  if (visited_.empty()) AssignPaced(meter_, nodes_.size(), uint32_t{0}, &visited_);
  ++visit_;
  std::vector<int32_t> todo = {rules_[rule].start.node()};
  while (!todo.empty()) {
    const int32_t index = todo.back();
    todo.pop_back();
    if (index == kNoNode || visited_[index] == visit_) continue;
    visited_[index] = visit_;
    Spend(1);
    const Node& node = nodes_[index];
    if (node.kind == Node::Kind::kReturn) {
      return {ErrorCode::kInternal, "rule " + std::to_string(rule) + " of a grammar may be empty"};
    }
    if (node.kind == Node::Kind::kCall) callees->push_back(node.other);
    if (node.kind == Node::Kind::kSplit) todo.push_back(node.other);
    if (node.kind == Node::Kind::kSplit || node.kind == Node::Kind::kSpace) {
      todo.push_back(node.next);
    }
  }
  return Status::Ok();
}

// Ranks so that callers at the left edge come before whom they call. A cycle would call forever.
Status AutomatonBuilder::OrderRules() {
  const int32_t count = static_cast<int32_t>(rules_.size());
  enum : uint8_t { kNew, kOpenRule, kDone };
  std::vector<uint8_t> state(count, kNew);
  struct Frame {
    int32_t rule;
    std::vector<int32_t> callees;
    size_t at = 0;
  };
  int32_t next_rank = count;
  for (int32_t root = 0; root < count; ++root) {
    std::vector<Frame> frames;
    const auto open = [&](int32_t rule) -> Status {
      state[rule] = kOpenRule;
      frames.push_back({rule, {}});
      if (rule == result_.root_) return Status::Ok();  // nobody calls it, and it may be empty
      return LeftCalls(rule, &frames.back().callees);
    };
    if (state[root] == kNew) LULL_RETURN_IF_ERROR(open(root));
    while (!frames.empty()) {
      Frame& frame = frames.back();
      if (frame.at == frame.callees.size()) {
        state[frame.rule] = kDone;
        rules_[frame.rule].rank = --next_rank;
        frames.pop_back();
        continue;
      }
      const int32_t callee = frame.callees[frame.at++];
      if (state[callee] == kOpenRule) {
        return {ErrorCode::kInvalidInput,
                "a definition refers to itself before any text",
                {},
                "put the reference into a property or an item"};
      }
      if (state[callee] == kNew) LULL_RETURN_IF_ERROR(open(callee));
    }
  }
  return Status::Ok();
}

void AutomatonBuilder::MakeClasses() {
  std::bitset<257> starts;  // a class starts at this byte
  for (const Node& node : nodes_) {
    Spend(1);
    if (node.kind != Node::Kind::kByte) continue;
    starts.set(node.low);
    starts.set(size_t{node.high} + 1);
  }
  // What strings and white space tell apart.
  for (int phase = 0; phase < kNumPhases; ++phase) {
    bool whole = false, whole_before = false;
    for (int byte = 1; byte < 256; ++byte) {
      const StringPhase to =
          NextPhase(static_cast<uint8_t>(phase), static_cast<uint8_t>(byte), &whole);
      const StringPhase before =
          NextPhase(static_cast<uint8_t>(phase), static_cast<uint8_t>(byte - 1), &whole_before);
      if (to != before || whole != whole_before) starts.set(byte);
    }
  }
  for (char c : {'"', ' ', '\n', '\t'}) {
    starts.set(static_cast<uint8_t>(c));
    starts.set(static_cast<uint8_t>(c) + 1u);
  }
  int index = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte > 0 && starts[byte]) ++index;
    result_.classes_[byte] = static_cast<uint8_t>(index);
  }
  result_.num_classes_ = index + 1;
}

Result<Automaton> AutomatonBuilder::Finish(int32_t root) {
  LULL_RETURN_IF_ERROR(status_);
  result_.root_ = root;
  LULL_RETURN_IF_ERROR(OrderRules());  // before parts that can never be completed are gone
  Trim();
  if (nodes_[rules_[root].start.node()].kind == Node::Kind::kDead) {
    return Status(ErrorCode::kInvalidInput, "nothing satisfies it", {},
                  "some part that is required can never be completed");
  }
  MakeClasses();
  FreePaced(meter_, &visited_);
  result_.nodes_ = std::move(nodes_);
  result_.rules_ = std::move(rules_);
  result_.common_nodes_ = common_nodes_;
  result_.string_body_ = StringBody();
  result_.object_rule_ = object_rule_;
  result_.array_rule_ = array_rule_;
  return std::move(result_);
}

}  // namespace lull::grammar
