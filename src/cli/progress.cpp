#include "cli/progress.h"

#include <algorithm>
#include <utility>

#include "cli/format.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::string_view kEraseLine = "\r\033[K";

}  // namespace

Progress::Progress(Console& console, std::string label, Form form)
    : console_(console), label_(std::move(label)), form_(form) {}

Progress::~Progress() { finish(); }

void Progress::update(double fraction, const std::string& detail) {
  if (is_finished_) return;
  fraction = std::clamp(fraction, 0.0, 1.0);
  if (console_.err_is_terminal()) {
    // Ten times a second is as often as anyone can see.
    const TimePoint now = Clock::real().now();
    if (is_drawn_ && fraction < 1.0 && now - last_drawn_ < std::chrono::milliseconds(100)) return;
    last_drawn_ = now;
    draw(fraction, detail);
    return;
  }
  if (form_ == Form::kQuiet) return;
  const int quarters = static_cast<int>(fraction * 4.0);
  if (quarters <= quarters_told_) return;
  quarters_told_ = quarters;
  console_.write_error(label_ + ": " + std::to_string(quarters * 25) + " %\n");
}

void Progress::finish() {
  if (is_drawn_) console_.write_error(kEraseLine);
  is_drawn_ = false;
  is_finished_ = true;
}

void Progress::draw(double fraction, const std::string& detail) {
  const auto filled = static_cast<std::size_t>(fraction * static_cast<double>(kBarWidth));
  std::string percent = format_number(fraction * 100.0, 0) + " %";
  percent.insert(0, 5 - std::min<std::size_t>(5, percent.size()), ' ');
  std::string line =
      label_ + "  [" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " + percent;
  if (!detail.empty()) line += "  " + detail;
  // A line that wraps could not be erased; one too wide is shown by its percentage alone.
  if (count_characters(line) >= console_.columns()) line = percent;
  console_.write_error(std::string(kEraseLine) + line);
  is_drawn_ = true;
}

}  // namespace mlxd::cli
