#include "base/os/os.h"
#include "cli/cli.h"

int main(int argc, char** argv) {
  lull::os::SpreadAllocatorWork();
  return lull::RunCli(argc, argv);
}
