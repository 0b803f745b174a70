// The bytes of one connection, plain or encrypted. One read and one write at a time; used on the
// server's thread.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>
#include <string_view>

namespace lull {

// Where a plain connection's bytes arrive: shared by all, so that an idle one holds no buffer.
using ReadScratch = std::array<char, size_t{64} << 10>;

class ByteStream {
 public:
  using Error = boost::system::error_code;
  using Done = std::function<void(Error)>;
  // What was read, valid during the call; empty where there is an error.
  using ReadDone = std::function<void(Error, std::string_view)>;
  using WriteDone = std::function<void(Error, size_t)>;

  virtual ~ByteStream() = default;
  virtual void Handshake(Done done) = 0;
  virtual void Read(ReadDone done) = 0;
  // Writes some of bytes, which stay valid until done.
  virtual void Write(std::string_view bytes, WriteDone done) = 0;
  // The client reads an end; reading goes on.
  virtual void EndWriting(Done done) = 0;
  virtual void Close() = 0;
  virtual boost::asio::any_io_executor executor() = 0;
};

std::unique_ptr<ByteStream> MakePlainStream(boost::asio::ip::tcp::socket socket,
                                            ReadScratch& scratch);
std::unique_ptr<ByteStream> MakeTlsStream(boost::asio::ip::tcp::socket socket,
                                          boost::asio::ssl::context& context);

}  // namespace lull
