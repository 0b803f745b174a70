#include "service/model_hub.h"

#include <algorithm>

namespace lull {

std::string CanonicalModelName(std::string name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.resize(name.size() - kLatest.size());
  return name;
}

std::vector<ServedModelPtr> ModelHub::Loaded() const {
  std::vector<ServedModelPtr> loaded;
  for (ModelResidency& resident : Residents()) loaded.push_back(std::move(resident.served));
  return loaded;
}

EngineStats ModelHub::stats() const {
  EngineStats sum;
  for (const ServedModelPtr& served : Loaded())
    if (served->engine != nullptr) AddStats(served->engine->stats(), &sum);
  return sum;
}

void AddStats(const EngineStats& stats, EngineStats* sum) {
  sum->requests_submitted += stats.requests_submitted;
  sum->requests_finished += stats.requests_finished;
  sum->requests_expired += stats.requests_expired;
  sum->requests_cancelled += stats.requests_cancelled;
  sum->requests_refused += stats.requests_refused;
  sum->requests_invalid += stats.requests_invalid;
  sum->preemptions += stats.preemptions;
  sum->running += stats.running;
  sum->waiting += stats.waiting;
  sum->oldest_wait_ms = std::max(sum->oldest_wait_ms, stats.oldest_wait_ms);
  sum->prompt_tokens += stats.prompt_tokens;
  sum->new_tokens += stats.new_tokens;
  sum->steps += stats.steps;
  sum->idle_cpu_ms += stats.idle_cpu_ms;
  sum->prefix_queries += stats.prefix_queries;
  sum->prefix_hits += stats.prefix_hits;
  sum->kv.pages_used += stats.kv.pages_used;
  sum->kv.pages_cached += stats.kv.pages_cached;
  sum->kv.pages_total += stats.kv.pages_total;
  sum->kv.bytes_used += stats.kv.bytes_used;
  sum->kv.bytes_cached += stats.kv.bytes_cached;
  sum->kv.bytes_total += stats.kv.bytes_total;
}

}  // namespace lull
