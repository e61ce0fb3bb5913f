// How an answer tells what of its request was let be: in the header x-mlxd-ignored.
#pragma once

#include <string>
#include <vector>

#include "http/message.h"

namespace mlxd {

/// The fields with commas between, as many as a header may hold.
std::string as_header(const std::vector<std::string>& fields);

/// Adds the header; nothing if no field was let be.
void add_ignored(const std::string& fields, http::Response& response);

}  // namespace mlxd
