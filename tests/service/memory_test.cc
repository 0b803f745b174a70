// A server whose allocations fail, one after the other: a client may be cut, the server goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <new>
#include <thread>

#include "lull/model.h"
#include "lull/runtime.h"
#include "service/http/server.h"
#include "service/worker.h"
#include "tests/support/heap_meter.h"
#include "tests/support/raw_client.h"
#include "tests/support/tiny_model.h"

namespace lull {
namespace {

constexpr int kMaxFailures = 500;

TEST(OutOfMemory, CutsAClientAndServesOn) {
  HttpServerOptions options;
  options.header_deadline_s = 5;
  options.idle_deadline_s = 1;
  const auto created = HttpServer::Create(
      options, [](const HttpRequest& request, std::shared_ptr<Responder> responder) {
        if (request.path == "/stream") {
          responder->StartStream("text/event-stream");
          for (int i = 0; i < 3; ++i) responder->Write(std::string(100, 'p'));
          return responder->End();
        }
        responder->Send({200, "text/plain", request.body, {{"X-Long-Enough-For-The-Heap", "y"}}});
      });
  ASSERT_TRUE(created.ok());
  HttpServer& server = **created;
  std::thread thread([&] {
    LetAllocationsFail();
    server.Run(false);
  });
  const auto ask = [&](const std::string& path) {
    Client client(server.port());
    client.Send(RequestText("POST", path, std::string(200, 'b')));
    client.EndSending();
    return ReplyOf(client.ReadAll());
  };
  int answered = 0, number = 0;
  for (; number < kMaxFailures; ++number) {
    FailAllocation(number);
    answered += ask(number % 2 == 0 ? "/" : "/stream").status == 200;
    const bool clean = !AllocationHasFailed();
    FailAllocation(-1);
    const std::string after = ask("/").body;
    EXPECT_EQ(after, std::string(200, 'b')) << "after failure " << number;
    if (after.empty()) break;
    if (clean && number % 2 == 1) break;  // both kinds have got through
  }
  EXPECT_GT(number, 10);
  EXPECT_LT(number, kMaxFailures);
  EXPECT_GT(answered, 0);
  EXPECT_TRUE(Soon([&] { return server.connections() == 0; })) << "connections are left behind";
  server.Stop();
  thread.join();
}

TEST(OutOfMemory, AJobThatFailsEndsAlone) {
  Worker worker;
  std::atomic<bool> done{false};
  ASSERT_TRUE(worker.Post([] { throw std::bad_alloc(); }));
  ASSERT_TRUE(worker.Post([&] { done = true; }));
  EXPECT_TRUE(Soon([&] { return done.load(); }));
}

TEST(OutOfMemory, LoadingFailsWithoutHarm) {
  const std::string path =
      (std::filesystem::path(testing::TempDir()) / "out_of_memory.gguf").string();
  ASSERT_TRUE(WriteTinyModel({}, path).ok());
  RuntimeOptions options;
  options.threads = 1;
  auto runtime = Runtime::Create(options);
  ASSERT_TRUE(runtime.ok());
  int loaded = 0;
  // In a thread of its own, whose allocations alone fail.
  std::thread([&] {
    LetAllocationsFail();
    for (int number = 0; number < kMaxFailures; ++number) {
      FailAllocation(number);
      try {
        loaded += Model::Load(path, **runtime).ok();
      } catch (const std::bad_alloc&) {
      }
    }
    FailAllocation(-1);
    EXPECT_TRUE(Model::Load(path, **runtime).ok());
  }).join();
  EXPECT_LT(loaded, kMaxFailures);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lull
