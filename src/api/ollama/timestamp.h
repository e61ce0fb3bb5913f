// Times as Ollama's clients read them. Pure.
#pragma once

#include <chrono>
#include <string>

namespace mlxd::api::ollama {

using WallTime = std::chrono::system_clock::time_point;

/// RFC 3339 in UTC with nanoseconds: "2026-11-27T05:41:00.123456789Z".
std::string timestamp(WallTime time);
std::string timestamp_of_seconds(std::int64_t since_1970);

}  // namespace mlxd::api::ollama
