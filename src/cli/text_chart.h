// Numbers as a picture of plain characters. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd::cli {

/// A histogram: a title line, then up to ten lines with the range, a bar and the count, none wider than
/// `columns` if that leaves room for a bar at all (from about 40). Ranges grow by a constant factor; the
/// first also holds what is far below the median, so that a few tiny values do not stretch it. Empty for no
/// values.
std::string histogram_chart(std::string_view title, const std::vector<double>& values, std::size_t columns);

}  // namespace mlxd::cli
