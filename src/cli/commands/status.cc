#include <chrono>
#include <cstdio>
#include <thread>

#include "base/os/os.h"
#include "cli/command.h"
#include "cli/server_link.h"
#include "cli/status_text.h"

namespace lull {
namespace {

// The server counts while somebody watches: figures of now need two looks.
constexpr auto kBetweenLooks = std::chrono::milliseconds(1100);

class StatusCommand : public Command {
 public:
  const char* name() const override { return "status"; }
  const char* help() const override {
    return "Show what a running server uses of its budget, its queue and its last requests";
  }
  void AddOptions(CLI::App& app) override {
    link_.AddTo(app);
    app.add_flag("--watch", watch_,
                 "one line, drawn anew every second, until the server ends; plain lines where "
                 "stdout is no terminal");
    app.add_option("--seconds", seconds_, "with --watch: end after so many")
        ->check(CLI::Range(1, 1 << 24));
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const std::string where, link_.url());
    LULL_RETURN_IF_ERROR(link_.Get(kPath).status());
    if (watch_) return Watch();
    std::this_thread::sleep_for(kBetweenLooks);
    LULL_ASSIGN_OR_RETURN(const Json stats, link_.Get(kPath));
    if (json)
      PrintJson(stats);
    else
      fputs(StatusScreen(stats, where, Painter(1)).c_str(), stdout);
    return Status();
  }

 private:
  static constexpr char kPath[] = "/dash/stats";

  Status Watch() {
    const bool terminal = os::IsTerminal(1);
    for (int second = 0; seconds_ == 0 || second < seconds_; ++second) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      const Result<Json> stats = link_.Get(kPath);
      if (!stats.ok()) break;  // the server has ended
      if (json)
        PrintJson(*stats);
      else
        printf(terminal ? "\r\033[K%s" : "%s\n", GaugeLine(*stats, Painter(1)).c_str());
      fflush(stdout);
    }
    if (terminal && !json) printf("\n");
    return Status();
  }

  ServerLink link_;
  bool watch_ = false;
  int seconds_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeStatusCommand() { return std::make_unique<StatusCommand>(); }

}  // namespace lull
