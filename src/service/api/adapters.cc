// LoRA adapters: llama-server's /lora-adapters (which there are, and their scales where a request
// says nothing), vLLM's /v1/load_lora_adapter and /v1/unload_lora_adapter.
#include "service/acquire.h"
#include "service/adapters.h"
#include "service/ollama/ollama.h"
#include "service/runtime_context.h"

namespace lull {
namespace {

constexpr double kMaxScale = 1e6;

Status NoAdapters() {
  return Status(ErrorCode::kUnsupported, "this server has no model of its own to adapt", "model",
                "name one: lull serve MODEL");
}

Status SendList(Service& service, Responder& responder) {
  Json list = Json::array();
  if (service.adapters != nullptr)
    for (const ServedAdapter& entry : service.adapters->List())
      list.push_back({{"id", entry.id},
                      {"name", entry.name},
                      {"path", entry.file_name()},
                      {"scale", entry.scale},
                      {"rank", entry.rank},
                      {"bytes", entry.bytes}});
  SendJson(responder, list);
  return Status();
}

Status SetScales(Service& service, const HttpRequest& request, Responder& responder) {
  if (service.adapters == nullptr) return NoAdapters();
  LULL_ASSIGN_OR_RETURN(const Json body, ParseAnyJson(request.body, {}, TextContext(service)));
  if (!body.is_array())
    return Status(ErrorCode::kUsage, "the body must be a list of {\"id\", \"scale\"}", "body");
  std::vector<std::pair<int64_t, double>> scales;
  for (const Json& one : body) {
    if (!one.is_object())
      return Status(ErrorCode::kUsage, "the body must be a list of {\"id\", \"scale\"}", "body");
    JsonFields fields(one);
    const int64_t id = fields.Integer("id", -1, 0, int64_t{1} << 40);
    scales.push_back({id, fields.Number("scale", 0.0, -kMaxScale, kMaxScale)});
    LULL_RETURN_IF_ERROR(fields.Finish());
  }
  LULL_RETURN_IF_ERROR(service.adapters->SetScales(scales));
  SendJson(responder, {{"success", true}});
  return Status();
}

struct Named {
  std::string name, path;
};

Result<Named> ReadNamed(Service& service, const HttpRequest& request, bool with_path) {
  LULL_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, {}, TextContext(service)));
  if (!body.is_object())
    return Status(ErrorCode::kUsage, "the body must be an object with lora_name", "body");
  JsonFields fields(body);
  Named named;
  named.name = fields.String("lora_name", "");
  if (with_path) named.path = fields.String("lora_path", "");
  if (!with_path) fields.Ignore("lora_int_id");
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (named.name.empty()) return Status(ErrorCode::kUsage, "lora_name: missing", "lora_name");
  if (with_path && named.path.empty())
    return Status(ErrorCode::kUsage, "lora_path: missing", "lora_path");
  return named;
}

}  // namespace

void HandleAdapters(Service& service, const HttpRequest&, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder,
           [&service, responder] { return SendList(service, *responder); });
}

void HandleAdapterScales(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder,
           [&service, request, responder] { return SetScales(service, request, *responder); });
}

// The file is read on the store's worker: it may take its time.
void HandleLoadAdapter(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder, [&service, request, responder]() -> Status {
    if (service.adapters == nullptr) return NoAdapters();
    LULL_ASSIGN_OR_RETURN(const Named named, ReadNamed(service, request, true));
    AcquireModel(service, {}, responder, [&service, responder, named](ServedModelPtr served) {
      Worker& worker = service.store_worker == nullptr ? *service.worker : *service.store_worker;
      OnWorker(service, worker, responder, [&service, responder, named, served]() -> Status {
        LULL_RETURN_IF_ERROR(
            service.adapters->AddForClient(*served->model, named.name, named.path));
        SendJson(*responder, {{"success", true}, {"lora_name", named.name}});
        return Status();
      });
      return Status();
    });
    return Status();
  });
}

void HandleUnloadAdapter(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder, [&service, request, responder]() -> Status {
    if (service.adapters == nullptr) return NoAdapters();
    LULL_ASSIGN_OR_RETURN(const Named named, ReadNamed(service, request, false));
    LULL_RETURN_IF_ERROR(service.adapters->RemoveForClient(named.name));
    SendJson(*responder, {{"success", true}, {"lora_name", named.name}});
    return Status();
  });
}

}  // namespace lull
