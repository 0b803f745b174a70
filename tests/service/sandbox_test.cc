// A server in a sandbox: what an endpoint may try, and that serving goes on.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/os.h"
#include "base/os/sandbox.h"
#include "service/http/server.h"
#include "tests/support/raw_client.h"

namespace lull {
namespace {

// Serves until it is killed: /run says whether a program could be started.
[[noreturn]] void ServeSandboxed(int port_pipe) {
  const auto created =
      HttpServer::Create({}, [](const HttpRequest& request, std::shared_ptr<Responder> responder) {
        std::string text = "served";
        if (request.path == "/run") text = os::RunCommand({"true"}).ok() ? "started" : "refused";
        responder->Send({200, "text/plain", text, {}});
      });
  int port = created.ok() ? (*created)->port() : 0;
  if (port != 0 && !os::EnterSandbox().ok()) port = -1;
  if (write(port_pipe, &port, sizeof port) != sizeof port || port <= 0) _exit(1);
  (*created)->Run(false);
  _exit(0);
}

TEST(SandboxedServer, StartsNoProgramAndServesOn) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const pid_t pid = fork();
  if (pid == 0) ServeSandboxed(fds[1]);
  int port = 0;
  ASSERT_EQ(read(fds[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
  if (port == -1) GTEST_SKIP() << "no filters here";
  const auto ask = [&](const char* path) {
    Client client(port);
    client.Send(RequestText("GET", path, ""));
    return ReplyOf(client.ReadAll()).body;
  };
  EXPECT_EQ(ask("/"), "served");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask("/run"), "refused");
  EXPECT_EQ(ask("/"), "served");
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0) << "it has ended";
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace lull
