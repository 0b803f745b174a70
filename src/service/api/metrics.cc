#include "service/metrics.h"

#include "base/os/os.h"
#include "service/endpoint.h"

namespace lull {
namespace {

double Real(int64_t value) { return static_cast<double>(value); }

void AddEngines(const EngineStats& s, MetricsText* text) {
  text->Counter("lull_requests_submitted_total", "Requests accepted.", Real(s.requests_submitted));
  text->Counter("lull_requests_finished_total", "Requests that ended.", Real(s.requests_finished));
  text->Counter("lull_requests_cancelled_total", "Requests cancelled.", Real(s.requests_cancelled));
  text->Counter("lull_requests_expired_total", "Requests that ended by their deadline.",
                Real(s.requests_expired));
  text->Counter("lull_idle_cpu_seconds_total", "CPU time beside the requests' own.",
                s.idle_cpu_ms * 1e-3);
  text->Counter("lull_preemptions_total", "Times a request gave its KV pages to an older one.",
                Real(s.preemptions));
  text->Gauge("lull_requests_running", "Requests being computed.", Real(s.running));
  text->Gauge("lull_requests_waiting", "Requests in the queue.", Real(s.waiting));
  text->Gauge("lull_oldest_wait_seconds", "Of the request that has waited longest; 0: none waits.",
              s.oldest_wait_ms * 1e-3);
  text->Counter("lull_prompt_tokens_total", "Prompt tokens computed.", Real(s.prompt_tokens));
  text->Counter("lull_new_tokens_total", "Tokens generated.", Real(s.new_tokens));
  text->Counter("lull_steps_total", "Forward passes.", Real(s.steps));
  text->Gauge("lull_kv_pages_used", "KV pages in use.", Real(s.kv.pages_used));
  text->Gauge("lull_kv_pages_total", "KV pages in the pool.", Real(s.kv.pages_total));
  text->Gauge("lull_kv_bytes_used", "KV bytes in use.", Real(s.kv.bytes_used));
}

void AddProcess(const Service& service, MetricsText* text) {
  const CpuMeter cpu = service.runtime->cpu_meter();
  text->Counter("lull_requests_refused_total", "Requests refused for the load or while draining.",
                Real(service.requests_refused.load()));
  text->Counter("lull_requests_invalid_total", "Requests refused for what they asked.",
                Real(service.requests_invalid.load()));
  text->Counter("lull_cpu_seconds_total", "CPU time of the process.", Real(cpu.cpu_ns) * 1e-9);
  text->Counter("lull_request_cpu_seconds_total", "CPU time in the receipts of ended requests.",
                service.metrics.request_cpu_ms_total.load() * 1e-3);
  text->Counter("lull_throttled_seconds_total", "Thread time slept to keep the budget.",
                Real(cpu.throttled_ns) * 1e-9);
  text->Counter("lull_bytes_moved_total", "Weights and KV that were read.", Real(cpu.bytes_moved));
  text->Gauge("process_resident_memory_bytes", "Resident memory.", Real(os::CurrentRssBytes()));
  text->Gauge("process_start_time_seconds", "Start of the server, Unix time.",
              Real(service.start_unix_s));
}

void AddBudget(const Runtime& runtime, MetricsText* text) {
  const Budget budget = runtime.budget();
  const BudgetUsage usage = runtime.usage();
  text->Gauge("lull_cpu_budget_share", "Declared mean share of the CPUs; 0: none.",
              budget.cpu.mean_share);
  text->Gauge("lull_cpu_used_share", "Share of the CPUs that the process uses.", usage.cpu_share);
  text->Gauge("lull_cpu_left_share", "What the declared share leaves.", usage.cpu_share_left);
  text->Gauge("lull_cpu_allowed_share", "The declared share, less what courtesy gives up.",
              usage.cpu_share_allowed);
  text->Gauge("lull_courtesy_factor", "Of the CPU rate; below 1 while others need the machine.",
              usage.courtesy_factor);
  text->Gauge("lull_foreground_share", "CPU use of other programs, of the same CPUs.",
              usage.foreground_share);
  text->Gauge("lull_cpu_pressure_share", "Share of time that others waited for a CPU.",
              usage.cpu_pressure);
  text->Gauge("lull_mem_bw_budget_bytes_per_second", "Declared reads from memory; 0: none.",
              budget.mem_bw_bytes_per_s);
  text->Gauge("lull_mem_bw_used_bytes_per_second", "Weights and KV read.", usage.bytes_per_s);
  text->Gauge("lull_mem_bw_left_bytes_per_second", "What the declared rate leaves.",
              usage.bytes_per_s_left);
  text->Gauge("lull_ram_budget_bytes", "Declared memory; 0: none.", Real(budget.ram_bytes));
  text->Gauge("lull_ram_used_bytes", "Memory of the process and its children (PSS).",
              Real(usage.ram_bytes));
  text->Gauge("lull_ram_left_bytes", "What the declared memory leaves.",
              Real(usage.ram_bytes_left));
  text->Gauge("lull_p95_budget_seconds", "Declared latency; 0: none.", budget.p95_latency_s);
  text->Gauge("lull_kv_per_session_budget_bytes", "Declared K and V of a request; 0: none.",
              Real(budget.kv_per_session_bytes));
}

void AddMemory(const MemoryLedger& memory, MetricsText* text) {
  const auto part = [&](const char* name, int64_t bytes) {
    text->Gauge("lull_memory_planned_bytes", "Memory promised to a part.", Real(bytes),
                std::string("part=\"") + name + "\"");
  };
  part("weights", memory.weights);
  part("packed", memory.packed);
  part("kv", memory.kv);
  part("prefix_cache", memory.prefix_cache);
  part("activations", memory.activations);
  part("sockets", memory.sockets);
  part("other", memory.other);
}

void AddDistributions(const Metrics& metrics, MetricsText* text) {
  text->Distribution("lull_time_to_first_token_seconds", "From submission to the first token.",
                     metrics.time_to_first_token_s);
  text->Distribution("lull_inter_token_seconds", "Between two tokens of a request.",
                     metrics.inter_token_s);
  text->Distribution("lull_request_seconds", "From submission to the end.", metrics.end_to_end_s);
  text->Distribution("lull_queue_seconds", "In the queue.", metrics.queue_s);
  text->Distribution("lull_prefill_seconds", "From admission to the first token.",
                     metrics.prefill_s);
  text->Distribution("lull_decode_seconds", "From the first to the last token.", metrics.decode_s);
  text->Distribution("lull_request_prompt_tokens", "Prompt tokens of a request.",
                     metrics.prompt_tokens);
  text->Distribution("lull_request_new_tokens", "New tokens of a request.", metrics.new_tokens);
}

// The same under the names that dashboards and routers made for vLLM read.
void AddVllmNames(const EngineStats& s, const Metrics& metrics, const std::string& model,
                  MetricsText* text) {
  const std::string label = "model_name=\"" + model + "\"";
  const double kv = s.kv.pages_total == 0 ? 0.0 : Real(s.kv.pages_used) / Real(s.kv.pages_total);
  text->Gauge("vllm:num_requests_running", "As lull_requests_running.", Real(s.running), label);
  text->Gauge("vllm:num_requests_waiting", "As lull_requests_waiting.", Real(s.waiting), label);
  text->Gauge("vllm:kv_cache_usage_perc", "Share of the KV pages in use.", kv, label);
  text->Counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up.",
                Real(metrics.prompt_tokens_total.load()), label);
  text->Counter("vllm:prefix_cache_hits_total", "Of these, taken from the prefix cache.",
                Real(metrics.cached_tokens_total.load()), label);
  text->Counter("vllm:num_preemptions_total", "As lull_preemptions_total.", Real(s.preemptions),
                label);
  text->Counter("vllm:prompt_tokens_total", "Prompt tokens of ended requests.",
                Real(metrics.prompt_tokens_total.load()), label);
  text->Counter("vllm:generation_tokens_total", "New tokens of ended requests.",
                Real(metrics.new_tokens_total.load()), label);
  const auto ended = [&](FinishReason reason) {
    return Real(metrics.ended[static_cast<size_t>(reason)].load());
  };
  const auto success = [&](const char* reason, double count) {
    text->Counter("vllm:request_success_total", "Ended requests by reason.", count,
                  label + ",finished_reason=\"" + reason + "\"");
  };
  success("stop", ended(FinishReason::kStop) + ended(FinishReason::kEog));
  success("length", ended(FinishReason::kLength));
  success("abort", ended(FinishReason::kCancelled));
  const auto same = [&](const char* name, const Histogram& histogram) {
    text->Distribution(name, "As Lull's own of this kind.", histogram);
  };
  same("vllm:time_to_first_token_seconds", metrics.time_to_first_token_s);
  same("vllm:inter_token_latency_seconds", metrics.inter_token_s);
  same("vllm:time_per_output_token_seconds", metrics.inter_token_s);
  same("vllm:e2e_request_latency_seconds", metrics.end_to_end_s);
  same("vllm:request_queue_time_seconds", metrics.queue_s);
  same("vllm:request_prefill_time_seconds", metrics.prefill_s);
  same("vllm:request_decode_time_seconds", metrics.decode_s);
  same("vllm:request_prompt_tokens", metrics.prompt_tokens);
  same("vllm:request_generation_tokens", metrics.new_tokens);
  same("vllm:request_params_n", metrics.choices);
  same("vllm:request_params_max_tokens", metrics.max_new_tokens);
}

// A label's value may not hold a bare quote, backslash or line end.
std::string LabelValue(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

}  // namespace

void HandleMetrics(Service& service, const HttpRequest&, ResponderPtr responder) {
  const EngineStats stats = service.hub->stats();
  const auto loaded = service.hub->Loaded();
  MetricsText text;
  AddEngines(stats, &text);
  AddProcess(service, &text);
  AddBudget(*service.runtime, &text);
  AddMemory(service.runtime->memory(), &text);
  AddDistributions(service.metrics, &text);
  AddVllmNames(stats, service.metrics, LabelValue(loaded.empty() ? "" : loaded.front()->id), &text);
  responder->Send({200, "text/plain; version=0.0.4", text.Take(), {}});
}

}  // namespace lull
