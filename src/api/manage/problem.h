// Errors of the management API: application/problem+json (RFC 9457). Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace mlxd::api::manage {

inline constexpr std::string_view kProblemType = "application/problem+json";

/// `title`: the status's reason phrase. `code` is the error's kind; `field` stands only where one is at
/// fault.
std::string encode_problem(int status, std::string_view title, const Error& error, std::string_view path,
                           std::string_view request_id);

}  // namespace mlxd::api::manage
