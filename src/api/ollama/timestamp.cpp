#include "api/ollama/timestamp.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace mlxd::api::ollama {

std::string timestamp(WallTime time) {
  using std::chrono::nanoseconds;
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  const std::int64_t total = std::chrono::duration_cast<nanoseconds>(time.time_since_epoch()).count();
  const std::int64_t fraction = ((total % kPerSecond) + kPerSecond) % kPerSecond;
  const auto seconds = static_cast<std::time_t>((total - fraction) / kPerSecond);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%09lldZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<long long>(fraction));
  return text.data();
}

std::string timestamp_of_seconds(std::int64_t since_1970) {
  // What does not fit the clock's range is no time anyone meant.
  constexpr std::int64_t kMost = 9'000'000'000;
  return timestamp(WallTime(std::chrono::duration_cast<WallTime::duration>(
      std::chrono::seconds(since_1970 < 0       ? 0
                           : since_1970 > kMost ? kMost
                                                : since_1970))));
}

}  // namespace mlxd::api::ollama
