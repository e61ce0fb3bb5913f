// Names that a person may have meant. Pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd::cli {

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string
/// alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// Up to `count` of `candidates`, nearest to `name` first, letter case ignored. A candidate that contains the
/// name (or, for "org/name", its last part) comes before all others; one that shares nothing is left out.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates,
                                       std::size_t count);

}  // namespace mlxd::cli
