// Errors of the management routes as RFC 9457 has them: application/problem+json. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace mlxd::api::manage {

inline constexpr std::string_view kProblemType = "application/problem+json";

/// {"type":"about:blank","title":REASON,"status":STATUS,"detail":MESSAGE,"code":KIND,"field":…}; `title` is
/// the status's reason phrase. `field` only where the error names one.
std::string encode_problem(int status, std::string_view title, const Error& error);

}  // namespace mlxd::api::manage
