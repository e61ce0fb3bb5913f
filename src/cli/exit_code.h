// Exit codes of errors that come before a command begins. A pure function.
#pragma once

#include "base/error.h"

namespace mlxd::cli {

/// Of settings that cannot be resolved: a wrong value was wrongly called (kExitUsage), a damaged database was
/// not (kExitFailure).
int exit_code_of(const Error& settings_error);

}  // namespace mlxd::cli
