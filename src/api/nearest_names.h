// "Did you mean …": the known names most like a wrong one.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd::api {

/// Up to `count` of `known`, by edit distance without case, most like first. Very long names are compared by
/// their first 200 bytes.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> known,
                                       std::size_t count);

/// Single-character edits between two names, without ASCII case.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace mlxd::api
