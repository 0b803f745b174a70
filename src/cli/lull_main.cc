#include "cli/cli.h"

int main(int argc, char** argv) { return lull::RunCli(argc, argv); }
