#include <boost/asio/buffer.hpp>

#include "service/http/byte_stream.h"

namespace lull {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

class PlainStream : public ByteStream {
 public:
  PlainStream(tcp::socket socket, ReadScratch& scratch)
      : socket_(std::move(socket)), scratch_(scratch) {
    Error ec;
    socket_.set_option(tcp::no_delay(true), ec);
    socket_.non_blocking(true, ec);
  }

  void Handshake(Done done) override { done(Error()); }

  void Read(ReadDone done) override {
    socket_.async_wait(tcp::socket::wait_read, [this, done = std::move(done)](Error ec) mutable {
      if (ec) return done(ec, {});
      const size_t bytes = socket_.read_some(asio::buffer(scratch_), ec);
      if (ec == asio::error::would_block) return Read(std::move(done));
      done(ec, {scratch_.data(), bytes});
    });
  }

  void Write(std::string_view bytes, WriteDone done) override {
    socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), std::move(done));
  }

  void EndWriting(Done done) override {
    Error ec;
    socket_.shutdown(tcp::socket::shutdown_send, ec);
    done(ec);
  }

  void Close() override {
    Error ec;
    socket_.close(ec);
  }

  asio::any_io_executor executor() override { return socket_.get_executor(); }

 private:
  tcp::socket socket_;
  ReadScratch& scratch_;
};

}  // namespace

std::unique_ptr<ByteStream> MakePlainStream(tcp::socket socket, ReadScratch& scratch) {
  return std::make_unique<PlainStream>(std::move(socket), scratch);
}

}  // namespace lull
