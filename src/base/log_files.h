// Log files beside standard error. A function.
#pragma once

#include <cstddef>
#include <filesystem>

#include "base/result.h"

namespace mlxd::log {

/// Also writes to FOLDER/mlxd.log; at `max_bytes` it becomes mlxd.1.log and so on, `num_files` files in all.
/// Call once, after configure and before other threads log. Errors: kIo.
Result<void> keep_files(const std::filesystem::path& folder, std::size_t max_bytes, std::size_t num_files);

}  // namespace mlxd::log
