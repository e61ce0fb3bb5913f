// Numbers as people read and write them: sizes, durations, ages, counts. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd::cli {

/// Decimal units, three significant digits: "812 B", "97.2 MB", "1.24 GB".
std::string format_bytes(std::uint64_t bytes);
/// "0.8 ms", "340 ms", "2.35 s", "2 min 5 s", "1 h 2 min".
std::string format_duration(double seconds);
/// How long ago: "just now", "5 minutes ago", "3 days ago"; a time in the future is "just now".
std::string format_age(std::int64_t seconds);
/// "512", "134.5M", "1.24B".
std::string format_count(std::int64_t count);
/// Digits grouped by commas: "131,072".
std::string format_grouped(std::int64_t count);
/// Fixed decimals: format_number(3.14159, 2) is "3.14".
std::string format_number(double value, int decimals);
/// "87 %" of 87 and 100; "-" of nothing.
std::string format_share(std::uint64_t part, std::uint64_t whole);

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
/// ASCII letters in lower case; other bytes as they are.
std::string to_lower(std::string_view text);

}  // namespace mlxd::cli
