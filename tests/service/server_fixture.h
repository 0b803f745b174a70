// A server on a tiny model, and raw clients: what the tests of the endpoints stand on.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "lull/engine.h"
#include "service/dash/load_sampler.h"
#include "service/endpoint.h"
#include "service/http/server.h"
#include "service/json_request.h"
#include "tests/support/raw_client.h"
#include "tests/support/tiny_model.h"

namespace lull {

// Without the framing of chunks.
inline std::string Unchunked(const std::string& body) {
  std::string out;
  for (size_t at = 0; at < body.size();) {
    const size_t size = strtoul(body.c_str() + at, nullptr, 16);
    const size_t begin = body.find("\r\n", at);
    if (size == 0 || begin == std::string::npos) break;
    out += body.substr(begin + 2, size);
    at = begin + 2 + size + 2;
  }
  return out;
}

// Sends and reads until the server closes; a body without the framing of chunks.
inline Reply AskServer(int port, const std::string& bytes) {
  Client client(port);
  client.Send(bytes);
  Reply reply = ReplyOf(client.ReadAll());
  if (reply.head.find("Transfer-Encoding: chunked") != std::string::npos)
    reply.body = Unchunked(reply.body);
  return reply;
}

// The "data:" objects of a stream, without its [DONE].
inline std::vector<Json> Chunks(const Reply& reply) {
  std::vector<Json> chunks;
  for (size_t at = 0; (at = reply.body.find("data: {", at)) != std::string::npos; ++at)
    chunks.push_back(Json::parse(reply.body.substr(at + 6, reply.body.find("\n\n", at) - at - 6)));
  return chunks;
}

// A server whose endpoints find what a derived fixture puts into service_.
class ServerFixture : public testing::Test {
 protected:
  // Before the engines: they must go first, since their events hold connections.
  void CreateServer(const HttpServerOptions& options = {}) {
    RuntimeOptions runtime;
    runtime.threads = 2;
    runtime_ = Value(Runtime::Create(runtime));
    server_ = Value(
        HttpServer::Create(options, [this](const HttpRequest& request, ResponderPtr responder) {
          Route(service_, request, std::move(responder));
        }));
    port_ = server_->port();
    worker_ = std::make_unique<Worker>();
    service_.runtime = runtime_.get();
    service_.worker = worker_.get();
  }
  void RunServer(std::function<void()> on_drain = nullptr) {
    thread_ = std::thread([this, on_drain = std::move(on_drain)] {
      server_->Run(false, on_drain);
      ended_.store(true);
    });
  }
  void StopServer() {
    server_->Stop();
    thread_.join();
  }
  template <typename T>
  static T Value(Result<T> result) {
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return std::move(result).value();
  }
  // Unique to this test of this process.
  static std::string ScratchPath(const std::string& prefix) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    const auto thread = std::hash<std::thread::id>()(std::this_thread::get_id());
    return (std::filesystem::path(testing::TempDir()) /
            (prefix + std::to_string(thread) + "_" + std::to_string(now)))
        .string();
  }

  Reply Ask(const std::string& bytes) { return AskServer(port_, bytes); }
  Reply Get(const std::string& path) { return Ask(RequestText("GET", path, "")); }
  Reply Post(const std::string& path, const Json& body) {
    return Ask(RequestText("POST", path, body.dump()));
  }

  std::unique_ptr<Runtime> runtime_;
  Service service_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<Worker> worker_;
  std::thread thread_;
  int port_ = 0;
  std::atomic<bool> ended_{false};  // the server has stopped
};

class ServiceTest : public ServerFixture {
 protected:
  void SetUp() override {
    path_ = ScratchPath("service_") + ".gguf";
    ASSERT_TRUE(WriteModel(path_).ok());
    HttpServerOptions http;
    http.max_body_bytes = 1 << 20;
    http.header_deadline_s = 1;
    http.drain_timeout_s = 1.0;
    CreateServer(http);
    model_ = Value(Model::Load(path_, *runtime_));
    EngineOptions engine;
    engine.max_queue = 4;
    engine.max_sequences = 4;
    engine.kv_pool_tokens = 8192;
    engine_ = Value(Engine::Create(*model_, *runtime_, engine));
    hub_ = std::make_unique<SingleModelHub>("tiny", *model_, *engine_, 0);
    service_.hub = hub_.get();
    load_ = std::make_unique<LoadSampler>(*runtime_, *hub_);
    service_.load = load_.get();
    RunServer([this] {
      service_.draining.store(true);
      engine_->Drain();
    });
  }
  void TearDown() override {
    StopServer();
    worker_.reset();
    load_.reset();
    engine_.reset();
    server_.reset();
    std::filesystem::remove(path_);
  }

  virtual Status WriteModel(const std::string& path) {
    TinyModelSpec spec;
    spec.ctx = 2048;
    return WriteTinyModel(spec, path);
  }

  // Whether a client that sends this and leaves cancels its request. On a busy machine the tiny
  // model may be done before the client has left: then again.
  bool LeavingCancels(const std::string& bytes) {
    for (int attempt = 0; attempt < 50 && engine_->stats().requests_cancelled == 0; ++attempt) {
      const int64_t before = engine_->stats().requests_submitted;
      {
        Client client(port_);
        client.Send(bytes);
        if (!Soon([&] { return engine_->stats().requests_submitted > before; })) return false;
      }
      if (!Soon([&] { return engine_->stats().running + engine_->stats().waiting == 0; }))
        return false;
    }
    return engine_->stats().requests_cancelled > 0;
  }

  std::string path_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<SingleModelHub> hub_;
  std::unique_ptr<LoadSampler> load_;
};

inline const Json kMessages = Json::array({{{"role", "user"}, {"content", "hello there"}}});

}  // namespace lull
