// Names for requests and answers that no two share. Thread-safe.
#pragma once

#include <cstddef>
#include <string>

namespace mlxd::http {

/// `size` random letters and digits.
std::string random_id(std::size_t size);

/// "req_" and 24 random letters and digits.
std::string new_request_id();

}  // namespace mlxd::http
