#include "base/size_text.h"

#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>
#include <string>

#include "base/ascii.h"

namespace mlxd {

Result<double> parse_decimal_number(std::string_view text) {
  // Not from_chars: libc++ has no floating-point form of it yet. Not strtod: it follows the locale.
  const std::string_view plain = trim(text);
  std::istringstream stream{std::string(plain)};
  stream.imbue(std::locale::classic());
  double value = 0.0;
  const bool decimal = plain.find_first_not_of("0123456789+-.eE") == std::string_view::npos;
  if (plain.empty() || !decimal || !(stream >> value) ||
      stream.peek() != std::istringstream::traits_type::eof())
    return invalid_argument("'" + std::string(text) + "' is not a number");
  return value;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto refuse = [&] {
    return invalid_argument("'" + std::string(text) +
                            "' is not a size: write for example 512MB, 4GB or 4GiB");
  };
  const std::string_view plain = trim(text);
  const std::size_t digits_end = std::min(plain.find_first_not_of("0123456789."), plain.size());
  const auto number = parse_decimal_number(plain.substr(0, digits_end));
  if (!number) return refuse();
  const std::string unit = to_lower(trim(plain.substr(digits_end)));

  double factor = 1.0;
  if (!unit.empty() && unit != "b") {
    const std::size_t power = std::string_view("kmgt").find(unit[0]);
    if (power == std::string_view::npos) return refuse();
    const std::string rest = unit.substr(1);
    if (rest != "" && rest != "b" && rest != "ib") return refuse();
    factor = std::pow(rest == "b" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  const double bytes = *number * factor;
  if (!(bytes < 9.0e18)) return refuse();
  return static_cast<std::uint64_t>(bytes);
}

Result<MemorySize> parse_memory_amount(std::string_view text) {
  const std::string_view plain = trim(text);
  if (!plain.ends_with('%')) return MemorySize{.bytes = TRY(parse_size(text))};
  const auto percent = parse_decimal_number(plain.substr(0, plain.size() - 1));
  if (percent.ok() && *percent > 0.0 && *percent <= 100.0) return MemorySize{.percent = *percent};
  return invalid_argument("'" + std::string(text.substr(0, 60)) +
                          "' is not a part of the memory: write for example 50%");
}

}  // namespace mlxd
