// Numbers as people read them: sizes, durations, ages, counts; size_text.h and value_text.h have how they
// write them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ascii.h"
#include "base/result.h"
#include "base/size_text.h"
#include "settings/value_text.h"

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

}  // namespace mlxd::cli
