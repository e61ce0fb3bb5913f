#include "settings/value_text.h"

#include <charconv>
#include <limits>
#include <string>

#include "base/ascii.h"

namespace mlxd {

Result<std::int64_t> parse_integer(std::string_view text, std::int64_t low, std::int64_t high) {
  const std::string_view plain = trim(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (plain.empty() || error != std::errc() || end != plain.data() + plain.size() || value < low ||
      value > high) {
    const std::string range = high == std::numeric_limits<std::int64_t>::max()
                                  ? std::to_string(low) + " or more"
                                  : "from " + std::to_string(low) + " to " + std::to_string(high);
    return invalid_argument("'" + std::string(text) + "' is not a whole number " + range);
  }
  return value;
}

Result<bool> parse_switch(std::string_view text) {
  const std::string value = to_lower(trim(text));
  if (value == "true" || value == "yes" || value == "on" || value == "1") return true;
  if (value == "false" || value == "no" || value == "off" || value == "0") return false;
  return invalid_argument("'" + std::string(text) + "' is neither on nor off");
}

}  // namespace mlxd
