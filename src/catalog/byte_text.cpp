#include "catalog/byte_text.h"

#include <array>
#include <cstdio>

namespace mlxd {

std::string byte_text(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000.0;
    ++unit;
  }
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s",
                value >= 99.95   ? 0
                : value >= 9.995 ? 1
                                 : 2,
                value, kUnits[unit]);
  return text.data();
}

}  // namespace mlxd
