#include "service/http/address.h"

#include <boost/asio/ip/address.hpp>

namespace lull {

namespace ip = boost::asio::ip;

bool IsIpAddress(const std::string& text) {
  boost::system::error_code ec;
  ip::make_address(text, ec);
  return !ec;
}

bool IsLoopbackAddress(const std::string& text) {
  boost::system::error_code ec;
  const ip::address address = ip::make_address(text, ec);
  return !ec && address.is_loopback();
}

}  // namespace lull
