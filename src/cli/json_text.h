// JSON as this program prints it for --json. A pure function.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace mlxd::cli {

/// Indented by two spaces, keys in their order, a final newline; numbers in plain decimals (Boost writes
/// 153.2 as 1.532E2, which is right but unreadable); arrays of plain values on one line.
std::string pretty_json(const boost::json::value& value);

}  // namespace mlxd::cli
