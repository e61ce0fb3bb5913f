// The Date header's form (RFC 9110, section 5.6.7).
#pragma once

#include <cstdint>
#include <string>

namespace mlxd::http {

/// "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date(std::int64_t wall_seconds);

}  // namespace mlxd::http
