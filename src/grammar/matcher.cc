#include "grammar/matcher.h"

#include <algorithm>
#include <utility>

namespace lull::grammar {
namespace {

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0xD6E8FEB86659FD93ull;
  return hash ^ (hash >> 32);
}

}  // namespace

Matcher::Matcher(const Automaton& automaton, const ExecContext& ctx)
    : automaton_(automaton), ctx_(ctx) {
  AssignPaced(&meter_, static_cast<size_t>(automaton.num_nodes()), uint32_t{0}, &visited_);
  stacks_.resize(2);  // kBottom, kAnyStack
}

int32_t Matcher::StateOf(const std::vector<Ref>& nodes) {
  uint64_t hash = nodes.size();
  for (Ref node : nodes) hash = Mix(hash, node.bits);
  const auto [begin, end] = state_by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (states_[it->second].nodes == nodes) return it->second;
  }
  Work(4 + nodes.size());
  state_nodes_ += nodes.size();
  const int32_t state = static_cast<int32_t>(states_.size());
  states_.push_back({nodes, {}});
  transitions_.resize(states_.size() * automaton_.num_classes(), int32_t{kUnknown});
  state_by_hash_.emplace(hash, state);
  return state;
}

std::vector<Ref> Matcher::CutCounters(int32_t state, int32_t longest) const {
  std::vector<Ref> nodes = states_[state].nodes;
  const uint64_t limit = static_cast<uint64_t>(longest) + 1;
  for (Ref& ref : nodes) {
    if (automaton_.node(ref.node()).kind != Node::Kind::kString) continue;
    ref = Ref(ref.node(), std::min(ref.a(), limit), std::min(ref.b(), limit + 1));
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

// What the nodes reach without a byte.
Matcher::Target Matcher::MakeTarget(std::vector<Ref>* kernel) {
  Target target;
  std::vector<Ref> waiting;
  ++visit_;
  todo_.swap(*kernel);
  kernel->clear();
  while (!todo_.empty() && ok()) {
    const Ref ref = todo_.back();
    todo_.pop_back();
    Work(1);
    const Node& node = automaton_.node(ref.node());
    const auto visit = [&](int32_t next) {
      if (next != kNoNode) todo_.push_back(Ref(next));
    };
    if (node.kind == Node::Kind::kByte || node.kind == Node::Kind::kString) {
      waiting.push_back(ref);
      continue;
    }
    if (node.kind == Node::Kind::kSpace) {
      if (ref.a() != 1) waiting.push_back(ref);
      visit(node.next);
      continue;
    }
    if (visited_[ref.node()] == visit_) continue;
    visited_[ref.node()] = visit_;
    if (node.kind == Node::Kind::kSplit) {
      visit(node.next);
      visit(node.other);
    } else if (node.kind == Node::Kind::kCall) {
      target.calls.push_back({node.other, Ref(node.next)});
    } else if (node.kind == Node::Kind::kReturn) {
      target.returns = true;
    }
  }
  todo_.clear();
  std::sort(waiting.begin(), waiting.end());
  waiting.erase(std::unique(waiting.begin(), waiting.end()), waiting.end());
  if (!waiting.empty()) target.state = StateOf(waiting);
  return target;
}

int32_t Matcher::KeepTarget(Target target) {
  targets_.push_back(std::move(target));
  return static_cast<int32_t>(targets_.size()) - 1;
}

int32_t Matcher::MakeTransition(int32_t state, uint8_t byte) {
  kernel_.clear();
  Work(states_[state].nodes.size());
  for (Ref ref : states_[state].nodes) {
    Ref next;
    if (automaton_.Consume(ref, byte, &next)) kernel_.push_back(next);
  }
  int32_t transition = kNone;
  if (!kernel_.empty()) {
    Target target = MakeTarget(&kernel_);
    transition = target.simple() ? target.state : kSeveral - KeepTarget(std::move(target));
  }
  transitions_[TransitionIndex(state, byte)] = transition;
  return transition;
}

int32_t Matcher::TargetOfNode(Ref node) {
  const auto [it, is_new] = target_by_node_.try_emplace(node.bits, kNone);
  if (is_new) {
    kernel_.assign(1, node);
    it->second = KeepTarget(MakeTarget(&kernel_));
  }
  return it->second;
}

void Matcher::Start(Position* to) {
  to->Clear();
  Follow(kBottom, TargetOfNode(automaton_.rule(automaton_.root()).start), to);
  MakeCalls(to);
}

void Matcher::Pop(int32_t stack, Position* to) {
  to->Clear();
  if (stack == kBottom) to->complete = true;
  if (stack == kAnyStack) to->left = true;
  for (const Link link : LinksOf(stack)) Follow(link.stack, TargetOfNode(link.next), to);
  MakeCalls(to);
}

void Matcher::Step(const Position& from, uint8_t byte, Position* to) {
  to->Clear();
  for (const Place& place : from.places) {
    const int32_t transition = TransitionOf(place.state, byte);
    if (transition >= 0) {
      AddState(place.stack, transition, to);
    } else if (transition <= kSeveral) {
      Follow(place.stack, kSeveral - transition, to);
    }
  }
  if (!pending_.empty()) MakeCalls(to);
}

// The target on the stack, and wherever its rule returns to.
void Matcher::Follow(int32_t stack, int32_t target, Position* to) {
  returns_.assign(1, {stack, target});
  returned_.clear();
  while (!returns_.empty() && ok()) {
    const Place at = returns_.back();
    returns_.pop_back();
    Work(1 + returned_.size() / 8);
    const bool seen = std::any_of(returned_.begin(), returned_.end(), [&](const Place& other) {
      return other.stack == at.stack && other.state == at.state;
    });
    if (seen) continue;
    returned_.push_back(at);
    AddTarget(at.stack, targets_[at.state], to);
    if (!targets_[at.state].returns) continue;
    if (at.stack == kBottom) to->complete = true;
    if (at.stack == kAnyStack) to->left = true;
    for (size_t i = 0; i < stacks_[at.stack].num_links; ++i) {
      const Link link = links_[stacks_[at.stack].first_link + i];
      returns_.push_back({link.stack, TargetOfNode(link.next)});
    }
  }
}

void Matcher::AddTarget(int32_t stack, const Target& target, Position* to) {
  for (const Call& call : target.calls) {
    Work(1);
    pending_.push_back({automaton_.rule(call.rule).rank, call.rule, {call.next, stack}});
  }
  if (target.state != kNone) AddState(stack, target.state, to);
}

void Matcher::AddState(int32_t stack, int32_t state, Position* to) {
  for (Place& place : to->places) {
    if (place.stack != stack) continue;
    if (place.state == state) return;
    const std::vector<Ref>& a = states_[place.state].nodes;
    const std::vector<Ref>& b = states_[state].nodes;
    std::vector<Ref> both;
    Work(a.size() + b.size());
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
    place.state = StateOf(both);
    return;
  }
  to->places.push_back({stack, state});
}

// All who call a rule at this point share one stack. Ranks make sure that all have asked before it
// is made.
void Matcher::MakeCalls(Position* to) {
  while (!pending_.empty() && ok()) {
    const auto first = std::min_element(pending_.begin(), pending_.end());
    const int32_t rule = first->rule;
    call_links_.clear();
    size_t kept = 0;
    for (const PendingCall& call : pending_) {
      if (call.rule == rule) {
        call_links_.push_back(call.link);
      } else {
        pending_[kept++] = call;
      }
    }
    Work(pending_.size());
    pending_.resize(kept);
    std::sort(call_links_.begin(), call_links_.end());
    call_links_.erase(std::unique(call_links_.begin(), call_links_.end()), call_links_.end());
    int32_t nesting = 0;
    for (const Link& link : call_links_) nesting = std::max(nesting, Nesting(link.stack));
    nesting += automaton_.nests(rule);
    if (nesting > kMaxNesting) continue;
    const int32_t stack = StackOf(call_links_, nesting);
    AddTarget(stack, targets_[TargetOfNode(automaton_.rule(rule).start)], to);
  }
  pending_.clear();
}

int32_t Matcher::StackOf(const std::vector<Link>& links, int32_t nesting) {
  uint64_t hash = Mix(links.size(), static_cast<uint64_t>(nesting));
  for (const Link& link : links) hash = Mix(Mix(hash, link.next.bits), link.stack);
  const auto [begin, end] = stack_by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    const std::span<const Link> other = LinksOf(it->second);
    if (Nesting(it->second) != nesting) continue;
    if (std::equal(other.begin(), other.end(), links.begin(), links.end())) return it->second;
  }
  const int32_t stack = static_cast<int32_t>(stacks_.size());
  stacks_.push_back({links_.size(), links.size(), hash, nesting});
  links_.insert(links_.end(), links.begin(), links.end());
  stack_by_hash_.emplace(hash, stack);
  return stack;
}

void Matcher::Release(size_t mark) {
  while (stacks_.size() > mark) {
    const int32_t stack = static_cast<int32_t>(stacks_.size()) - 1;
    const auto [begin, end] = stack_by_hash_.equal_range(stacks_[stack].hash);
    for (auto it = begin; it != end; ++it) {
      if (it->second != stack) continue;
      stack_by_hash_.erase(it);
      break;
    }
    links_.resize(stacks_[stack].first_link);
    stacks_.pop_back();
  }
}

void Matcher::Compact(Position* position) {
  if (states_.size() < kManyStates && state_nodes_ < kManyStateNodes) return;
  std::vector<State> kept;  // copies: two places on different stacks may share one
  for (const Place& place : position->places) kept.push_back(states_[place.state]);
  states_.clear();
  state_by_hash_.clear();
  transitions_.clear();
  targets_.clear();
  target_by_node_.clear();
  state_nodes_ = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    position->places[i].state = StateOf(kept[i].nodes);
    states_[position->places[i].state].local = std::move(kept[i].local);
  }
}

}  // namespace lull::grammar
