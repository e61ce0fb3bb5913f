// Letters of ASCII without the locale; other bytes stay as they are.
#pragma once

#include <string>
#include <string_view>

namespace mlxd {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = to_lower(c);
  return lower;
}

}  // namespace mlxd
