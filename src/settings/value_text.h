// Values as people write them on a command line and in files: whole numbers, switches (sizes and decimal
// numbers: base/size_text.h). Pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// A whole number within [low, high]. Errors: kInvalidArgument quoting the text and the range.
Result<std::int64_t> parse_integer(std::string_view text, std::int64_t low, std::int64_t high);
/// "true", "yes", "on", "1" and their opposites. Errors: kInvalidArgument quoting the text.
Result<bool> parse_switch(std::string_view text);

}  // namespace mlxd
