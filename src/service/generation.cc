#include "service/generation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "engine/runtime_rep.h"
#include "service/acquire.h"
#include "service/adapters.h"
#include "service/receipt.h"

namespace lull {
namespace {

using Clock = std::chrono::steady_clock;

double MsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

int64_t UnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// How far from a regular end, so that a request of several choices shows the worst.
int Severity(FinishReason reason) {
  return reason == FinishReason::kEog ? 0 : static_cast<int>(reason);
}

// The engine's requests that answer one client's. Holds the model until their events have ended.
class Running : public std::enable_shared_from_this<Running> {
 public:
  Running(ModelCall& call, GenerationJob generation, std::shared_ptr<AnswerWriter> writer)
      : service_(call.service),
        served_(call.served),
        prompt_field_(generation.prompt_field),
        requests_(std::move(generation.choices)),
        writer_(std::move(writer)),
        arrived_(Clock::now()),
        stats_(requests_.size()),
        last_token_(requests_.size()) {
    log_.id = std::move(generation.id);
    log_.endpoint = call.request.path;
    log_.model = call.model_name();
    log_.account = requests_.front().account;
    log_.priority = requests_.front().priority;
    log_.stream = generation.stream;
    log_.choices = static_cast<int>(requests_.size());
    log_.arrived_unix_ms = UnixMs();
  }

  void Start(Responder& responder) {
    service_.metrics.choices.Observe(static_cast<double>(requests_.size()));
    for (size_t i = 0; i < requests_.size(); ++i) {
      service_.metrics.max_new_tokens.Observe(static_cast<double>(requests_[i].max_new_tokens));
      if (!Submit(i)) return;
    }
    // Weak: the responder must not hold what holds the responder.
    responder.OnDisconnect([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->CancelAll();
    });
  }

 private:
  bool Submit(size_t choice) {
    Result<RequestId> id = served_->engine->Submit(
        std::move(requests_[choice]),
        [self = shared_from_this(), choice](const Event& event) { self->OnEvent(choice, event); });
    std::lock_guard<std::mutex> lock(mutex_);
    if (id.ok()) {
      ids_.push_back(*id);
      if (failed_) served_->engine->Cancel(*id);
      return !failed_;
    }
    Error error = id.error();
    if (error.where == "prompt_tokens") error.where = prompt_field_;
    Fail(FinishReason::kError, error);
    return false;
  }

  void OnEvent(size_t choice, const Event& event) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (event.kind == Event::Kind::kToken) return OnToken(choice, event);
    service_.metrics.Count(event.reason, event.stats);
    service_.metrics.end_to_end_s.Observe(MsBetween(arrived_, Clock::now()) * 1e-3);
    stats_[choice] = event.stats;
    ++ended_;
    if (event.reason == FinishReason::kError) return Fail(event.reason, event.error);
    if (event.reason == FinishReason::kCancelled)
      return Fail(event.reason, {ErrorCode::kCancelled, "cancelled", "", ""});
    if (failed_) return;
    Worsen(event.reason);
    if (ended_ < stats_.size()) return writer_->OnFinish(choice, event, nullptr);
    Log();
    writer_->OnFinish(choice, event, &log_.stats);
  }

  void OnToken(size_t choice, const Event& event) {
    const Clock::time_point now = Clock::now();
    Clock::time_point& last = last_token_[choice];
    if (last == Clock::time_point())
      service_.metrics.time_to_first_token_s.Observe(MsBetween(arrived_, now) * 1e-3);
    else
      service_.metrics.inter_token_s.Observe(MsBetween(last, now) * 1e-3);
    last = now;
    if (log_.first_token_ms < 0) log_.first_token_ms = MsBetween(arrived_, now);
    if (!failed_) writer_->OnToken(choice, event);
  }

  // The first failure ends the whole; the other choices are cancelled.
  void Fail(FinishReason reason, const Error& error) {
    if (failed_) return;
    failed_ = true;
    Worsen(reason);
    log_.error = error.message;
    Log();
    for (const RequestId id : ids_) served_->engine->Cancel(id);
    writer_->OnError(error);
  }

  void CancelAll() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const RequestId id : ids_) served_->engine->Cancel(id);
  }

  void Worsen(FinishReason reason) {
    if (Severity(reason) >= Severity(log_.reason)) log_.reason = reason;
  }

  // Before the client hears of the end, so that it finds its request in the log. What the engine
  // refused is in the counters only: under load it would push out everything else.
  void Log() {
    log_.total_ms = MsBetween(arrived_, Clock::now());
    log_.stats = TotalOf(stats_);
    if (ids_.empty() && ended_ == 0) return;  // its events may be here before its id
    service_.request_log.Add(log_);
  }

  Service& service_;
  const ServedModelPtr served_;
  const std::string prompt_field_;
  std::vector<Request> requests_;  // moved from as they are submitted
  const std::shared_ptr<AnswerWriter> writer_;
  const Clock::time_point arrived_;

  // Submitting fails on one thread while the engine's brings events of earlier choices.
  std::mutex mutex_;
  std::vector<RequestId> ids_;
  std::vector<RequestStats> stats_;
  std::vector<Clock::time_point> last_token_;
  size_t ended_ = 0;
  bool failed_ = false;
  LoggedRequest log_;
};

}  // namespace

int64_t UnixSeconds() { return UnixMs() / 1000; }

std::string NextId(const char* prefix) {
  static std::atomic<uint64_t> next{0};
  return prefix + std::to_string(UnixSeconds()) + "-" + std::to_string(next.fetch_add(1));
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<ServedAdapter> TakeAdapter(const Service& service, ModelQuery* query) {
  std::optional<ServedAdapter> adapter = FindAdapter(service, query->name);
  if (adapter.has_value()) query->name.clear();
  return adapter;
}

void WithModel(Service& service, const HttpRequest& request, const ResponderPtr& responder,
               ModelHandler handle) {
  Result<Json> parsed = ParseJson(request.body, {}, service.runtime->rep().SingleThreaded());
  if (!parsed.ok()) return SendError(service, *responder, parsed.error());
  std::string name;
  if (const auto it = parsed->find("model"); it != parsed->end() && it->is_string())
    name = it->get<std::string>();
  auto call = std::make_shared<ModelCall>(
      ModelCall{service, nullptr, request, std::move(*parsed), responder});
  call->request.body.clear();
  ModelQuery query;
  query.name = std::move(name);
  call->adapter = TakeAdapter(service, &query);
  AcquireModel(service, std::move(query), responder, [call, handle](ServedModelPtr served) {
    call->served = std::move(served);
    return handle(*call);
  });
}

void StartGeneration(ModelCall& call, GenerationJob generation,
                     std::shared_ptr<AnswerWriter> writer) {
  std::make_shared<Running>(call, std::move(generation), std::move(writer))->Start(*call.responder);
}

}  // namespace lull
