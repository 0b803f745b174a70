// Who may ask for what: keys, names, origins, over the whole matrix and in constant time.
#include "service/guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "base/secret.h"

namespace lull {
namespace {

const std::string kUserKey = "lull-0123456789abcdefghijklmnopqrstuvwxyz-USER";
const std::string kAdminKey = "lull-0123456789abcdefghijklmnopqrstuvwxyz-ADMIN";

ApiKeys Keys() {
  ApiKeys keys;
  EXPECT_TRUE(keys.Add("laptop", kUserKey, false).ok());
  EXPECT_TRUE(keys.Add("owner", kAdminKey, true).ok());
  return keys;
}

Guard MakeGuard(GuardOptions options) {
  Result<Guard> guard = Guard::Create(std::move(options));
  EXPECT_TRUE(guard.ok()) << guard.status().ToString();
  return std::move(guard).value();
}

HttpHead Head(const std::string& method, const std::string& path, const HttpFields& fields = {},
              const std::string& host = "localhost:8080") {
  HttpHead head;
  head.method = method;
  head.path = path;
  head.fields = fields;
  if (!host.empty()) head.fields.push_back({"host", host});
  return head;
}

// 200 where it is let through.
int StatusOf(const Guard& guard, const HttpHead& head) {
  const HttpVerdict verdict = guard.Check(head);
  return verdict.refusal ? verdict.refusal->status : 200;
}

HttpFields Bearer(const std::string& key) { return {{"authorization", "Bearer " + key}}; }

const char* const kMethods[] = {"GET",     "HEAD",  "POST",    "PUT",   "DELETE",
                                "OPTIONS", "TRACE", "CONNECT", "PATCH", "get"};
const char* const kPaths[] = {"/v1/chat/completions",
                              "/v1/models",
                              "/v1/models/a",
                              "/metrics",
                              "/budget",
                              "/api/chat",
                              "/api/pull",
                              "/api/delete",
                              "/requests",
                              "/",
                              "/nothing",
                              "//health",
                              "/health/",
                              "/Health",
                              "/HEALTH",
                              "/%68ealth",
                              "/./health",
                              "/x/../health",
                              "/x/%2e%2e/health",
                              "/health%00",
                              "/health\\..",
                              "http://localhost/health",
                              "*",
                              ""};

TEST(Guard, WithoutTheRightKeyNothingButHealthIsReached) {
  const Guard guard = MakeGuard({.keys = Keys()});
  const std::vector<HttpFields> wrong = {
      {},
      Bearer(""),
      Bearer("no"),
      Bearer(kUserKey.substr(0, kUserKey.size() - 1)),
      Bearer(kUserKey + "x"),
      Bearer(kUserKey + " "),
      Bearer("LULL-" + kUserKey.substr(5)),
      Bearer(std::string(8192, 'k')),
      Bearer(ApiKeys::Line("laptop", kUserKey, false)),
      Bearer(ApiKeys::Line("", kUserKey, false).substr(1)),
      {{"authorization", kUserKey}},
      {{"authorization", "Basic " + kUserKey}},
      {{"authorization", "Bearer" + kUserKey}},
      {{"x-forwarded-for", "127.0.0.1"}, {"x-original-url", "/health"}},
      {{"proxy-authorization", "Bearer " + kUserKey}},
      {{"cookie", "key=" + kUserKey}}};
  for (const HttpFields& fields : wrong)
    for (const char* method : kMethods)
      for (const char* path : kPaths)
        EXPECT_EQ(StatusOf(guard, Head(method, path, fields)), 401) << method << " " << path;
  const HttpFields twice = {{"authorization", "Bearer " + kUserKey},
                            {"authorization", "Bearer " + kUserKey}};
  for (const char* path : kPaths) EXPECT_EQ(StatusOf(guard, Head("GET", path, twice)), 400);
  for (const char* method : {"GET", "HEAD"})
    for (const char* path : {"/health", "/ready"})
      for (const HttpFields& fields : wrong)
        EXPECT_EQ(StatusOf(guard, Head(method, path, fields)), 200);
  EXPECT_EQ(StatusOf(guard, Head("POST", "/health")), 401);
  const HttpVerdict verdict = guard.Check(Head("GET", "/metrics"));
  EXPECT_EQ(verdict.headers, (HttpFields{{"WWW-Authenticate", "Bearer"}}));
}

TEST(Guard, KeysOpenWhatIsTheirs) {
  const Guard guard = MakeGuard({.keys = Keys()});
  EXPECT_EQ(guard.Check(Head("POST", "/v1/completions", Bearer(kUserKey))).account, "laptop");
  EXPECT_EQ(guard.Check(Head("GET", "/budget", Bearer(kAdminKey))).account, "owner");
  EXPECT_EQ(StatusOf(guard, Head("GET", "/metrics", {{"authorization", "bearer  " + kUserKey}})),
            200);
  EXPECT_EQ(StatusOf(guard, Head("PUT", "/budget", Bearer(kUserKey))), 403);
  EXPECT_EQ(StatusOf(guard, Head("PUT", "/budget", Bearer(kAdminKey))), 200);
  EXPECT_EQ(StatusOf(guard, Head("POST", "/api/pull", Bearer(kUserKey))), 403);
  EXPECT_EQ(StatusOf(guard, Head("POST", "/api/pull", Bearer(kAdminKey))), 200);
  // A path with two readings is no route, for whoever it be.
  for (const char* path : {"//budget", "/./budget", "/x/../budget", "/%2e%2e/budget", "/budget/",
                           "/v1//models", "/budget%0a", "/budget%zz", "*", "budget", "/a%5cb"})
    EXPECT_EQ(StatusOf(guard, Head("PUT", path, Bearer(kAdminKey))), 404) << path;
  for (const char* path : {"/", "/v1/models/a%2Fb", "/v1/models/t%69ny", "/v1/models/..a"})
    EXPECT_EQ(StatusOf(guard, Head("GET", path, Bearer(kUserKey))), 200) << path;
}

TEST(Guard, WithoutKeysTheBudgetStaysWhatItIs) {
  const Guard guard = MakeGuard({});
  EXPECT_EQ(StatusOf(guard, Head("POST", "/v1/completions")), 200);
  EXPECT_EQ(StatusOf(guard, Head("POST", "/api/pull")), 200);
  const HttpVerdict verdict = guard.Check(Head("PUT", "/budget", Bearer(kAdminKey)));
  ASSERT_TRUE(verdict.refusal);
  EXPECT_EQ(verdict.refusal->status, 403);
  EXPECT_NE(verdict.refusal->body.find("lull key new"), std::string::npos);
}

TEST(Guard, OpenAddressesNeedAKey) {
  for (const char* address : {"0.0.0.0", "::", "192.168.1.7", "fe80::1"}) {
    EXPECT_FALSE(Guard::Create({.address = address}).ok()) << address;
    EXPECT_TRUE(Guard::Create({.keys = Keys(), .address = address}).ok()) << address;
  }
  for (const char* address : {"127.0.0.1", "127.0.0.2", "::1"})
    EXPECT_TRUE(Guard::Create({.address = address}).ok()) << address;
}

TEST(Guard, ForeignNamesAreMisdirected) {
  const Guard guard = MakeGuard({.keys = Keys(), .hosts = {"llm.example"}});
  for (const char* host : {"localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.0.0.1:8080",
                           "[::1]:8080", "10.0.0.5:8080", "llm.example", "LLM.example:8080"})
    EXPECT_EQ(StatusOf(guard, Head("GET", "/health", {}, host)), 200) << host;
  for (const char* host :
       {"evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.evil.example",
        "llm.example.evil", "localhost:80:80", "localhost:x", "localhost:123456", "[::1", "[]",
        "127.1", "a@localhost", "localhost/x", " ", "%6cocalhost"})
    for (const char* path : {"/health", "/v1/models"})
      EXPECT_EQ(StatusOf(guard, Head("GET", path, Bearer(kUserKey), host)), 421) << host;
  EXPECT_EQ(StatusOf(guard, Head("GET", "/health", {}, "")), 400);
  HttpHead old = Head("GET", "/health", {}, "");
  old.http_1_1 = false;
  EXPECT_EQ(StatusOf(guard, old), 200);
  EXPECT_EQ(StatusOf(guard, Head("GET", "/health", {{"host", "localhost"}})), 400);
}

TEST(Guard, ForeignPagesMayNotAsk) {
  const Guard guard = MakeGuard({.keys = Keys(), .origins = {"https://chat.example"}});
  const auto ask = [&](const std::string& origin) {
    HttpFields fields = Bearer(kUserKey);
    fields.push_back({"origin", origin});
    return guard.Check(Head("POST", "/v1/completions", fields));
  };
  for (const char* origin :
       {"https://evil.example", "null", "http://chat.example", "https://chat.example.evil",
        "https://chat.example:444", "http://localhost:3000", "http://localhost", "", "file://"}) {
    const HttpVerdict verdict = ask(origin);
    ASSERT_TRUE(verdict.refusal) << origin;
    EXPECT_EQ(verdict.refusal->status, 403) << origin;
    EXPECT_TRUE(verdict.headers.empty()) << origin;
  }
  for (const char* origin : {"https://chat.example", "http://localhost:8080"}) {
    const HttpVerdict verdict = ask(origin);
    EXPECT_FALSE(verdict.refusal) << origin;
    EXPECT_EQ(verdict.headers.at(0).second, origin);
  }
  const HttpVerdict preflight =
      guard.Check(Head("OPTIONS", "/v1/completions",
                       {{"origin", "https://chat.example"},
                        {"access-control-request-method", "POST"},
                        {"access-control-request-headers", "authorization, x-stainless-os"}}));
  ASSERT_TRUE(preflight.refusal);
  EXPECT_EQ(preflight.refusal->status, 204);
  EXPECT_EQ(preflight.refusal->headers.back().second, "authorization, x-stainless-os");
  EXPECT_EQ(StatusOf(guard, Head("OPTIONS", "/v1/completions",
                                 {{"origin", "https://evil.example"},
                                  {"access-control-request-method", "POST"}})),
            403);
  const Guard open = MakeGuard({.keys = Keys(), .origins = {"*"}});
  EXPECT_EQ(StatusOf(open, Head("GET", "/metrics", {{"origin", "null"}})), 401);
}

TEST(ApiKeys, LinesOfAKeyFile) {
  const std::string digest_line = ApiKeys::Line("b.2", kUserKey, true);
  const Result<ApiKeys> keys =
      ApiKeys::Parse("# a comment\n\n  a-1:" + kAdminKey + "\r\n" + digest_line, "keys");
  ASSERT_TRUE(keys.ok()) << keys.status().ToString();
  EXPECT_EQ(keys->size(), 2u);
  EXPECT_TRUE(keys->holds_plain_keys());
  ASSERT_NE(keys->Find(kAdminKey), nullptr);
  EXPECT_EQ(keys->Find(kAdminKey)->account, "a-1");
  EXPECT_FALSE(keys->Find(kAdminKey)->admin);
  ASSERT_NE(keys->Find(kUserKey), nullptr);
  EXPECT_TRUE(keys->Find(kUserKey)->admin);
  // The digest is not a key.
  EXPECT_EQ(keys->Find(digest_line.substr(4, 64)), nullptr);
  for (const char* bad : {"a", "a:", ":0123456789abcdef", "a:short", "a b:0123456789abcdef",
                          "a:0123456789 abcdef", "a:0123456789abcdef\nb:short"}) {
    const Result<ApiKeys> parsed = ApiKeys::Parse(bad, "keys");
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(parsed.status().ToString().find("0123456789"), std::string::npos) << "tells the key";
  }
}

TEST(ApiKeys, AnyTextIsReadOrRefused) {
  const std::string seed = "# c\na:" + kUserKey + "\n" + ApiKeys::Line("b", kAdminKey, true) + "\n";
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text = seed;
    for (int change = 0; change < 3; ++change) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0)
        text[at] = static_cast<char>(random());
      else
        text.erase(at, random() % 9);
      if (text.empty()) text.assign(1, ':');
    }
    const Result<ApiKeys> keys = ApiKeys::Parse(text, "keys");
    if (keys.ok()) {
      EXPECT_LE(keys->size(), 4u);
    }
  }
}

TEST(Secret, TokensAreFreshAndSafeInUrls) {
  const Result<std::string> a = RandomToken(32), b = RandomToken(32);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(*a, *b);
  EXPECT_EQ(a->size(), 43u);
  EXPECT_EQ(
      a->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
      std::string::npos);
  EXPECT_EQ(RandomToken(1)->size(), 2u);
  EXPECT_EQ(RandomToken(3)->size(), 4u);
}

// Welch's t between the times of two wrong keys, one of which is right but for its last character.
TEST(ApiKeysSlow, RefusingTakesTheSameTimeWhateverIsRight) {
  if (getenv("LULL_SANITIZED") != nullptr) GTEST_SKIP() << "times of a slower program";
  const ApiKeys keys = Keys();
  const std::string nearly = kUserKey.substr(0, kUserKey.size() - 1) + "?";
  const std::string far = std::string(kUserKey.size(), '?');
  constexpr int kSamples = 10000, kLookUps = 20;
  std::vector<double> times[2];
  std::mt19937_64 random(3);
  for (int i = 0; i < 2 * kSamples; ++i) {
    const size_t which = random() % 2;
    const std::string& key = which == 0 ? nearly : far;
    const auto begin = std::chrono::steady_clock::now();
    for (int k = 0; k < kLookUps; ++k) EXPECT_EQ(keys.Find(key), nullptr);
    times[which].push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  double mean[2], error[2];
  for (int w = 0; w < 2; ++w) {  // what interrupts added is left out, on both sides alike
    std::sort(times[w].begin(), times[w].end());
    times[w].resize(times[w].size() * 9 / 10);
    const double n = static_cast<double>(times[w].size());
    double sum = 0, squares = 0;
    for (const double t : times[w]) sum += t;
    mean[w] = sum / n;
    for (const double t : times[w]) squares += (t - mean[w]) * (t - mean[w]);
    error[w] = squares / (n - 1) / n;
  }
  const double t = (mean[0] - mean[1]) / std::sqrt(error[0] + error[1]);
  EXPECT_LT(std::fabs(t), 4.5) << mean[0] << " s against " << mean[1] << " s";
}

}  // namespace
}  // namespace lull
