#include "cli/text_chart.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "cli/format.h"

namespace mlxd::cli {
namespace {

constexpr std::size_t kNumBins = 10;
constexpr double kFarBelow = 1.0 / 16.0;  // of the median
constexpr double kLeastWidening = 1.1;    // from the lowest edge to the highest
constexpr std::size_t kNarrowestBar = 8;

std::string edge_text(double value) {
  const int decimals = value >= 100.0 ? 0 : value >= 10.0 ? 1 : value >= 1.0 ? 2 : 3;
  return format_number(value, decimals);
}

std::string padded(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

}  // namespace

std::string histogram_chart(std::string_view title, const std::vector<double>& values, std::size_t columns) {
  if (values.empty()) return "";
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  const double low = std::max({sorted.front(), median * kFarBelow, 0.001});
  const double high = std::max(sorted.back(), low * kLeastWidening);
  const double step = std::log(high / low) / static_cast<double>(kNumBins);

  std::array<std::size_t, kNumBins> counts{};
  for (const double value : sorted) {
    const double at = value <= low ? 0.0 : std::log(value / low) / step;
    ++counts[std::min(static_cast<std::size_t>(at), kNumBins - 1)];
  }

  std::array<std::string, kNumBins + 1> edges;
  std::size_t edge_width = 0;
  for (std::size_t i = 0; i <= kNumBins; ++i) {
    edges[i] = edge_text(low * std::exp(step * static_cast<double>(i)));
    edge_width = std::max(edge_width, edges[i].size());
  }
  edges.front() = edge_text(sorted.front());
  edge_width = std::max(edge_width, edges.front().size());
  const std::size_t most = *std::max_element(counts.begin(), counts.end());
  const std::size_t count_width = std::to_string(most).size();
  const std::size_t taken = 2 + edge_width + 3 + edge_width + 2 + 1 + count_width;
  const std::size_t bar_width = columns > taken + kNarrowestBar ? columns - taken : kNarrowestBar;

  std::string chart = std::string(title) + "\n";
  for (std::size_t i = 0; i < kNumBins; ++i) {
    // Something is never shown as nothing.
    const std::size_t bar = counts[i] == 0 ? 0 : std::max<std::size_t>(1, counts[i] * bar_width / most);
    chart += "  " + padded(edges[i], edge_width) + " - " + padded(edges[i + 1], edge_width) + " |" +
             std::string(bar, '#') + (bar == 0 ? "" : " ") +
             (counts[i] == 0 ? "" : std::to_string(counts[i])) + "\n";
  }
  return chart;
}

}  // namespace mlxd::cli
