// The program's command line: flags to options, options to a command, errors to standard error and an exit
// code: 0 done, 1 failed, 2 wrongly called.
#pragma once

namespace mlxd::cli {

/// Runs the program. Called once, from main.
int run_command_line(int argc, const char* const* argv);

}  // namespace mlxd::cli
