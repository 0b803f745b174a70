// Ollama's endpoints that change what is on disk: pull, copy and delete.
#include <atomic>

#include "service/adapters.h"
#include "service/ollama/ollama.h"
#include "service/runtime_context.h"

namespace lull {
namespace {

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The progress of a pull, as Ollama words it: one JSON object a line.
class PullStream {
 public:
  PullStream(ResponderPtr responder, const AvailableModel& model, bool stream)
      : responder_(std::move(responder)), digest_(DigestOf(model)), stream_(stream) {}

  void Say(const std::string& status) {
    if (status != last_status_) Write({{"status", status}});
    last_status_ = status;
  }
  void Progress(const std::string& step, uint64_t done_bytes, uint64_t total_bytes) {
    if (total_bytes == 0) return Say(step);
    last_status_ = step;
    Write(
        {{"status", step}, {"digest", digest_}, {"total", total_bytes}, {"completed", done_bytes}});
  }
  void Finish(const AvailableModel& model) {
    const std::string digest = DigestOf(model);
    Say("verifying sha256 digest");
    Write({{"status", "pulling " + digest.substr(0, 19)},
           {"digest", digest},
           {"total", model.bytes},
           {"completed", model.bytes}});
    if (!stream_) return SendJson(*responder_, {{"status", "success"}});
    Say("success");
    responder_->End();
  }
  // False: nothing has been sent, and an error may still have a status of its own.
  bool Fail(const Error& error) {
    if (!started_) return false;
    responder_->Write(OllamaErrorBody(error) + "\n");
    responder_->End();
    return true;
  }

 private:
  static std::string DigestOf(const AvailableModel& model) {
    return model.sha256.empty() ? "" : "sha256:" + model.sha256;
  }
  void Write(const Json& json) {
    if (!stream_) return;
    if (!std::exchange(started_, true)) responder_->StartStream("application/x-ndjson");
    responder_->Write(Line(json));
  }

  const ResponderPtr responder_;
  const std::string digest_;
  const bool stream_;
  bool started_ = false;
  std::string last_status_;
};

Worker& StoreWorker(Service& service) {
  return service.store_worker == nullptr ? *service.worker : *service.store_worker;
}

Status NoStore() {
  return Status(ErrorCode::kUnsupported, "this server has no store of models", "model");
}

// Which a model of that name would be hidden by.
Status CheckNoAdapter(const Service& service, const std::string& name) {
  if (!FindAdapter(service, name).has_value()) return Status();
  return Status(ErrorCode::kUsage, "an adapter has the name " + name.substr(0, 200), "model",
                "POST /v1/unload_lora_adapter lets it go");
}

Status Pull(Service& service, const HttpRequest& request, const ResponderPtr& responder) {
  const ExecContext ctx = TextContext(service);
  LULL_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, {}, ctx));
  JsonFields fields(body);
  const std::string name = ReadModelName(fields);
  const bool stream = fields.Bool("stream", true);
  for (const char* field : {"insecure", "username", "password"}) fields.Ignore(field);
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (service.catalog == nullptr) return NoStore();
  LULL_ASSIGN_OR_RETURN(const AvailableModel offer, service.catalog->Offer(name));
  LULL_RETURN_IF_ERROR(CheckNoAdapter(service, offer.name));
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  responder->OnDisconnect([gone] { gone->store(true); });
  PullStream progress(responder, offer, stream);
  progress.Say("pulling manifest");
  const Result<AvailableModel> pulled = service.catalog->Pull(
      name, [&](const std::string& step, uint64_t done_bytes, uint64_t total_bytes) {
        ctx.Checkpoint();
        progress.Progress(step, done_bytes, total_bytes);
        return !gone->load() && !service.draining.load();
      });
  if (pulled.ok()) return progress.Finish(*pulled), Status();
  return progress.Fail(pulled.error()) ? Status() : pulled.status();
}

Status Delete(Service& service, const HttpRequest& request, Responder& responder) {
  LULL_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, {}, TextContext(service)));
  JsonFields fields(body);
  const std::string name = ReadModelName(fields);
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (FindAdapter(service, name).has_value()) {  // its file stays
    LULL_RETURN_IF_ERROR(service.adapters->RemoveForClient(name));
    responder.Send({200, "application/json", "", {}});
    return Status();
  }
  if (service.catalog == nullptr) return NoStore();
  LULL_ASSIGN_OR_RETURN(const AvailableModel model, service.catalog->Find(name));
  LULL_RETURN_IF_ERROR(service.catalog->Remove(model.name));
  service.hub->Unload(model.name);  // its mapping keeps the bytes until then
  responder.Send({200, "application/json", "", {}});
  return Status();
}

Status Copy(Service& service, const HttpRequest& request, Responder& responder) {
  LULL_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, {}, TextContext(service)));
  JsonFields fields(body);
  const std::string from = fields.String("source", "");
  const std::string to = fields.String("destination", "");
  if (from.empty()) fields.Fail("source", "missing");
  if (to.empty()) fields.Fail("destination", "missing");
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (service.catalog == nullptr) return NoStore();
  LULL_RETURN_IF_ERROR(service.catalog->Find(from).status());
  LULL_RETURN_IF_ERROR(CheckNoAdapter(service, to));
  LULL_RETURN_IF_ERROR(service.catalog->Copy(from, to));
  responder.Send({200, "application/json", "", {}});
  return Status();
}

void RefuseWith501(Service& service, Responder& responder, const Error& error) {
  service.requests_invalid.fetch_add(1);
  responder.Send({501, "application/json", OllamaErrorBody(error), {}});
}

}  // namespace

void HandleOllamaPull(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, StoreWorker(service), responder,
           [&service, request, responder] { return Pull(service, request, responder); });
}

void HandleOllamaDelete(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, StoreWorker(service), responder,
           [&service, request, responder] { return Delete(service, request, *responder); });
}

void HandleOllamaCopy(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, StoreWorker(service), responder,
           [&service, request, responder] { return Copy(service, request, *responder); });
}

void HandleOllamaEmbeddings(Service& service, const HttpRequest&, ResponderPtr responder) {
  RefuseWith501(service, *responder,
                {ErrorCode::kUnsupported, "embeddings are not implemented yet", "",
                 "the models that lull runs are made for text"});
}

void HandleOllamaAuthoring(Service& service, const HttpRequest& request, ResponderPtr responder) {
  RefuseWith501(service, *responder,
                {ErrorCode::kUnsupported, request.path + " is not implemented", "",
                 "serve a GGUF file by its path, or pull a model"});
}

}  // namespace lull
