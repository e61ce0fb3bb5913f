// Values of a URL's query. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// One value of "a=b&c=d", decoded; absent if it is not there. Errors name the key.
Result<std::optional<std::string>> query_value(std::string_view query, std::string_view key);
/// The same as a number from 0 to `max`.
Result<std::int64_t> query_number(std::string_view query, std::string_view key, std::int64_t otherwise,
                                  std::int64_t max);

}  // namespace mlxd
