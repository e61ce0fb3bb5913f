#include "base/size_text.h"

#include <gtest/gtest.h>

#include "base/duration_text.h"

namespace mlxd {
namespace {

using namespace std::chrono_literals;

TEST(MemoryAmount, is_a_size_or_a_part) {
  EXPECT_EQ(parse_memory_amount("4GB")->bytes, 4'000'000'000U);
  EXPECT_EQ(parse_memory_amount(" 1GiB ")->bytes, 1U << 30U);
  EXPECT_EQ(parse_memory_amount("0")->bytes, 0U);
  EXPECT_EQ(parse_memory_amount("50%")->percent, 50.0);
  EXPECT_EQ(parse_memory_amount("12.5 %")->percent, 12.5);
  for (const char* wrong : {"", "%", "0%", "101%", "-5%", "half", "4 hats", "50%%"})
    EXPECT_FALSE(parse_memory_amount(wrong).ok()) << wrong;
}

TEST(DurationText, reads_what_people_write) {
  const std::pair<const char*, Duration> cases[] = {
      {"0", 0s},   {"300", 300s},    {"5m", 5min}, {"1h30m", 90min},        {"1.5h", 90min},
      {"-1", -1s}, {"250ms", 250ms}, {"2d", 48h},  {"1m30s500ms", 90500ms}, {"0.5", 500ms},
  };
  for (const auto& [text, duration] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, duration) << text;
  }
  for (const char* wrong : {"", "-", "m", "5x", "5m3", "5 m", "1e5", "1..5s", "--1", "100000d", "inf", "nan"})
    EXPECT_FALSE(parse_duration(wrong).ok()) << wrong;
}

}  // namespace
}  // namespace mlxd
