// Sizes for people. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace mlxd {

/// Decimal units, three digits: "812 B", "97.2 MB", "1.24 GB".
std::string byte_text(std::uint64_t bytes);

}  // namespace mlxd
