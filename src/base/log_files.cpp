#include "base/log_files.h"

#include <spdlog/sinks/rotating_file_sink.h>

#include <exception>
#include <memory>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace mlxd::log {

Result<void> keep_files(const std::filesystem::path& folder, std::size_t max_bytes, std::size_t num_files) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) return io_error("cannot make the folder " + folder.string(), code.value());
  try {
    auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>((folder / "mlxd.log").string(),
                                                                       max_bytes, num_files - 1);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e %-5l %v");
    const auto logger = spdlog::default_logger();
    logger->sinks().push_back(std::move(sink));
    logger->flush_on(spdlog::level::info);
  } catch (const std::exception& failure) {
    return Error(ErrorKind::kIo, "cannot write " + (folder / "mlxd.log").string() + ": " + failure.what());
  }
  return {};
}

}  // namespace mlxd::log
