// `mlxd bench` with a workload: against a model of this process or servers. A part of the bench command.
#pragma once

#include "base/result.h"
#include "cli/commands.h"

namespace mlxd::cli {

/// Errors: kInvalidArgument for options that do not go together; the caller's usage error.
Result<void> check_load_options(const BenchCommandOptions& options);

/// For options that were checked. Fails if a target answers nothing; single failures are in the report.
Result<int> bench_load_command(const CommandContext& context, const BenchCommandOptions& options,
                               const Settings& settings);

}  // namespace mlxd::cli
