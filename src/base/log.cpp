#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace mlxd::log {

Result<void> configure(std::string_view level) {
  const auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off && level != "off") {
    return invalid_argument(
        "log level '" + std::string(level) + "' is unknown: use trace, debug, info, warn, error or off",
        "log_level");
  }
  auto logger = spdlog::get("mlxd");
  if (!logger) {
    logger = spdlog::stderr_color_mt("mlxd");
    spdlog::set_default_logger(logger);
  }
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%-5l%$ %v");
  spdlog::set_level(parsed);
  return {};
}

}  // namespace mlxd::log
