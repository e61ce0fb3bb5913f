// Names that a person may have meant. Pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd {

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string
/// alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// Up to `count` of `candidates`, nearest to `name` first, letter case ignored. A candidate that contains the
/// name (or, for "org/name", its last part) comes before all others.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates,
                                       std::size_t count);

/// Whether `written` is near enough to be `meant` with a slip of the pen and not another word: at most three
/// edits, and at most half as many as it has letters. Letter case ignored.
bool is_slip(std::string_view written, std::string_view meant);

}  // namespace mlxd
