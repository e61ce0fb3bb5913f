#include "cli/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/size_text.h"

namespace mlxd::cli {
namespace {

// Three significant digits: 9.87, 98.7, 987.
std::string three_digits(double value) {
  return format_number(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string scaled(double value, const char* const* units, std::size_t num_units) {
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < num_units) {
    value /= 1000.0;
    ++unit;
  }
  return three_digits(value) + units[unit];
}

std::string plural(std::int64_t count, const char* unit) {
  return std::to_string(count) + " " + unit + (count == 1 ? "" : "s");
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  constexpr std::array kUnits{" kB", " MB", " GB", " TB", " PB", " EB"};
  return scaled(static_cast<double>(bytes) / 1000.0, kUnits.data(), kUnits.size());
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0.0) || std::isinf(seconds)) return "?";
  if (seconds < 0.00995) return format_number(seconds * 1000.0, 1) + " ms";
  if (seconds < 0.9995) return format_number(seconds * 1000.0, 0) + " ms";
  if (seconds < 59.995) return format_number(seconds, 2) + " s";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

std::string format_age(std::int64_t seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return plural(seconds / 60, "minute") + " ago";
  if (seconds < 86400) return plural(seconds / 3600, "hour") + " ago";
  if (seconds < 86400 * 14) return plural(seconds / 86400, "day") + " ago";
  if (seconds < 86400 * 60) return plural(seconds / (86400 * 7), "week") + " ago";
  if (seconds < 86400 * 730) return plural(seconds / (86400 * 30), "month") + " ago";
  return plural(seconds / (86400 * 365), "year") + " ago";
}

std::string format_count(std::int64_t count) {
  if (count < 1000) return std::to_string(count);
  constexpr std::array kUnits{"K", "M", "B", "T"};
  return scaled(static_cast<double>(count) / 1000.0, kUnits.data(), kUnits.size());
}

std::string format_grouped(std::int64_t count) {
  std::string digits = std::to_string(count);
  const std::ptrdiff_t first = count < 0 ? 1 : 0;
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > first; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string format_share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  return format_number(100.0 * static_cast<double>(part) / static_cast<double>(whole), 0) + " %";
}

std::string format_number(double value, int decimals) {
  std::array<char, 64> buffer{};
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, decimals);
  return error == std::errc() ? std::string(buffer.data(), end) : "?";
}

}  // namespace mlxd::cli
