// Numbers and sizes as people write them. Pure functions, the same in every locale.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// A decimal number; white space around it is fine. Errors: kInvalidArgument quoting the text.
Result<double> parse_decimal_number(std::string_view text);
/// "512MB" (decimal), "4GiB", "4G" (binary, as K, M, G, T alone are), "1.5 gb"; a bare number is bytes.
/// Errors: kInvalidArgument quoting the text.
Result<std::uint64_t> parse_size(std::string_view text);

/// A size, or a part of some whole.
struct MemorySize {
  std::uint64_t bytes = 0;
  double percent = 0.0;  // above 0: in place of bytes
};
/// As parse_size, or "50%": above 0, at most 100.
Result<MemorySize> parse_memory_amount(std::string_view text);

}  // namespace mlxd
