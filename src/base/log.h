// Logging: one process-wide logger to standard error, level from --log-level / MLXD_LOG_LEVEL.
// Thread-safe. An error is logged once, where it is handled. Never log prompts, completions or secrets.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

#include "base/result.h"

namespace mlxd::log {

/// Sets format and level ("trace" "debug" "info" "warn" "error" "off"); call once at start.
Result<void> configure(std::string_view level);

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::trace;
using spdlog::warn;

}  // namespace mlxd::log
