// Reads a secret: from a terminal without showing it, otherwise the first line of standard input. A function.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/console.h"

namespace mlxd::cli {

/// `twice`: at a terminal it is asked for again, and both must agree. Errors: kInvalidArgument (nothing, or
/// two that differ).
Result<std::string> read_secret(Console& console, std::string_view what, bool twice);

}  // namespace mlxd::cli
