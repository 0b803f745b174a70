#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "service/http/byte_stream.h"

namespace lull {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;

class TlsStream : public ByteStream {
 public:
  TlsStream(tcp::socket socket, ssl::context& context) : stream_(std::move(socket), context) {
    Error ec;
    stream_.next_layer().set_option(tcp::no_delay(true), ec);
  }

  void Handshake(Done done) override {
    stream_.async_handshake(ssl::stream_base::server, std::move(done));
  }

  void Read(ReadDone done) override {
    stream_.async_read_some(asio::buffer(input_),
                            [this, done = std::move(done)](Error ec, size_t bytes) {
                              done(ec, {input_.data(), bytes});
                            });
  }

  void Write(std::string_view bytes, WriteDone done) override {
    stream_.async_write_some(asio::buffer(bytes.data(), bytes.size()), std::move(done));
  }

  // The client's own end is awaited by reading on, or by the caller's deadline: both end this.
  void EndWriting(Done done) override { stream_.async_shutdown(std::move(done)); }

  void Close() override {
    Error ec;
    stream_.next_layer().close(ec);
  }

  asio::any_io_executor executor() override { return stream_.get_executor(); }

 private:
  ssl::stream<tcp::socket> stream_;
  std::array<char, 4096> input_;
};

}  // namespace

std::unique_ptr<ByteStream> MakeTlsStream(tcp::socket socket, ssl::context& context) {
  return std::make_unique<TlsStream>(std::move(socket), context);
}

}  // namespace lull
