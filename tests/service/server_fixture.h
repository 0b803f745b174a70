// A server on a tiny model, and raw clients: what the tests of the endpoints stand on.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
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

namespace asio = boost::asio;
using asio::ip::tcp;

// The "data:" objects of a stream, without its [DONE].
inline std::vector<Json> Chunks(const Reply& reply) {
  std::vector<Json> chunks;
  for (size_t at = 0; (at = reply.body.find("data: {", at)) != std::string::npos; ++at)
    chunks.push_back(Json::parse(reply.body.substr(at + 6, reply.body.find("\n\n", at) - at - 6)));
  return chunks;
}

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ =
        (std::filesystem::path(testing::TempDir()) /
         ("service_" + std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id())) +
          "_" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) +
          ".gguf"))
            .string();
    TinyModelSpec spec;
    spec.ctx = 2048;
    ASSERT_TRUE(WriteTinyModel(spec, path_).ok());
    RuntimeOptions runtime;
    runtime.threads = 2;
    runtime_ = Value(Runtime::Create(runtime));
    model_ = Value(Model::Load(path_, *runtime_));
    EngineOptions engine;
    engine.max_queue = 4;
    engine.max_sequences = 4;
    engine.kv_pool_tokens = 8192;
    HttpServerOptions http;
    http.max_body_bytes = 1 << 20;
    http.header_deadline_s = 1;
    http.drain_timeout_s = 1.0;
    server_ =
        Value(HttpServer::Create(http, [this](const HttpRequest& request, ResponderPtr responder) {
          Route(service_, request, std::move(responder));
        }));
    engine_ = Value(Engine::Create(*model_, *runtime_, engine));
    port_ = server_->port();
    service_.runtime = runtime_.get();
    hub_ = std::make_unique<SingleModelHub>("tiny", *model_, *engine_, 0);
    service_.hub = hub_.get();
    worker_ = std::make_unique<Worker>();
    service_.worker = worker_.get();
    load_ = std::make_unique<LoadSampler>(*runtime_, *hub_);
    service_.load = load_.get();
    thread_ = std::thread([this] {
      server_->Run(false, [this] {
        service_.draining.store(true);
        engine_->Drain();
      });
      ended_.store(true);
    });
  }
  void TearDown() override {
    server_->Stop();
    thread_.join();
    worker_.reset();
    load_.reset();
    engine_.reset();
    server_.reset();
    std::filesystem::remove(path_);
  }
  template <typename T>
  static T Value(Result<T> result) {
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return std::move(result).value();
  }

  Reply Ask(const std::string& bytes) {
    Client client(port_);
    client.Send(bytes);
    const std::string text = client.ReadAll();
    Reply reply;
    const size_t split = text.find("\r\n\r\n");
    if (split == std::string::npos) return reply;
    reply.head = text.substr(0, split);
    reply.body = text.substr(split + 4);
    reply.status = atoi(reply.head.c_str() + 9);
    return reply;
  }
  Reply Post(const std::string& path, const Json& body) {
    return Ask(RequestText("POST", path, body.dump()));
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
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Model> model_;
  Service service_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<SingleModelHub> hub_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<LoadSampler> load_;
  std::thread thread_;
  int port_ = 0;
  std::atomic<bool> ended_{false};  // the server has stopped
};

inline const Json kMessages = Json::array({{{"role", "user"}, {"content", "hello there"}}});

}  // namespace lull
