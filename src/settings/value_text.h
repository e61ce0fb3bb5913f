// Values as people write them on a command line and in files: sizes, numbers, switches. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// "512MB" (decimal), "4GiB", "4G" (binary, as K, M, G, T alone are), "1.5 gb"; a bare number is bytes.
/// Errors: kInvalidArgument quoting the text.
Result<std::uint64_t> parse_bytes(std::string_view text);
/// A whole number within [low, high]. Errors: kInvalidArgument quoting the text and the range.
Result<std::int64_t> parse_integer(std::string_view text, std::int64_t low, std::int64_t high);
/// A finite decimal number, the same in every locale. Errors: kInvalidArgument quoting the text.
Result<double> parse_decimal(std::string_view text);
/// "true", "yes", "on", "1" and their opposites. Errors: kInvalidArgument quoting the text.
Result<bool> parse_switch(std::string_view text);

/// `text` without white space at either end.
std::string_view trim(std::string_view text);

}  // namespace mlxd
