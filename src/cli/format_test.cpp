#include "cli/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace mlxd::cli {
namespace {

TEST(Format, GivesBytesThreeDigitsInDecimalUnits) {
  const auto check = [](std::uint64_t bytes, const char* expected) {
    EXPECT_EQ(format_bytes(bytes), expected);
  };
  check(0, "0 B");
  check(999, "999 B");
  check(1000, "1.00 kB");
  check(97'154'321, "97.2 MB");
  check(999'499, "999 kB");
  check(999'500, "1.00 MB");
  check(1'239'000'000, "1.24 GB");
  check(std::numeric_limits<std::uint64_t>::max(), "18.4 EB");
}

TEST(Format, GivesDurationsAUnitThatFits) {
  const auto check = [](double seconds, const char* expected) {
    EXPECT_EQ(format_duration(seconds), expected);
  };
  check(0.0, "0.0 ms");
  check(0.0008, "0.8 ms");
  check(0.34, "340 ms");
  check(2.345, "2.35 s");
  check(125.0, "2 min 5 s");
  check(3725.0, "1 h 2 min");
  check(-1.0, "?");
}

TEST(Format, GivesAgesInWords) {
  const auto check = [](std::int64_t seconds, const char* expected) {
    EXPECT_EQ(format_age(seconds), expected);
  };
  check(-5, "just now");
  check(59, "just now");
  check(60, "1 minute ago");
  check(7200, "2 hours ago");
  check(86400 * 3, "3 days ago");
  check(86400 * 30, "4 weeks ago");
  check(86400 * 400, "13 months ago");
  check(86400 * 800, "2 years ago");
}

TEST(Format, ShortensAndGroupsCounts) {
  EXPECT_EQ(format_count(512), "512");
  EXPECT_EQ(format_count(134'515'008), "135M");
  EXPECT_EQ(format_count(1'235'814'400), "1.24B");
  EXPECT_EQ(format_grouped(512), "512");
  EXPECT_EQ(format_grouped(8192), "8,192");
  EXPECT_EQ(format_grouped(1'131'072), "1,131,072");
  EXPECT_EQ(format_grouped(-100), "-100");
  EXPECT_EQ(format_grouped(-1000), "-1,000");
}

TEST(Format, ReadsSizesWithDecimalAndBinaryUnits) {
  const auto check = [](const char* text, std::uint64_t expected) {
    const auto bytes = parse_size(text);
    ASSERT_TRUE(bytes.ok()) << text << ": " << bytes.error().message;
    EXPECT_EQ(*bytes, expected) << text;
  };
  check("0", 0);
  check("1024", 1024);
  check("512MB", 512'000'000);
  check("1.5 gb", 1'500'000'000);
  check("4GiB", 4ULL << 30U);
  check("4g", 4ULL << 30U);
  check(" 2K ", 2048);
}

TEST(Format, RefusesSizesItCannotRead) {
  for (const char* text : {"", "GB", "-1GB", "4 bananas", "4GBB", "1e30GB", "99999999999T", "nan", "4 G B"}) {
    const auto bytes = parse_size(text);
    ASSERT_FALSE(bytes.ok()) << text;
    EXPECT_NE(bytes.error().message.find("is not a size"), std::string::npos) << bytes.error().message;
  }
}

TEST(Format, ReadsOnlyWholeNumbersInRange) {
  EXPECT_EQ(*parse_integer("42", 0, 100), 42);
  EXPECT_EQ(*parse_integer(" -3 ", -5, 5), -3);
  for (const char* text : {"", "x", "4.5", "4x", "101", "-1", "99999999999999999999"}) {
    const auto value = parse_integer(text, 0, 100);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().message, "'" + std::string(text) + "' is not a whole number from 0 to 100");
  }
}

TEST(Format, ReadsDecimalsButNoWordsForThem) {
  EXPECT_DOUBLE_EQ(*parse_decimal_number("0.7"), 0.7);
  EXPECT_DOUBLE_EQ(*parse_decimal_number("1e-3"), 1e-3);
  for (const char* text : {"", "nan", "inf", "0x10", "0,7", "1.2.3", "--1"})
    EXPECT_FALSE(parse_decimal_number(text).ok()) << text;
}

TEST(Format, ReadsSwitches) {
  EXPECT_TRUE(*parse_switch("On"));
  EXPECT_TRUE(*parse_switch("1"));
  EXPECT_FALSE(*parse_switch("no"));
  EXPECT_FALSE(parse_switch("maybe").ok());
}

}  // namespace
}  // namespace mlxd::cli
