// The server over TLS, with certificates made here.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <thread>

#include "service/http/server.h"
#include "tests/support/raw_client.h"

namespace lull {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;

// A certificate of its own for "localhost", with its key, as PEM files.
void WriteCertificate(const std::string& certificate_path, const std::string& key_path) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASSERT_TRUE(key != nullptr && certificate != nullptr);
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  ASSERT_NE(X509_sign(certificate, key, EVP_sha256()), 0);
  FILE* file = fopen(certificate_path.c_str(), "w");
  PEM_write_X509(file, certificate);
  fclose(file);
  file = fopen(key_path.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) /
        ("tls_" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()));
    std::filesystem::create_directories(folder_);
    options_.tls_certificate = folder_ / "cert.pem";
    options_.tls_key = folder_ / "key.pem";
    options_.header_deadline_s = 1;
    WriteCertificate(options_.tls_certificate, options_.tls_key);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Start() {
    auto created = HttpServer::Create(
        options_, [](const HttpRequest& request, std::shared_ptr<Responder> responder) {
          if (request.path != "/stream")
            return responder->Send({200, "text/plain", request.body, {}});
          responder->StartStream("text/event-stream");
          for (int i = 0; i < 100; ++i) responder->Write(std::string(1000, 'p'));
          responder->End();
        });
    ASSERT_TRUE(created.ok()) << created.status().ToString();
    server_ = std::move(created).value();
    thread_ = std::thread([this] { server_->Run(false); });
  }
  // Everything the server answers, until it ends the connection in order; "" where it does not.
  std::string Ask(const std::string& bytes, int max_version = TLS1_3_VERSION) {
    asio::io_context io;
    ssl::context context(ssl::context::tls_client);
    context.load_verify_file(options_.tls_certificate);
    context.set_verify_mode(ssl::verify_peer);
    SSL_CTX_set_max_proto_version(context.native_handle(), max_version);
    ssl::stream<tcp::socket> stream(io, context);
    stream.next_layer().connect(
        {asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(server_->port())});
    boost::system::error_code ec;
    stream.handshake(ssl::stream_base::client, ec);
    if (ec) return "";
    std::thread sender([&] {
      boost::system::error_code ignored;
      asio::write(stream, asio::buffer(bytes), ignored);
    });
    sender.join();
    std::string text;
    std::array<char, 4096> piece;
    for (;;) {
      const size_t n = stream.read_some(asio::buffer(piece), ec);
      text.append(piece.data(), n);
      if (ec) break;
    }
    return ec == asio::error::eof ? text : "";
  }

  std::filesystem::path folder_;
  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(TlsTest, AnswersAreTheSame) {
  Start();
  const std::string body(300000, 'z');
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const Reply reply = ReplyOf(Ask(RequestText("POST", "/", body), version));
    EXPECT_EQ(reply.status, 200) << version;
    EXPECT_EQ(reply.body, body) << version;
  }
  const Reply stream = ReplyOf(Ask(RequestText("GET", "/stream", "")));
  EXPECT_EQ(std::count(stream.body.begin(), stream.body.end(), 'p'), 100000);
  EXPECT_TRUE(stream.body.ends_with("0\r\n\r\n"));
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  Start();
  EXPECT_EQ(Ask(RequestText("GET", "/", ""), TLS1_1_VERSION), "");
  EXPECT_EQ(ReplyOf(Ask(RequestText("GET", "/", ""))).status, 200);
}

TEST_F(TlsTest, WhoDoesNotShakeHandsIsCut) {
  Start();
  {
    Client silent(server_->port());
    EXPECT_EQ(silent.ReadAll(), "");
    Client plain(server_->port());
    plain.Send(RequestText("GET", "/", ""));
    EXPECT_EQ(plain.ReadAll().find("HTTP/1.1"), std::string::npos);
    Client leaves(server_->port());
    leaves.Send("\x16\x03\x01");
    leaves.Reset();
  }
  EXPECT_TRUE(Soon([&] { return server_->connections() == 0; }));
  EXPECT_EQ(ReplyOf(Ask(RequestText("GET", "/", ""))).status, 200);
}

TEST_F(TlsTest, ManyAtOnce) {
  Start();
  std::vector<std::thread> clients;
  std::atomic<int> right{0};
  for (int c = 0; c < 8; ++c)
    clients.emplace_back([&, c] {
      for (int i = 0; i < 5; ++i) {
        const std::string body(1000 * (c + 1), static_cast<char>('a' + c));
        right += ReplyOf(Ask(RequestText("POST", "/", body))).body == body;
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right.load(), 40);
}

TEST_F(TlsTest, UnusableCertificatesAreNamed) {
  const auto error = [&] {
    const auto created =
        HttpServer::Create(options_, [](const HttpRequest&, std::shared_ptr<Responder>) {});
    EXPECT_FALSE(created.ok());
    return created.ok() ? Error() : created.error();
  };
  const std::string key = options_.tls_key, other = folder_ / "other.pem";
  options_.tls_key = folder_ / "none.pem";
  EXPECT_EQ(error().where, options_.tls_key);
  options_.tls_key = other;
  WriteCertificate(folder_ / "cert2.pem", other);
  EXPECT_EQ(error().where, other);
  options_.tls_key = key;
  options_.tls_certificate = key;
  EXPECT_EQ(error().where, key);
}

}  // namespace
}  // namespace lull
