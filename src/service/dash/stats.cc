#include "service/dash/stats.h"

#include <chrono>
#include <algorithm>
#include <fstream>
#include <vector>

#include "base/os/os.h"
#include "evidence/quantiles.h"
#include "lull/version.h"
#include "service/dash/load_sampler.h"

namespace lull {
namespace {

// Of an evidence file only the end is read: a record is some kB.
constexpr int64_t kEvidenceTailBytes = 256 << 10;
constexpr size_t kShownRequests = 20;

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Json Cpu(const Runtime& runtime, const LoadView& load) {
  const CpuBudget budget = runtime.budget().cpu;
  return {{"cpus", os::AvailableCpus()},
          {"threads", runtime.threads()},
          {"share", load.now.cpu_share},
          {"mean_budget", budget.mean_share},
          {"p99_budget", P99ShareOf(budget)},
          {"allowed", load.usage.cpu_share_allowed},
          {"windows", load.windows},
          {"windows_over", load.windows_over},
          {"cpu_s", static_cast<double>(runtime.cpu_meter().cpu_ns) * 1e-9}};
}

// As it was planned; before a part is, what the models and their requests hold.
Json MemoryParts(const ModelHub& hub, const EngineStats& stats, const MemoryLedger& ledger) {
  MemoryLedger parts = ledger;
  if (ledger.planned_bytes == 0) {
    for (const ServedModelPtr& served : hub.Loaded()) {
      const ModelInfo& info = served->model->info();
      (info.mapped_pack ? parts.weights : parts.packed) += info.weight_bytes;
    }
    parts.kv = stats.kv.bytes_used;
  }
  return Json::array(
      {{{"name", "weights, mapped"}, {"bytes", parts.weights}},
       {{"name", "weights, own copy"}, {"bytes", parts.packed}},
       {{"name", "KV"}, {"bytes", parts.kv - parts.prefix_cache}},
       {{"name", "prefix cache"}, {"bytes", parts.prefix_cache}},
       {{"name", "activations"}, {"bytes", parts.activations}},
       {{"name", "connections"}, {"bytes", parts.sockets}},
       {{"name", "all else"}, {"bytes", std::max<int64_t>(parts.other - parts.sockets, 0)}}});
}

Json Memory(const ModelHub& hub, const EngineStats& stats, const MemoryLedger& ledger) {
  return {{"measured_bytes", ledger.pss_bytes > 0 ? ledger.pss_bytes : os::CurrentRssBytes()},
          {"limit_bytes", ledger.limit_bytes},
          {"parts", MemoryParts(hub, stats, ledger)}};
}

// Nearest rank; null where the samples are too few to say.
Json Figures(const std::vector<double>& samples) {
  const std::vector<double> sorted = Sorted(samples);
  const auto quantile = [&](double q) {
    const auto estimate = EstimateQuantile(sorted, q);
    return estimate.has_value() ? Json(estimate->value) : Json();
  };
  return {{"p50", quantile(0.50)}, {"p95", quantile(0.95)}, {"p99", quantile(0.99)}};
}

// Of the requests in the log that came to an answer.
Json Latency(const std::vector<LoggedRequest>& requests, double target_p95_s) {
  std::vector<double> first_token_s, total_s;
  for (const LoggedRequest& request : requests) {
    if (request.reason == FinishReason::kError || request.reason == FinishReason::kCancelled)
      continue;
    total_s.push_back(request.total_ms / 1000.0);
    if (request.first_token_ms >= 0) first_token_s.push_back(request.first_token_ms / 1000.0);
  }
  return {{"target_p95_s", target_p95_s},
          {"samples", total_s.size()},
          {"ttft_s", Figures(first_token_s)},
          {"e2e_s", Figures(total_s)}};
}

Json Requests(const std::vector<LoggedRequest>& requests) {
  Json list = Json::array();
  for (size_t i = 0; i < std::min(requests.size(), kShownRequests); ++i)
    list.push_back(ToJson(requests[i]));
  return list;
}

Json Queue(const Service& service, const EngineStats& stats) {
  return {{"running", stats.running},
          {"waiting", stats.waiting},
          {"oldest_wait_ms", stats.waiting > 0 ? Json(stats.oldest_wait_ms) : Json()},
          {"finished", stats.requests_finished},
          {"cancelled", stats.requests_cancelled},
          {"refused", service.requests_refused.load()},
          {"invalid", service.requests_invalid.load()},
          {"kv_pages_used", stats.kv.pages_used},
          {"kv_pages_total", stats.kv.pages_total}};
}

Json Models(const ModelHub& hub) {
  Json models = Json::array();
  for (const ServedModelPtr& served : hub.Loaded()) {
    const ModelInfo& info = served->model->info();
    const EngineStats stats = served->engine->stats();
    models.push_back({{"id", served->id},
                      {"type", info.file_type},
                      {"weight_bytes", info.weight_bytes},
                      {"context_tokens", served->engine->max_context_tokens()},
                      {"running", stats.running},
                      {"waiting", stats.waiting},
                      {"kv_bytes", stats.kv.bytes_used}});
  }
  return models;
}

Json Host(const Runtime& runtime, const LoadView& load) {
  return {{"busy", load.machine_busy},
          {"others", load.others_busy},
          {"pressure", load.usage.cpu_pressure},
          {"courtesy_factor", load.usage.courtesy_factor},
          {"throttled_s", static_cast<double>(runtime.cpu_meter().throttled_ns) * 1e-9},
          {"power", PowerSourceName(load.usage.power)}};
}

Json History(const LoadView& load) {
  Json cpu = Json::array(), cpu_max = cpu, bus = cpu, prefill = cpu, decode = cpu;
  for (const LoadPoint& point : load.history) {
    cpu.push_back(point.cpu_share);
    cpu_max.push_back(point.cpu_share_max);
    bus.push_back(point.bytes_per_s);
    prefill.push_back(point.prompt_tokens_per_s);
    decode.push_back(point.new_tokens_per_s);
  }
  return {{"period_s", 1}, {"cpu", cpu},         {"cpu_max", cpu_max},
          {"bus", bus},    {"prefill", prefill}, {"decode", decode}};
}

Json Warnings(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings)
    list.push_back({{"name", finding.name}, {"message", finding.message}, {"fix", finding.fix}});
  return list;
}

std::string LastLine(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const int64_t size = file ? static_cast<int64_t>(file.tellg()) : 0;
  if (size <= 0) return "";
  std::string tail(static_cast<size_t>(std::min<int64_t>(size, kEvidenceTailBytes)), '\0');
  file.seekg(size - static_cast<int64_t>(tail.size()));
  if (!file.read(tail.data(), static_cast<std::streamsize>(tail.size()))) return "";
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  const size_t before = tail.rfind('\n');
  return before == std::string::npos ? tail : tail.substr(before + 1);
}

// The first of these fields that is a string.
std::string TextOf(const Json& record, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const auto it = record.find(name); it != record.end() && it->is_string())
      return it->get<std::string>();
  return "";
}

}  // namespace

Json LastEvidence(const std::string& path) {
  const Json record = Json::parse(LastLine(path), nullptr, false);
  if (!record.is_object()) return nullptr;
  return {{"file", path.substr(path.rfind('/') + 1)},
          {"id", TextOf(record, {"id", "hash"})},
          {"kind", TextOf(record, {"kind"})},
          {"verdict", TextOf(record, {"overall", "verdict"})},
          {"time", TextOf(record, {"time"})}};
}

Json DashStats(Service& service, const HttpRequest& request) {
  const LoadView load = service.load->Watch();
  const EngineStats stats = service.hub->stats();
  const Runtime& runtime = *service.runtime;
  const Budget budget = runtime.budget();
  const auto requests = service.request_log.Newest(RequestLog::kCapacity);
  auto listed = requests;
  std::erase_if(listed,
                [&](const LoggedRequest& logged) { return !request.MaySee(logged.account); });
  return {
      {"version", kVersion},
      {"uptime_s", UnixSeconds() - service.start_unix_s},
      {"draining", service.draining.load()},
      {"cpu", Cpu(runtime, load)},
      {"bus", {{"bytes_per_s", load.now.bytes_per_s}, {"budget", budget.mem_bw_bytes_per_s}}},
      {"memory", Memory(*service.hub, stats, load.memory)},
      {"latency", Latency(requests, budget.p95_latency_s)},
      {"tokens",
       {{"prefill_per_s", load.now.prompt_tokens_per_s},
        {"decode_per_s", load.now.new_tokens_per_s},
        {"prompt_total", stats.prompt_tokens},
        {"new_total", stats.new_tokens}}},
      {"queue", Queue(service, stats)},
      {"models", Models(*service.hub)},
      {"host", Host(runtime, load)},
      {"evidence", service.evidence_path.empty() ? Json() : LastEvidence(service.evidence_path)},
      {"doctor", Warnings(service.warnings)},
      {"requests", Requests(listed)},
      {"history", History(load)}};
}

}  // namespace lull
