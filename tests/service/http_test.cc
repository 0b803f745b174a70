// The HTTP server alone, over real sockets: what clients do that are slow, many, broken or hostile.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "base/os/limits.h"
#include "base/os/os.h"
#include "service/http/server.h"
#include "tests/support/raw_client.h"

namespace lull {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

int Threads() {
  const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

std::string Get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
}

// Answers by path: /echo with the body, /big with 32 MiB, /held when the test says so, /stream with
// a piece that is followed by others when the test says so.
class HttpTest : public testing::Test {
 protected:
  HttpTest() {
    options_.max_body_bytes = 1 << 20;
    options_.max_total_body_bytes = 4 << 20;
    options_.header_deadline_s = 1;
    options_.progress_check_s = 1;
    options_.min_bytes_per_s = 4096;
    options_.drain_timeout_s = 0.3;
  }
  ~HttpTest() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      held_.clear();
    }
    if (server_ == nullptr) return;
    server_->Stop();
    if (thread_.joinable()) thread_.join();
  }
  void Start(HttpGate gate = nullptr) {
    auto created = HttpServer::Create(
        options_,
        [this](const HttpRequest& request, std::shared_ptr<Responder> responder) {
          Handle(request, std::move(responder));
        },
        std::move(gate));
    ASSERT_TRUE(created.ok()) << created.status().ToString();
    server_ = std::move(created).value();
    port_ = server_->port();
    thread_ = std::thread([this] { server_->Run(false); });
  }
  void Handle(const HttpRequest& request, std::shared_ptr<Responder> responder) {
    ++requests_;
    if (request.path == "/echo")
      return responder->Send(
          {200, "text/plain", request.account + request.query + request.body, {}});
    if (request.path == "/big")
      return responder->Send({200, "text/plain", std::string(size_t{32} << 20, 'b'), {}});
    if (request.path == "/stream") {
      responder->StartStream(request.query);
      responder->Write("first");
    }
    responder->OnDisconnect([this] { ++disconnects_; });
    std::lock_guard<std::mutex> lock(mutex_);
    held_.push_back(std::move(responder));
  }
  Reply Ask(const std::string& bytes) {
    Client client(port_);
    client.Send(bytes);
    return ReplyOf(client.ReadAll());
  }

  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  int port_ = 0;
  std::atomic<int> requests_{0}, disconnects_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Responder>> held_;
};

TEST_F(HttpTest, HeaderThatTricklesGets408) {
  Start();
  Client client(port_);
  const auto begin = Clock::now();
  std::thread trickle([&] {
    // At first the server may not have taken the connection yet.
    for (int i = 0; i < 40 && (i == 0 || server_->connections() > 0); ++i) {
      client.Send(i == 0 ? "GET /echo HTTP/1.1\r\nX: " : "a");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  const Reply reply = ReplyOf(client.ReadAll());
  trickle.join();
  EXPECT_EQ(reply.status, 408) << reply.head;
  EXPECT_LT(SecondsSince(begin), 20);
  EXPECT_EQ(requests_.load(), 0);
}

TEST_F(HttpTest, BodyThatTricklesGets408) {
  Start();
  Client client(port_);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  std::thread trickle([&] {
    for (int i = 0; i < 40 && server_->connections() > 0; ++i) {
      client.Send("a");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  const Reply reply = ReplyOf(client.ReadAll());
  trickle.join();
  EXPECT_EQ(reply.status, 408) << reply.head;
  EXPECT_EQ(requests_.load(), 0);
}

TEST_F(HttpTest, SlowButSteadyBodyIsRead) {
  Start();
  Client client(port_);
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 480000\r\n\r\n");
  for (int i = 0; i < 24; ++i) {
    client.Send(std::string(20000, 'a'));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const Reply reply = ReplyOf(client.ReadAll());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, std::string(480000, 'a'));
}

TEST_F(HttpTest, BodyHasADeadlineHoweverSteady) {
  options_.body_deadline_s = 2;
  Start();
  Client client(port_);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  std::thread steady([&] {
    for (int i = 0; i < 45 && server_->connections() > 0; ++i) {
      client.Send(std::string(2000, 'a'));
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });
  EXPECT_EQ(ReplyOf(client.ReadAll()).status, 408);
  steady.join();
}

TEST_F(HttpTest, ReaderThatStallsIsCut) {
  Start();
  Client client(port_);
  client.LimitReceiving(4096);
  client.Send(Get("/big"));
  ASSERT_TRUE(Soon([&] { return requests_.load() == 1; }));
  const auto begin = Clock::now();
  EXPECT_TRUE(Soon([&] { return server_->connections() == 0; })) << "still served";
  EXPECT_GT(SecondsSince(begin), 0.5);
}

TEST_F(HttpTest, ReaderThatTakesItsTimeGetsEverything) {
  Start();
  Client client(port_);
  client.LimitReceiving(1 << 16);
  client.Send(Get("/big", "Connection: close\r\n"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(ReplyOf(client.ReadAll()).body.size(), size_t{32} << 20);
}

TEST_F(HttpTest, OversizeInputsAreRefusedBeforeTheyAreRead) {
  Start();
  const auto status = [&](const std::string& bytes) { return Ask(bytes).status; };
  EXPECT_EQ(status(Get("/echo", "X: " + std::string(64 << 10, 'a') + "\r\n")), 431);
  EXPECT_EQ(status("GET /" + std::string(64 << 10, 'a') + " HTTP/1.1\r\n\r\n"), 431);
  std::string many;
  for (int i = 0; i < 20000; ++i) many.append("A").append(std::to_string(i)).append(": b\r\n");
  EXPECT_EQ(status(Get("/echo", many)), 431);
  EXPECT_EQ(status("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n"), 413);
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  EXPECT_EQ(status(post + "Content-Length: 18446744073709551616\r\n\r\n"), 400);
  EXPECT_EQ(status(post + "Content-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status(post + "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"), 415);
  EXPECT_EQ(requests_.load(), 0);
}

TEST_F(HttpTest, ChunkedBodiesEndAtTheLimit) {
  Start();
  const std::string post =
      "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(Ask(post + "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n").body, "abcde");
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'c') + "\r\n";
  std::string endless = post;
  for (int i = 0; i < 40; ++i) endless += chunk;
  EXPECT_EQ(Ask(endless).status, 413);
  EXPECT_EQ(Ask(post + "FFFFFFFFFFFFFFFF\r\n").status, 413);
  EXPECT_EQ(Ask(post + "xyz\r\n").status, 400);
  EXPECT_EQ(Ask(post + "1;" + std::string(100000, 'e')).status, 431);
  EXPECT_EQ(requests_.load(), 1);
}

TEST_F(HttpTest, RequestsWithTwoLengthsAreRefused) {
  Start();
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  for (const char* fields :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n", "Content-Length: 3, 4\r\n",
        "Content-Length: +3\r\n", "Content-Length : 3\r\n", "Content-Length: 0x3\r\n"})
    EXPECT_EQ(Ask(post + fields + "\r\nabc").status, 400) << fields;
  EXPECT_EQ(requests_.load(), 0);
}

// Nor is what follows them answered: to a proxy it may be the body.
TEST_F(HttpTest, BodiesWhoseEndIsNotKnownAreRefused) {
  Start();
  const std::string next = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
  for (const char* fields :
       {" HTTP/1.1\r\nTransfer-Encoding: gzip\r\n", " HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
        " HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
        " HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n",
        " HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        " HTTP/1.1\r\nTransfer-Encoding: \r\n", " HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"}) {
    Client client(port_);
    client.Send(std::string("POST /echo") + fields + "Host: x\r\nConnection: keep-alive\r\n\r\n" +
                "0\r\n\r\n" + next + next);
    const std::string text = client.ReadAll();
    EXPECT_TRUE(text.starts_with("HTTP/1.1 400")) << fields << text;
    EXPECT_EQ(text.find("HTTP/1.1 ", 1), std::string::npos) << fields << text;
  }
  EXPECT_EQ(requests_.load(), 0);
}

TEST_F(HttpTest, BodiesOfAllRequestsTogetherAreLimited) {
  options_.max_total_body_bytes = 1500000;
  Start();
  Client holder(port_);
  holder.Send("POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" +
              std::string(1000000, 'a'));
  ASSERT_TRUE(Soon([&] { return requests_.load() == 1; }));
  const std::string second = RequestText("POST", "/echo", std::string(1000000, 'b'));
  const Reply refused = Ask(second);
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.head.find("Retry-After"), std::string::npos);
  holder.Close();
  ASSERT_TRUE(Soon([&] { return server_->connections() == 0; }));
  EXPECT_EQ(Ask(second).status, 200);
}

TEST_F(HttpTest, LeavingIsNoticedHoweverItIsDone) {
  Start();
  int expected = 0;
  const auto leaves = [&](const std::string& path, auto&& leave) {
    Client client(port_);
    const int before = requests_.load();
    client.Send(Get(path));
    ASSERT_TRUE(Soon([&] { return requests_.load() > before; }));
    if (path != "/held") client.ReadUntil("first");
    leave(client);
    ++expected;
    EXPECT_TRUE(Soon([&] { return disconnects_.load() == expected; })) << path << expected;
  };
  for (const char* path : {"/held", "/stream?text/plain"}) {
    leaves(path, [](Client& client) { client.Close(); });
    leaves(path, [](Client& client) { client.Reset(); });
    leaves(path, [](Client& client) { client.EndSending(); });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(disconnects_.load(), expected) << "called twice";
}

TEST_F(HttpTest, ClientThatEndsSendingGetsAQuickAnswer) {
  Start();
  Client client(port_);
  client.Send(Get("/echo?a") + Get("/echo?b"));
  client.EndSending();
  const std::string text = client.ReadAll();
  EXPECT_NE(text.find("\r\n\r\na"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\nb")) << text;
}

TEST_F(HttpTest, WhatIsSentFarAheadIsAnsweredInOrder) {
  Start();
  Client client(port_);
  std::string requests, want;
  for (int i = 0; i < 8; ++i) {
    const std::string body(100000 + i, static_cast<char>('a' + i));
    requests += "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
  }
  std::thread sender([&] { client.Send(requests); });
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(client.ReadReply().body, std::string(100000 + i, static_cast<char>('a' + i)));
  sender.join();
}

TEST_F(HttpTest, EmptyLinesBeforeARequestArePassedOver) {
  Start();
  EXPECT_EQ(Ask("\r\n\r\n" + Get("/echo?a", "Connection: close\r\n")).body, "a");
  Client client(port_);
  client.Send(Get("/echo?b") + "\r\n");
  EXPECT_EQ(client.ReadReply().body, "b");
  client.Send("\r");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  client.Send("\n" + Get("/echo?c"));
  EXPECT_EQ(client.ReadReply().body, "c");
  EXPECT_EQ(Ask("\rX" + Get("/echo")).status, 400);
  Client leaving(port_);
  const auto begin = Clock::now();
  leaving.Send(Get("/echo?d") + "\r\n");
  leaving.EndSending();
  EXPECT_EQ(ReplyOf(leaving.ReadAll()).body, "d");
  EXPECT_LT(SecondsSince(begin), 10);
}

TEST_F(HttpTest, ContinueIsSaidOnlyToWhoWaitsForIt) {
  Start();
  Client client(port_);
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_NE(client.ReadUntil("\r\n\r\n").find("100 Continue"), std::string::npos);
  client.Send("abc");
  EXPECT_NE(client.ReadUntil("abc").find("200 OK"), std::string::npos);
  EXPECT_EQ(Ask("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                "Content-Length: 2000000\r\n\r\n")
                .status,
            413);
}

TEST_F(HttpTest, GateRefusesBeforeTheBody) {
  Start([](const HttpHead& head) {
    HttpVerdict verdict;
    verdict.headers = {{"X-Seen", head.method + head.path + "?" + head.query}};
    if (head.Values("x-key") == std::vector<std::string_view>{"good"})
      verdict.account = "somebody ";
    else
      verdict.refusal = HttpResponse{401, "text/plain", "no", {}};
    return verdict;
  });
  Client client(port_);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  const Reply refused = ReplyOf(client.ReadAll());
  EXPECT_EQ(refused.status, 401);
  EXPECT_NE(refused.head.find("X-Seen: POST/echo?"), std::string::npos) << refused.head;
  EXPECT_NE(refused.head.find("Connection: close"), std::string::npos) << refused.head;
  EXPECT_EQ(Ask(Get("/echo?q", "X-Key: good\r\nX-Key: good\r\nConnection: close\r\n")).status, 401);
  EXPECT_EQ(Ask(Get("/echo?q", "x-KEY:  good\r\nConnection: close\r\n")).body, "somebody q");
  // Without a body the connection goes on.
  Client kept(port_);
  kept.Send(Get("/echo"));
  EXPECT_EQ(kept.ReadReply().status, 401);
  kept.Send(Get("/echo", "X-Key: good\r\n"));
  EXPECT_EQ(kept.ReadReply().body, "somebody ");
}

TEST_F(HttpTest, AHostInTheRequestLineIsTheHost) {
  Start([](const HttpHead& head) {
    HttpVerdict verdict;
    for (const std::string_view host : head.Values("host")) verdict.account += host;
    return verdict;
  });
  const std::string close = "Connection: close\r\n";
  EXPECT_EQ(Ask(Get("/echo", close)).body, "x");
  EXPECT_EQ(Ask(Get("http://evil.example:80/echo?q", close)).body, "evil.example:80q");
  EXPECT_EQ(Ask(Get("HTTP://a/echo", close)).body, "a");
}

TEST_F(HttpTest, DrainingEndsStreamsWithAMarkedError) {
  Start();
  Client events(port_), lines(port_), whole(port_), idle(port_);
  events.Send(Get("/stream?text/event-stream"));
  events.ReadUntil("first");
  lines.Send(Get("/stream?application/x-ndjson"));
  lines.ReadUntil("first");
  whole.Send(Get("/held"));
  ASSERT_TRUE(Soon([&] { return requests_.load() == 3; }));
  server_->Drain();
  EXPECT_EQ(idle.ReadAll(), "");
  const std::string cut = events.ReadAll();
  EXPECT_NE(cut.find("data: {\"error\""), std::string::npos) << cut;
  EXPECT_TRUE(cut.ends_with("0\r\n\r\n")) << cut;
  EXPECT_NE(lines.ReadAll().find("\n{\"error\""), std::string::npos);
  EXPECT_EQ(ReplyOf(whole.ReadAll()).status, 503);
  thread_.join();
  EXPECT_EQ(server_->cut_short(), 3);
  EXPECT_EQ(disconnects_.load(), 3);
}

// A thousand that have begun and not ended a request, then a thousand that ask in turn.
TEST_F(HttpTest, ThousandClientsAtOnce) {
  os::RaiseOpenFileLimit();
  constexpr int kClients = 1000;
  if (os::OpenFileLimit() < 2 * kClients + 200) GTEST_SKIP() << "too few open files allowed";
  options_.header_deadline_s = 60;
  Start();
  const int threads = Threads();
  const int64_t rss = os::CurrentRssBytes();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    clients.back()->Send("GET /echo?" + std::to_string(i) + " HTTP/1.1\r\n");
  }
  ASSERT_TRUE(Soon([&] { return server_->connections() == kClients; }));
  EXPECT_EQ(Threads(), threads);
  EXPECT_EQ(Ask(Get("/echo?quick", "Connection: close\r\n")).body, "quick");
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kClients; ++i) {
      if (round > 0) clients[i]->Send("GET /echo?" + std::to_string(i) + " HTTP/1.1\r\n");
      clients[i]->Send("Host: x\r\n\r\n");
    }
    for (int i = 0; i < kClients; ++i) {
      const Reply reply = clients[i]->ReadReply();
      ASSERT_EQ(reply.status, 200);
      ASSERT_EQ(reply.body, std::to_string(i));
    }
  }
  EXPECT_EQ(server_->connections(), kClients);
  if (getenv("LULL_SANITIZED") != nullptr) return;  // their memory is not the server's
  EXPECT_LT(os::CurrentRssBytes() - rss, int64_t{32} << 20) << "clients of this test included";
}

TEST_F(HttpTest, BeyondTheLimitTheLongestWaitingIsCut) {
  options_.max_connections = 3;
  options_.header_deadline_s = 60;
  Start();
  Client busy(port_);
  busy.Send(Get("/held"));
  ASSERT_TRUE(Soon([&] { return requests_.load() == 1; }));
  Client first(port_);
  first.Send("GET /echo");
  ASSERT_TRUE(Soon([&] { return server_->connections() == 2; }));
  Client second(port_);
  ASSERT_TRUE(Soon([&] { return server_->connections() == 3; }));
  Client third(port_);
  EXPECT_EQ(first.ReadAll(), "");
  third.Send(Get("/held"));
  ASSERT_TRUE(Soon([&] { return requests_.load() == 2; }));
  second.Send(Get("/held"));
  ASSERT_TRUE(Soon([&] { return requests_.load() == 3; }));
  EXPECT_EQ(ReplyOf(Client(port_).ReadAll()).status, 503);
  EXPECT_EQ(disconnects_.load(), 0);
}

// Requests with bytes changed, cut, doubled and mixed: each is answered or cut, and the server goes
// on.
TEST_F(HttpTest, SurvivesMutatedRequests) {
  options_.header_deadline_s = 2;
  Start();
  const std::string seeds[] = {
      Get("/echo?q", "X-A: b\r\nConnection: close\r\n"),
      RequestText("POST", "/echo", "{\"prompt\": \"abc\"}"),
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "HEAD /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /echo HTTP/1.1\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde"};
  const char* const pieces[] = {"\r\n",
                                "\r",
                                "\n",
                                ":",
                                " ",
                                "\t",
                                "%",
                                "\0",
                                "\xff",
                                "HTTP/1.1",
                                "Content-Length: 9999999999999999999\r\n",
                                "chunked",
                                "\r\n\r\n",
                                "Transfer-Encoding: chunked\r\n",
                                "0\r\n\r\n",
                                "ffffffff\r\n"};
  std::mt19937_64 random(20);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const int rounds = getenv("LULL_SANITIZED") == nullptr ? 2000 : 500;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = seeds[below(std::size(seeds))];
    for (size_t changes = 1 + below(4); changes > 0; --changes) {
      const size_t at = below(bytes.size() + 1);
      switch (below(4)) {
        case 0:
          bytes.insert(at, pieces[below(std::size(pieces))]);
          break;
        case 1:
          bytes.erase(at, below(8));
          break;
        case 2:
          if (at < bytes.size()) bytes[at] = static_cast<char>(random());
          break;
        default:
          bytes.insert(at, seeds[below(std::size(seeds))].substr(0, below(40)));
      }
    }
    Client client(port_);
    client.Send(bytes);
    client.EndSending();
    const std::string text = client.ReadAll();
    ASSERT_TRUE(text.empty() || text.starts_with("HTTP/1.1 ")) << round << ": " << text;
    ASSERT_FALSE(text.starts_with("HTTP/1.1 5")) << round << ": " << text;
  }
  EXPECT_EQ(Ask(Get("/echo?alive", "Connection: close\r\n")).body, "alive");
}

}  // namespace
}  // namespace lull
