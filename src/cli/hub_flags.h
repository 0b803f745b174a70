// Where models come from: flags and environment of a hub.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "lull/status.h"
#include "store/hub.h"

namespace lull {

// HF_ENDPOINT, and the token: --token-file, else HF_TOKEN, else $HF_TOKEN_PATH, else
// $HF_HOME/token, else ~/.cache/huggingface/token where there is one.
struct HubFlags {
  std::string token_file;
  double stall_s = 30;
  int attempts = 6;
  int backoff_ms = 500;  // hidden: for tests
  int connect_ms = 20'000;

  void AddTo(CLI::App& app);
  Result<HubOptions> ToOptions() const;
};

}  // namespace lull
