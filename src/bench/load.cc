#include "bench/load.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "base/os/os.h"
#include "base/os/thread.h"
#include "bench/http_client.h"

namespace lull {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr double kNs = 1e9;

std::string RequestBody(const LoadPlan& options, const std::string& prompt) {
  nlohmann::json body = {{"model", options.model},
                         {"max_tokens", options.max_tokens},
                         {"temperature", 0},
                         {"ignore_eos", true},  // answers of one length, whatever the model says
                         {"stream", false}};
  if (options.chat) {
    body["messages"] = nlohmann::json::array({{{"role", "user"}, {"content", prompt}}});
  } else {
    body["prompt"] = prompt;
  }
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

int64_t Count(const nlohmann::json& usage, const char* key) {
  const auto found = usage.find(key);
  return found != usage.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

double Number(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::optional<Receipt> ReceiptOf(const nlohmann::json& reply) {
  const auto found = reply.find("lull");
  if (found == reply.end() || !found->is_object()) return std::nullopt;
  Receipt receipt;
  receipt.queue_ms = Number(*found, "queue_ms");
  receipt.prefill_ms = Number(*found, "prefill_ms");
  receipt.decode_ms = Number(*found, "decode_ms");
  receipt.throttled_ms = Number(*found, "throttled_ms");
  receipt.cpu_ms = Number(*found, "cpu_ms");
  receipt.bytes_moved = Number(*found, "bytes_moved");
  receipt.kv_bytes = Number(*found, "kv_bytes");
  return receipt;
}

// Where servers say how much of a prompt came from a cache: OpenAI's usage, a receipt, llama.cpp's
// timings.
int64_t CachedTokens(const nlohmann::json& reply) {
  const auto inner = [](const nlohmann::json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_object() ? *found : nlohmann::json::object();
  };
  return std::max({Count(inner(inner(reply, "usage"), "prompt_tokens_details"), "cached_tokens"),
                   Count(inner(reply, "lull"), "cached_tokens"),
                   Count(inner(reply, "timings"), "cache_n")});
}

std::string TextOf(const nlohmann::json& choice) {
  if (!choice.is_object()) return {};
  if (choice.contains("text") && choice["text"].is_string())
    return choice["text"].get<std::string>();
  const auto message = choice.find("message");
  if (message == choice.end() || !message->is_object() || !message->contains("content")) return {};
  const nlohmann::json& content = (*message)["content"];
  return content.is_string() ? content.get<std::string>() : std::string();
}

// Hands out the moments at which requests are due and collects the answers.
class Dispatcher {
 public:
  Dispatcher(const LoadPlan& options, int64_t start_ns)
      : options_(options), start_ns_(start_ns), rng_(options.seed), next_due_ns_(start_ns) {}

  struct Ticket {
    size_t index = 0;
    int64_t due_ns = 0;  // 0: at once
  };

  // False when no more requests begin.
  bool Next(Ticket* ticket) {
    std::lock_guard<std::mutex> lock(mutex_);
    const int64_t now = os::MonotonicNs();
    const bool open_loop = options_.arrivals_per_s > 0;
    if (open_loop) {
      std::exponential_distribution<double> gap(options_.arrivals_per_s);
      next_due_ns_ += static_cast<int64_t>(gap(rng_) * kNs);
    }
    const double passed_s = static_cast<double>((open_loop ? next_due_ns_ : now) - start_ns_) / kNs;
    const bool enough = issued_ >= options_.min_requests && passed_s >= options_.min_duration_s;
    if (enough || static_cast<double>(now - start_ns_) / kNs >= options_.max_duration_s ||
        failures_in_a_row_ >= kMaxFailuresInARow || Cancelled()) {
      return false;
    }
    *ticket = {static_cast<size_t>(issued_++), open_loop ? next_due_ns_ : 0};
    return true;
  }

  void Done(Answer answer) {
    std::lock_guard<std::mutex> lock(mutex_);
    failures_in_a_row_ = answer.failure.empty() ? 0 : failures_in_a_row_ + 1;
    answers_.push_back(std::move(answer));
  }

  int64_t done() {
    std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<int64_t>(answers_.size());
  }
  void Stop() { stopped_.store(true); }
  bool Cancelled() const {
    return stopped_.load() || (options_.cancelled != nullptr && options_.cancelled->load());
  }
  std::vector<Answer> TakeAnswers() { return std::move(answers_); }

 private:
  static constexpr int kMaxFailuresInARow = 20;  // the server is gone: stop hammering it

  const LoadPlan& options_;
  const int64_t start_ns_;
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::mt19937_64 rng_;
  int64_t next_due_ns_;
  int64_t issued_ = 0;
  int failures_in_a_row_ = 0;
  std::vector<Answer> answers_;
};

void ClientLoop(const LoadPlan& options, const std::vector<BenchPrompt>& prompts,
                Dispatcher* dispatcher) {
  Dispatcher::Ticket ticket;
  while (dispatcher->Next(&ticket)) {
    while (ticket.due_ns > os::MonotonicNs() && !dispatcher->Cancelled()) {
      os::SleepUntilNs(std::min(ticket.due_ns, os::MonotonicNs() + 100 * kMs));
    }
    if (dispatcher->Cancelled()) return;
    const BenchPrompt& prompt = prompts[ticket.index % prompts.size()];
    Answer answer = Ask(options, prompt.text);
    answer.nominal_tokens = prompt.nominal_tokens;
    answer.prompt_index = ticket.index % prompts.size();
    if (ticket.due_ns != 0) answer.begin_ns = ticket.due_ns;
    dispatcher->Done(std::move(answer));
  }
}

}  // namespace

Answer Ask(const LoadPlan& options, const std::string& prompt) {
  Answer answer;
  HttpCall call;
  call.method = "POST";
  call.host = options.server.host;
  call.port = options.server.port;
  call.path = options.chat ? "/v1/chat/completions" : "/v1/completions";
  call.body = RequestBody(options, prompt);
  call.key = options.server.key;
  call.timeout_s = options.request_timeout_s;
  call.cancelled = options.cancelled;
  answer.begin_ns = os::MonotonicNs();
  const Result<HttpReply> reply = HttpSend(call);
  answer.end_ns = os::MonotonicNs();
  if (!reply.ok()) {
    answer.failure = reply.status().ToString();
    return answer;
  }
  answer.status = reply->status;
  answer.retry_after_s = reply->retry_after_s;
  if (reply->status != 200) {
    answer.failure = "HTTP " + std::to_string(reply->status) + ": " + reply->body.substr(0, 200);
    return answer;
  }
  const nlohmann::json json = nlohmann::json::parse(reply->body, nullptr, false);
  const auto choices = json.is_object() ? json.find("choices") : json.end();
  if (!json.is_object() || choices == json.end() || !choices->is_array() || choices->empty()) {
    answer.failure = "the answer has no choices: " + reply->body.substr(0, 200);
    return answer;
  }
  answer.text = TextOf(choices->front());
  answer.receipt = ReceiptOf(json);
  answer.cached_tokens = CachedTokens(json);
  const auto usage = json.find("usage");
  if (usage != json.end() && usage->is_object()) {
    answer.prompt_tokens = Count(*usage, "prompt_tokens");
    answer.new_tokens = Count(*usage, "completion_tokens");
  }
  return answer;
}

Result<LoadResult> RunLoad(const LoadPlan& options, const std::vector<BenchPrompt>& prompts,
                           const std::function<void(int64_t, double)>& poll) {
  LoadResult result;
  result.begin_ns = os::MonotonicNs();
  Dispatcher dispatcher(options, result.begin_ns);
  std::atomic<int> running{0};
  std::vector<std::thread> clients;
  Status started;
  for (int i = 0; i < std::max(options.concurrency, 1) && started.ok(); ++i) {
    const auto body = [&] {
      ClientLoop(options, prompts, &dispatcher);
      running.fetch_sub(1);
    };
    std::thread client;
    running.fetch_add(1);
    started = os::StartThread("client thread " + std::to_string(i), body, &client);
    if (started.ok()) clients.push_back(std::move(client));
  }
  if (!started.ok()) {
    dispatcher.Stop();
    for (std::thread& client : clients) client.join();
    return started.error();
  }
  while (running.load() > 0) {
    os::SleepUntilNs(os::MonotonicNs() + (poll ? 100 : 20) * kMs);
    const double passed_s = static_cast<double>(os::MonotonicNs() - result.begin_ns) / kNs;
    if (poll) poll(dispatcher.done(), passed_s);
  }
  for (std::thread& client : clients) client.join();
  result.answers = dispatcher.TakeAnswers();
  result.end_ns = result.begin_ns;
  for (const Answer& answer : result.answers) {
    result.end_ns = std::max(result.end_ns, answer.end_ns);
  }
  return result;
}

std::vector<std::pair<int64_t, int64_t>> BusyStretches(const std::vector<Answer>& answers) {
  std::vector<std::pair<int64_t, int64_t>> all;
  for (const Answer& answer : answers) all.emplace_back(answer.begin_ns, answer.end_ns);
  std::sort(all.begin(), all.end());
  std::vector<std::pair<int64_t, int64_t>> apart;
  for (const auto& [begin, end] : all) {
    if (!apart.empty() && begin <= apart.back().second) {
      apart.back().second = std::max(apart.back().second, end);
    } else {
      apart.emplace_back(begin, end);
    }
  }
  return apart;
}

}  // namespace lull
