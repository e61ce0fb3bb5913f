// How long a model is to stay loaded, as clients say it: Ollama's keep_alive. A pure function.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace mlxd::api {

/// A number of seconds or a text like "5m"; negative: for ever, 0: not at all. Errors: kInvalidArgument.
Result<Duration> read_duration(const boost::json::value& value, std::string_view field);

}  // namespace mlxd::api
