#include "cli/text_chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace mlxd::cli {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The counts at the lines' ends, added up.
std::size_t counted(const std::vector<std::string>& lines) {
  std::size_t sum = 0;
  for (std::size_t i = 1; i < lines.size(); ++i)
    if (lines[i].back() != '|') sum += std::stoul(lines[i].substr(lines[i].rfind(' ') + 1));
  return sum;
}

TEST(TextChart, KeepsWithinTheWidthAndCountsEveryValue) {
  std::vector<double> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(i * 0.37);
  for (const std::size_t columns : {40U, 80U, 200U}) {
    const auto lines = lines_of(histogram_chart("gaps (ms)", values, columns));
    ASSERT_EQ(lines.size(), 11U);
    EXPECT_EQ(lines[0], "gaps (ms)");
    EXPECT_EQ(counted(lines), 1000U);
    std::size_t widest = 0;
    for (const std::string& line : lines) widest = std::max(widest, line.size());
    EXPECT_EQ(widest, columns);  // the longest bar uses the room there is
  }
}

TEST(TextChart, IsNothingForNoValues) { EXPECT_EQ(histogram_chart("none", {}, 80), ""); }

TEST(TextChart, ShowsOneValueAndEqualValues) {
  for (const std::vector<double>& values :
       {std::vector<double>{5.0}, std::vector<double>(7, 5.0), std::vector<double>(3, 0.0)}) {
    const auto lines = lines_of(histogram_chart("t", values, 60));
    ASSERT_EQ(lines.size(), 11U);
    EXPECT_EQ(counted(lines), values.size());
  }
}

TEST(TextChart, ShowsASingleOutlierAsOneMark) {
  std::vector<double> values(10000, 10.0);
  values.push_back(1400.0);
  values.push_back(0.0001);
  const auto lines = lines_of(histogram_chart("t", values, 80));
  EXPECT_TRUE(lines.back().ends_with("|# 1")) << lines.back();
  EXPECT_EQ(counted(lines), values.size());
}

TEST(TextChart, UsesPlainCharactersInTheNarrowestTerminal) {
  const std::string chart = histogram_chart("t", {1.0, 2.0, 3000.0}, 1);
  EXPECT_TRUE(
      std::all_of(chart.begin(), chart.end(), [](char c) { return c == '\n' || (c >= ' ' && c < 127); }));
  EXPECT_EQ(counted(lines_of(chart)), 3U);
}

}  // namespace
}  // namespace mlxd::cli
