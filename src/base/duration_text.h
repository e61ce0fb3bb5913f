// Durations as people and clients write them: "300", "5m", "1h30m", "-1". Pure functions.
#pragma once

#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace mlxd {

/// Numbers with units (ms, s, m, h, d), one after the other; a bare number is seconds. A leading '-' makes
/// it negative. Fractions are fine, at most ten years. Errors: kInvalidArgument quoting the text.
Result<Duration> parse_duration(std::string_view text);

}  // namespace mlxd
