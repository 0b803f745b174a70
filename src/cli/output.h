// How the command line talks: errors, progress, where files live.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "lull/status.h"

namespace lull {

using Json = nlohmann::ordered_json;

int ExitCode(ErrorCode code);
// Text on stderr; with json also {"error":{...}} on stdout.
void PrintError(const Error& error, bool json);
void PrintJson(const Json& value);

// One line on stderr, redrawn in place on a terminal; silent elsewhere but for its end.
class ProgressBar {
 public:
  ~ProgressBar() { Finish(); }
  void Update(const std::string& label, uint64_t done, uint64_t total, const char* unit);
  void Finish();

 private:
  bool drawn_ = false;
  std::string label_;
};

// $LULL_HOME, else $XDG_DATA_HOME/lull, else ~/.local/share/lull; models lie under models/.
std::string DataFolder();
std::string ModelsFolder();

// kUsage where writing `out` would replace something that is read for it: one of `inputs`, or a
// file of one that is a folder. Empty names are passed over.
Status CheckNotAnInput(const std::string& out, std::initializer_list<std::string> inputs);

// 1 GiB at most: no verb has use for more.
Result<std::string> ReadWholeFile(const std::string& path);
Result<std::string> ReadStdin();
// An error where anything that went to stdout was lost.
Status FlushStdout();

}  // namespace lull
