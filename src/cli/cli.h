// The command line: parses, runs one verb, prints its error, returns the exit code:
// 0 ok, 2 usage, 3 model or input, 4 budget impossible.
#pragma once

namespace lull {

int RunCli(int argc, char** argv);

}  // namespace lull
