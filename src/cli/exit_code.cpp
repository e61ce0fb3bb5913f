#include "cli/exit_code.h"

#include "cli/commands.h"

namespace mlxd::cli {

int exit_code_of(const Error& settings_error) {
  const bool is_about_a_setting =
      !settings_error.field.empty() || settings_error.kind == ErrorKind::kInvalidArgument;
  return is_about_a_setting ? kExitUsage : kExitFailure;
}

}  // namespace mlxd::cli
