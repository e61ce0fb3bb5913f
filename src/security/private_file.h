// Small files that only their owner may read. Functions.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// Replaces `file` by one of mode 0600 with `text` in it, at once and for good: a reader sees the old or the
/// new, and a power cut leaves one of them. Errors: kIo.
Result<void> write_private_file(const std::filesystem::path& file, std::string_view text);

}  // namespace mlxd
