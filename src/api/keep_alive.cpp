#include "api/keep_alive.h"

#include <string>

#include "api/field_reader.h"
#include "base/duration_text.h"

namespace mlxd::api {

Result<Duration> read_duration(const boost::json::value& value, std::string_view field) {
  constexpr double kMostSeconds = 10.0 * 365 * 24 * 3600;
  if (value.is_string()) {
    const auto duration = parse_duration(TRY(read_string(value, field)));
    if (duration.ok()) return duration;
    return invalid_argument(std::string(field) + ": " + duration.error().message, std::string(field));
  }
  if (!value.is_number()) return wrong_type(value, field, "a number of seconds or a text like \"5m\"");
  const float seconds = TRY(read_number(value, field, -kMostSeconds, kMostSeconds));
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(static_cast<double>(seconds)));
}

}  // namespace mlxd::api
