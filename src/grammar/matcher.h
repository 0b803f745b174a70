// Where a text stands in a grammar: the automaton made deterministic as far as it is walked.
// Alternatives that are open at once share their stacks, so ambiguity costs no more than the number
// of places that are open. One owner, not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/work_meter.h"
#include "grammar/automaton.h"
#include "grammar/mask_cache.h"

namespace lull::grammar {

// A state is a set of nodes that wait for a byte; what lies under it is on the stack.
struct Place {
  int32_t stack = 0;
  int32_t state = 0;
};

// All places at which the text may stand.
struct Position {
  std::vector<Place> places;
  bool complete = false;  // the text may end here
  bool left = false;      // the rule on Matcher::kAnyStack may have ended here

  void Clear() {
    places.clear();
    complete = left = false;
  }
};

class Matcher {
 public:
  static constexpr int32_t kBottom = 0;    // under the root rule
  static constexpr int32_t kAnyStack = 1;  // what is under it is not known
  // Of any objects and arrays within each other; deeper none may be opened. Parsers of JSON have
  // such a bound, too, and a model that only opens brackets comes to an end.
  static constexpr int32_t kMaxNesting = 64;

  // The automaton and the meter's context outlive the matcher.
  Matcher(const Automaton& automaton, const ExecContext& ctx);

  void Start(Position* to);
  // Neither places nor complete nor left: no text goes on with the byte.
  void Step(const Position& from, uint8_t byte, Position* to);
  // Behind the end of the rule whose stack it is.
  void Pop(int32_t stack, Position* to);

  // Where a state alone leads: another state on the same stack, or kNone (no text goes on with the
  // byte), or kSeveral (rules are called or left: Step tells).
  static constexpr int32_t kNone = -1, kSeveral = -2;
  int32_t Next(int32_t state, uint8_t byte) {
    return std::max(TransitionOf(state, byte), kSeveral);
  }

  // How many of them are open on a stack.
  int32_t Nesting(int32_t stack) const { return stacks_[stack].nesting; }
  const std::vector<Ref>& Nodes(int32_t state) const { return states_[state].nodes; }
  int32_t StateOf(const std::vector<Ref>& nodes);  // sorted, each once
  // The nodes with the counters cut at what a token of `longest` bytes can tell.
  std::vector<Ref> CutCounters(int32_t state, int32_t longest) const;
  std::shared_ptr<const LocalMask>* local(int32_t state) { return &states_[state].local; }

  // Stacks made since Mark are forgotten by Release; positions on them are void.
  size_t Mark() const { return stacks_.size(); }
  void Release(size_t mark);
  // Forgets all states but those of the position where they have become many.
  void Compact(Position* position);

  // False once a computation has taken too much work or memory; its results are void.
  bool ok() const { return work_ <= kMaxWork && state_nodes_ <= kMaxStateNodes; }
  void ResetWork() { work_ = 0; }

 private:
  static constexpr int64_t kMaxWork = 200'000'000;  // node visits, about 1 s
  static constexpr size_t kMaxStateNodes = 4'000'000;
  static constexpr size_t kManyStateNodes = 200'000;
  static constexpr size_t kManyStates = 10'000;
  // Of a state and a class of bytes: the next state, kNone, kUnknown, or below that a target.
  static constexpr int32_t kUnknown = INT32_MIN;

  struct Call {
    int32_t rule;
    Ref next;
  };
  // What a byte leads to within one stack.
  struct Target {
    int32_t state = kNone;
    bool returns = false;
    std::vector<Call> calls;
    bool simple() const { return !returns && calls.empty(); }
  };
  struct State {
    std::vector<Ref> nodes;
    std::shared_ptr<const LocalMask> local;
  };
  struct Link {
    Ref next;       // where it goes on
    int32_t stack;  // and on which stack
    auto operator<=>(const Link&) const = default;
  };
  struct Stack {
    size_t first_link = 0, num_links = 0;
    uint64_t hash = 0;
    int32_t nesting = 0;
  };
  struct PendingCall {
    int32_t rank, rule;
    Link link;
    auto operator<=>(const PendingCall&) const = default;
  };

  int32_t TransitionOf(int32_t state, uint8_t byte) {
    const size_t at = TransitionIndex(state, byte);
    return transitions_[at] != kUnknown ? transitions_[at] : MakeTransition(state, byte);
  }
  size_t TransitionIndex(int32_t state, uint8_t byte) const {
    return static_cast<size_t>(state) * automaton_.num_classes() + automaton_.ClassOf(byte);
  }
  int32_t MakeTransition(int32_t state, uint8_t byte);
  int32_t TargetOfNode(Ref node);
  Target MakeTarget(std::vector<Ref>* kernel);
  int32_t KeepTarget(Target target);
  void Follow(int32_t stack, int32_t target, Position* to);
  void MakeCalls(Position* to);
  void AddTarget(int32_t stack, const Target& target, Position* to);
  void AddState(int32_t stack, int32_t state, Position* to);
  int32_t StackOf(const std::vector<Link>& links, int32_t nesting);
  std::span<const Link> LinksOf(int32_t stack) const {
    return std::span(links_).subspan(stacks_[stack].first_link, stacks_[stack].num_links);
  }
  void Work(size_t units) {
    work_ += static_cast<int64_t>(units);
    meter_.Spend(units);
  }

  const Automaton& automaton_;
  const ExecContext ctx_;
  WorkMeter meter_{ctx_};
  int64_t work_ = 0;

  std::vector<State> states_;
  std::vector<int32_t> transitions_;  // [states][classes]
  size_t state_nodes_ = 0;
  std::unordered_multimap<uint64_t, int32_t> state_by_hash_;
  std::vector<Target> targets_;
  std::unordered_map<uint64_t, int32_t> target_by_node_;  // by Ref
  std::vector<Stack> stacks_;
  std::vector<Link> links_;
  std::unordered_multimap<uint64_t, int32_t> stack_by_hash_;

  // Scratch.
  std::vector<uint32_t> visited_;  // by node
  uint32_t visit_ = 0;
  std::vector<Ref> kernel_, todo_;
  std::vector<Place> returns_, returned_;  // state: a target
  std::vector<PendingCall> pending_;
  std::vector<Link> call_links_;
};

}  // namespace lull::grammar
