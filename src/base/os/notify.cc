#include "base/os/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace lull::os {

Status NotifyServiceManager(const std::string& socket_path, const std::string& state) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.empty() || socket_path.size() >= sizeof address.sun_path ||
      (socket_path[0] != '/' && socket_path[0] != '@'))
    return Status(ErrorCode::kUsage, "not the path of a Unix socket", socket_path);
  memcpy(address.sun_path, socket_path.data(), socket_path.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_path.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return Status(ErrorCode::kIo, std::string("no socket: ") + strerror(errno), socket_path);
  const ssize_t sent = sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), length);
  const int error = errno;
  close(fd);
  if (sent < 0)
    return Status(ErrorCode::kIo, std::string("cannot send: ") + strerror(error), socket_path);
  return Status();
}

}  // namespace lull::os
