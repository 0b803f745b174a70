#include "lull/budget.h"

#include <cstdio>

#include "engine/runtime_rep.h"
#include "service/endpoint.h"
#include "service/status_map.h"

namespace lull {
namespace {

// The unit that a bare number of this line has.
struct LineUnit {
  const char* key;
  const char* unit;
};
constexpr LineUnit kLines[] = {{"cpu", ""},  {"cpu_p99", ""}, {"mem_bw", "B/s"},
                               {"ram", "B"}, {"p95", "s"},    {"kv_per_session", "B"}};

Json Declared(const Budget& budget) {
  Json lines = Json::object();
  for (const LineUnit& line : kLines) lines[line.key] = nullptr;
  for (const BudgetLine& line : BudgetLines(budget)) lines[line.key] = line.value;
  return lines;
}

Json MemoryJson(const MemoryLedger& memory) {
  return {{"weights_bytes", memory.weights},
          {"packed_bytes", memory.packed},
          {"kv_bytes", memory.kv},
          {"prefix_cache_bytes", memory.prefix_cache},
          {"activations_bytes", memory.activations},
          {"sockets_bytes", memory.sockets},
          {"other_bytes", memory.other},
          {"planned_bytes", memory.planned_bytes},
          {"pss_bytes", memory.pss_bytes},
          {"limit_bytes", memory.limit_bytes}};
}

Json BudgetJson(const Runtime& runtime) {
  const Budget budget = runtime.budget();
  const BudgetUsage usage = runtime.usage();
  return {{"declared", Declared(budget)},
          {"cpu",
           {{"mean_share", budget.cpu.mean_share},
            {"p99_share", budget.cpu.p99_share},
            {"used_share", usage.cpu_share},
            {"left_share", usage.cpu_share_left},
            {"allowed_share", usage.cpu_share_allowed},
            {"courtesy_factor", usage.courtesy_factor},
            {"foreground_share", usage.foreground_share},
            {"pressure", usage.cpu_pressure},
            {"power", PowerSourceName(usage.power)}}},
          {"mem_bw",
           {{"bytes_per_s", budget.mem_bw_bytes_per_s},
            {"used_bytes_per_s", usage.bytes_per_s},
            {"left_bytes_per_s", usage.bytes_per_s_left}}},
          {"ram",
           {{"bytes", budget.ram_bytes},
            {"used_bytes", usage.ram_bytes},
            {"left_bytes", usage.ram_bytes_left}}},
          {"p95_latency_s", budget.p95_latency_s},
          {"kv_per_session_bytes", budget.kv_per_session_bytes},
          {"averaged_over_s", usage.seconds},
          {"memory", MemoryJson(runtime.memory())},
          {"backstop", runtime.backstop_note()}};
}

// Text as a flag has it, a number in the line's basic unit, or null: the line is withdrawn.
Status SetLine(const LineUnit& line, const Json& value, Budget* budget) {
  if (value.is_null()) return SetBudgetLine(line.key, "", budget);
  if (value.is_string()) return SetBudgetLine(line.key, value.get<std::string>(), budget);
  if (!value.is_number())
    return Status(ErrorCode::kUsage, std::string(line.key) + ": must be a text or a number",
                  line.key);
  char number[64];
  snprintf(number, sizeof number, "%.15g", value.get<double>());
  return SetBudgetLine(line.key, std::string(number) + line.unit, budget);
}

Result<Budget> Changed(Budget budget, const Json& body) {
  for (const auto& [key, value] : body.items()) {
    const LineUnit* line = nullptr;
    for (const LineUnit& one : kLines)
      if (key == one.key) line = &one;
    if (line == nullptr)
      return Status(ErrorCode::kUnsupported, key + ": no line of a budget", key,
                    "cpu, cpu_p99, mem_bw, ram, p95, kv_per_session");
    LULL_RETURN_IF_ERROR(SetLine(*line, value, &budget));
  }
  return budget;
}

}  // namespace

void HandleBudget(Service& service, const HttpRequest&, ResponderPtr responder) {
  SendJson(*responder, BudgetJson(*service.runtime));
}

// Lines that the body does not name stay. What cannot be kept is 409, with the arithmetic.
void HandleSetBudget(Service& service, const HttpRequest& request, ResponderPtr responder) {
  const Result<Json> body = ParseJson(request.body, {}, service.runtime->rep().SingleThreaded());
  if (!body.ok()) return SendError(service, *responder, body.error());
  const Result<Budget> budget = Changed(service.runtime->budget(), *body);
  if (!budget.ok()) return SendError(service, *responder, budget.error());
  const Status status = service.runtime->SetBudget(*budget);
  if (status.ok()) return SendJson(*responder, BudgetJson(*service.runtime));
  HttpResponse response = ErrorResponse(status.error());
  response.status = status.code() == ErrorCode::kUsage ? 400 : 409;
  response.headers.clear();
  service.requests_invalid.fetch_add(1);
  responder->Send(std::move(response));
}

}  // namespace lull
