#include <cstdio>
#include <fstream>

#include "cli/command.h"
#include "cli/output.h"
#include "evidence/chain.h"
#include "evidence/report.h"

namespace lull {
namespace {

class ReportCommand : public Command {
 public:
  const char* name() const override { return "report"; }
  const char* help() const override { return "Write a file of records as Markdown or HTML"; }
  void AddOptions(CLI::App& app) override {
    app.add_option("file", path_, "the file of records")->required();
    app.add_flag("--html", html_, "one HTML page with its drawings instead of Markdown");
    app.add_option("--svg", svg_line_, "the drawing of the record on this line alone, as SVG")
        ->check(CLI::Range(1, 1'000'000'000));
    app.add_option("-o,--output", output_, "write here instead of stdout");
    app.add_option("--last", last_, "only so many of the last records")
        ->check(CLI::Range(1, 1'000'000));
  }

  Status Run() override {
    LULL_ASSIGN_OR_RETURN(const ChainReport chain, VerifyChain(path_, ""));
    LULL_ASSIGN_OR_RETURN(const std::string records, ReadWholeFile(path_));
    const EvidenceReport report(path_, records, chain, last_);
    std::string text;
    if (svg_line_ > 0) {
      const std::optional<std::string> svg = report.Svg(svg_line_);
      if (!svg.has_value())
        return Status(ErrorCode::kNotFound, "no drawing of this line", std::to_string(svg_line_),
                      "name the line of a budget bench");
      text = *svg + "\n";
    } else {
      text = html_ ? report.Html() : report.Markdown();
    }
    if (output_.empty()) {
      fwrite(text.data(), 1, text.size(), stdout);
      return Status();
    }
    std::ofstream file(output_, std::ios::binary);
    file << text;
    file.close();
    if (!file) return Status(ErrorCode::kIo, "cannot write the report", output_);
    return Status();
  }

 private:
  std::string path_, output_;
  bool html_ = false;
  size_t last_ = 0;
  int64_t svg_line_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeReportCommand() { return std::make_unique<ReportCommand>(); }

}  // namespace lull
