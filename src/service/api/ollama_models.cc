// Ollama's endpoints that tell what there is: which models, loaded or not, and what they are.
#include <algorithm>

#include "base/sha256.h"
#include "service/adapters.h"
#include "service/ollama/ollama.h"
#include "service/runtime_context.h"

namespace lull {
namespace {

using SystemClock = std::chrono::system_clock;

// A time so far away that clients take it for never.
constexpr std::chrono::hours kForever{24 * 365 * 100};

std::string ModifiedAt(const AvailableModel& model) {
  return Rfc3339(SystemClock::time_point(std::chrono::seconds(model.modified_unix_s)));
}

std::vector<AvailableModel> ListModels(const Service& service) {
  if (service.catalog == nullptr) return {};
  std::vector<AvailableModel> models = service.catalog->List();
  std::sort(models.begin(), models.end(), [](const AvailableModel& a, const AvailableModel& b) {
    return a.modified_unix_s > b.modified_unix_s;  // as Ollama: the newest first
  });
  return models;
}

std::string Hashed(const std::string& text) {
  Sha256 hash;
  hash.Update(text.data(), text.size());
  return hash.Hex();
}

// Clients show its first twelve characters and take it that there are so many: where nobody knows
// the file's, it stands for name, size and time.
std::string DigestOf(const AvailableModel& model) {
  if (!model.sha256.empty()) return model.sha256;
  return Hashed(model.name + "\n" + std::to_string(model.bytes) + "\n" +
                std::to_string(model.modified_unix_s));
}

Json TagOf(Service& service, const AvailableModel& model) {
  const std::string name = TaggedName(model.name);
  return {{"name", name},
          {"model", name},
          {"modified_at", ModifiedAt(model)},
          {"size", model.bytes},
          {"digest", DigestOf(model)},
          {"details", OllamaDetails(service, model)}};
}

// As Ollama lists a model made of another one and an adapter.
Json TagOf(const ServedAdapter& adapter, Json own) {
  own["details"]["parent_model"] = own["name"];
  own["name"] = own["model"] = TaggedName(adapter.name);
  own["size"] = adapter.bytes;
  own["digest"] = Hashed(own["digest"].get<std::string>() + "\n" + adapter.name + "\n" +
                         std::to_string(adapter.id));
  return own;
}

// The model, and behind the server's own what adapts it.
void AddTags(Service& service, const AvailableModel& model, Json* tags) {
  const Json tag = TagOf(service, model);
  tags->push_back(tag);
  if (service.adapters == nullptr || model.name != service.hub->own_name()) return;
  for (const ServedAdapter& adapter : service.adapters->List())
    tags->push_back(TagOf(adapter, tag));
}

Json ProcessOf(Service& service, const ModelResidency& resident) {
  const ServedModel& served = *resident.served;
  const std::string name = TaggedName(served.id);
  const auto left = resident.expires_in_ms < 0 ? SystemClock::duration(kForever)
                                               : std::chrono::milliseconds(resident.expires_in_ms);
  return {{"name", name},
          {"model", name},
          {"size", served.resident_bytes},
          {"digest", DigestOf(served.file)},
          {"details", OllamaDetails(service, served.file)},
          {"expires_at", Rfc3339(SystemClock::now() + left)},
          {"size_vram", 0},
          {"context_length", served.engine->max_context_tokens()},
          {"lull", {{"in_use", resident.in_use}, {"keeps", resident.expires_in_ms < 0}}}};
}

Status Show(Service& service, const HttpRequest& request, Responder& responder) {
  const ExecContext ctx = TextContext(service);
  LULL_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, {}, ctx));
  JsonFields fields(body);
  const std::string name = ReadModelName(fields);
  const bool verbose = fields.Bool("verbose", false);
  for (const char* field : {"system", "template", "options"}) fields.Ignore(field);
  LULL_RETURN_IF_ERROR(fields.Finish());
  if (service.catalog == nullptr)
    return Status(ErrorCode::kNotFound, "model '" + name.substr(0, 200) + "' not found", "model");
  const std::optional<ServedAdapter> adapter = FindAdapter(service, name);
  LULL_ASSIGN_OR_RETURN(
      const AvailableModel model,
      service.catalog->Find(adapter.has_value() ? service.hub->own_name() : name));
  LULL_ASSIGN_OR_RETURN(const ModelCard card, verbose ? ReadModelCard(model.path, true, ctx)
                                                      : service.model_cards.Get(model, ctx));
  const std::string license = model.license.empty() ? card.license : model.license;
  std::string modelfile = "# served by lull\nFROM " + model.name + "\n";
  if (adapter.has_value()) modelfile += "ADAPTER " + adapter->file_name() + "\n";
  const std::string parent = adapter.has_value() ? TaggedName(model.name) : "";
  SendJson(responder, {{"license", license},
                       {"modelfile", modelfile},
                       {"parameters", ""},
                       {"template", card.chat_template},
                       {"details", OllamaDetails(card, parent)},
                       {"model_info", card.metadata},
                       {"capabilities", OllamaCapabilities(card)},
                       {"modified_at", ModifiedAt(model)}});
  return Status();
}

}  // namespace

void HandleOllamaTags(Service& service, const HttpRequest&, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder, [&service, responder] {
    Json models = Json::array();
    for (const AvailableModel& model : ListModels(service)) AddTags(service, model, &models);
    SendJson(*responder, {{"models", std::move(models)}});
    return Status();
  });
}

void HandleOllamaShow(Service& service, const HttpRequest& request, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder,
           [&service, request, responder] { return Show(service, request, *responder); });
}

void HandleOllamaPs(Service& service, const HttpRequest&, ResponderPtr responder) {
  OnWorker(service, *service.worker, responder, [&service, responder] {
    Json models = Json::array();
    for (const ModelResidency& resident : service.hub->Residents())
      models.push_back(ProcessOf(service, resident));
    SendJson(*responder, {{"models", std::move(models)}});
    return Status();
  });
}

void HandleOllamaVersion(Service&, const HttpRequest&, ResponderPtr responder) {
  SendJson(*responder, {{"version", kOllamaApiVersion}});
}

void HandleRoot(Service&, const HttpRequest&, ResponderPtr responder) {
  responder->Send({200, "text/plain; charset=utf-8", "Lull is running", {}});
}

}  // namespace lull
