#include <cstdio>

#include "base/os/os.h"
#include "service/endpoint.h"

namespace lull {
namespace {

void Add(std::string* text, const char* name, const char* type, const char* help, double value) {
  char line[512];
  snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type,
           name, value);
  *text += line;
}

EngineStats StatsOfAll(const ModelHub& hub) {
  EngineStats sum;
  for (const ServedModelPtr& served : hub.Loaded()) {
    const EngineStats s = served->engine->stats();
    sum.requests_submitted += s.requests_submitted;
    sum.requests_finished += s.requests_finished;
    sum.requests_cancelled += s.requests_cancelled;
    sum.preemptions += s.preemptions;
    sum.running += s.running;
    sum.waiting += s.waiting;
    sum.prompt_tokens += s.prompt_tokens;
    sum.new_tokens += s.new_tokens;
    sum.steps += s.steps;
    sum.kv.pages_used += s.kv.pages_used;
    sum.kv.pages_total += s.kv.pages_total;
    sum.kv.bytes_used += s.kv.bytes_used;
  }
  return sum;
}

}  // namespace

// Prometheus text format 0.0.4.
void HandleMetrics(Service& service, const HttpRequest&, ResponderPtr responder) {
  const EngineStats s = StatsOfAll(*service.hub);
  const CpuMeter cpu = service.runtime->cpu_meter();
  const CpuBudget budget = service.runtime->budget().cpu;
  std::string text;
  const auto d = [](int64_t value) { return static_cast<double>(value); };
  Add(&text, "lull_requests_submitted_total", "counter", "Requests accepted.",
      d(s.requests_submitted));
  Add(&text, "lull_requests_finished_total", "counter", "Requests that ended.",
      d(s.requests_finished));
  Add(&text, "lull_requests_cancelled_total", "counter", "Requests cancelled.",
      d(s.requests_cancelled));
  Add(&text, "lull_requests_refused_total", "counter",
      "Requests refused for the load or while draining.", d(service.requests_refused.load()));
  Add(&text, "lull_requests_invalid_total", "counter", "Requests refused for what they asked.",
      d(service.requests_invalid.load()));
  Add(&text, "lull_preemptions_total", "counter",
      "Times a request gave its KV pages to an older one.", d(s.preemptions));
  Add(&text, "lull_requests_running", "gauge", "Requests being computed.", d(s.running));
  Add(&text, "lull_requests_waiting", "gauge", "Requests in the queue.", d(s.waiting));
  Add(&text, "lull_prompt_tokens_total", "counter", "Prompt tokens computed.", d(s.prompt_tokens));
  Add(&text, "lull_new_tokens_total", "counter", "Tokens generated.", d(s.new_tokens));
  Add(&text, "lull_steps_total", "counter", "Forward passes.", d(s.steps));
  Add(&text, "lull_kv_pages_used", "gauge", "KV pages in use.", d(s.kv.pages_used));
  Add(&text, "lull_kv_pages_total", "gauge", "KV pages in the pool.", d(s.kv.pages_total));
  Add(&text, "lull_kv_bytes_used", "gauge", "KV bytes in use.", d(s.kv.bytes_used));
  Add(&text, "lull_cpu_seconds_total", "counter", "CPU time of the process.", d(cpu.cpu_ns) * 1e-9);
  Add(&text, "lull_throttled_seconds_total", "counter", "Thread time slept to keep the budget.",
      d(cpu.throttled_ns) * 1e-9);
  Add(&text, "lull_cpu_budget_share", "gauge", "Declared mean share of the CPUs; 0: none.",
      budget.mean_share);
  Add(&text, "process_resident_memory_bytes", "gauge", "Resident memory.",
      d(os::CurrentRssBytes()));
  responder->Send({200, "text/plain; version=0.0.4", text, {}});
}

}  // namespace lull
