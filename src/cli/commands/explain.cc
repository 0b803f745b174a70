#include <cstdio>

#include "cli/command.h"
#include "cli/server_link.h"
#include "cli/status_text.h"

namespace lull {
namespace {

bool IsRequestId(const std::string& id) {
  constexpr char kAllowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:";
  return !id.empty() && id.size() <= 128 && id.find_first_not_of(kAllowed) == std::string::npos;
}

class ExplainCommand : public Command {
 public:
  const char* name() const override { return "explain"; }
  const char* help() const override {
    return "Tell where the time of one request of a running server went";
  }
  void AddOptions(CLI::App& app) override {
    app.add_option("request", id_,
                   "as the answer's X-Request-Id says, or \"lull\".\"request_id\" in it")
        ->required();
    link_.AddTo(app);
  }

  Status Run() override {
    if (!IsRequestId(id_))
      return Status(ErrorCode::kUsage, "not the id of a request: " + Printable(id_, 60), "request",
                    "lull status shows the last ones");
    LULL_ASSIGN_OR_RETURN(const Json request, link_.Get("/requests/" + id_));
    if (json)
      PrintJson(request);
    else
      fputs(Explanation(request, Painter(1)).c_str(), stdout);
    return Status();
  }

 private:
  std::string id_;
  ServerLink link_;
};

}  // namespace

std::unique_ptr<Command> MakeExplainCommand() { return std::make_unique<ExplainCommand>(); }

}  // namespace lull
