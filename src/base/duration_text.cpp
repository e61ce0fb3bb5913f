#include "base/duration_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/size_text.h"

namespace mlxd {
namespace {

constexpr double kMostSeconds = 10.0 * 365 * 24 * 3600;

constexpr std::array<std::pair<std::string_view, double>, 5> kUnits{
    {{"d", 86400.0}, {"h", 3600.0}, {"m", 60.0}, {"s", 1.0}, {"ms", 0.001}}};

Error not_a_duration(std::string_view text) {
  return invalid_argument("'" + std::string(text.substr(0, 60)) +
                          "' is not a duration: write seconds or e.g. 30s, 5m, 1h30m");
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  if (rest.empty()) return not_a_duration(text);
  double seconds = 0.0;
  bool bare = false;
  for (bool first = true; !rest.empty(); first = false) {
    if (bare) return not_a_duration(text);
    const std::size_t digits = std::min(rest.find_first_not_of(".0123456789"), rest.size());
    const auto number = parse_decimal_number(rest.substr(0, digits));
    if (!number.ok()) return not_a_duration(text);
    rest.remove_prefix(digits);
    const std::size_t length = std::min(rest.find_first_of(".0123456789"), rest.size());
    const std::string_view unit = rest.substr(0, length);
    rest.remove_prefix(length);
    double factor = 0.0;
    for (const auto& [name, value] : kUnits) {
      if (unit == name) factor = value;
    }
    if (unit.empty() && first) {
      factor = 1.0;
      bare = true;
    }
    if (factor == 0.0) return not_a_duration(text);
    seconds += *number * factor;
  }
  if (seconds > kMostSeconds)
    return invalid_argument("'" + std::string(text.substr(0, 60)) + "' is longer than ten years");
  const auto duration = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  return negative ? -duration : duration;
}

}  // namespace mlxd
