#include "cli/pull_view.h"

#include <algorithm>

#include "cli/format.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

constexpr std::size_t kBarWidth = 20;
constexpr std::size_t kMaxFiles = 8;
constexpr std::size_t kLabelWidth = 32;

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 1.0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() > width) text = "…" + text.substr(text.size() - width + 1);
  const std::size_t shown = count_characters(text);
  if (shown < width) text.append(width - shown, ' ');
  return text;
}

std::string total_detail(const DownloadStatus& status) {
  std::string text = format_bytes(status.present_bytes) + " of " + format_bytes(status.record.total_bytes);
  if (!status.waiting.empty()) return text + "  waiting: " + status.waiting;
  if (status.bytes_per_s > 0.0)
    text += "  " + format_bytes(static_cast<std::uint64_t>(status.bytes_per_s)) + "/s";
  if (status.seconds_left) text += "  " + format_duration(*status.seconds_left) + " left";
  return text;
}

}  // namespace

std::string bar_line(const std::string& label, std::uint64_t present, std::uint64_t total,
                     const std::string& detail, std::size_t columns) {
  const double done = share(present, total);
  const auto filled = static_cast<std::size_t>(done * static_cast<double>(kBarWidth));
  std::string percent = format_number(done * 100.0, 0) + " %";
  percent.insert(0, 5 - std::min<std::size_t>(5, percent.size()), ' ');
  const std::string bar =
      "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " + percent;
  std::string line = padded(label, kLabelWidth) + "  " + bar + "  " + detail;
  // A line that wraps could not be drawn over.
  if (count_characters(line) >= columns) line = padded(label, kLabelWidth) + "  " + percent;
  if (count_characters(line) >= columns) line = percent;
  return line;
}

void PullView::show(const DownloadStatus& status) {
  if (console_.err_is_terminal())
    draw(status);
  else
    print(status);
}

void PullView::finish() { erase(); }

void PullView::erase() {
  std::string text;
  for (; drawn_lines_ > 0; --drawn_lines_) text += "\033[1A\033[2K";
  if (!text.empty()) console_.write_error(text);
}

void PullView::draw(const DownloadStatus& status) {
  std::string text;
  std::size_t lines = 0;
  const std::size_t columns = console_.columns();
  for (const DownloadStatus::File& file : status.files) {
    if (file.done || file.present_bytes == 0 || lines >= kMaxFiles) continue;
    text += bar_line(file.path, file.present_bytes, file.size_bytes,
                     format_bytes(file.present_bytes) + " of " + format_bytes(file.size_bytes), columns) +
            "\n";
    ++lines;
  }
  const std::string label = status.files.empty() ? "asking the hub" : status.record.repository;
  const std::uint64_t total = status.files.empty() ? 1 : status.record.total_bytes;
  text += bar_line(label, status.present_bytes, total,
                   status.files.empty() ? status.waiting : total_detail(status), columns) +
          "\n";
  erase();
  console_.write_error(text);
  drawn_lines_ = lines + 1;
}

void PullView::print(const DownloadStatus& status) {
  for (const DownloadStatus::File& file : status.files)
    if (file.done && told_files_.insert(file.path).second)
      console_.write_error(file.path + "  " + format_bytes(file.size_bytes) + "\n");
  if (status.waiting != told_waiting_) {
    if (!status.waiting.empty()) console_.write_error("waiting: " + status.waiting + "\n");
    told_waiting_ = status.waiting;
  }
  if (status.files.empty()) return;
  const int tenths = static_cast<int>(share(status.present_bytes, status.record.total_bytes) * 10.0);
  if (tenths <= told_tenths_) return;
  told_tenths_ = tenths;
  console_.write_error(std::to_string(tenths * 10) + " %  " + total_detail(status) + "\n");
}

}  // namespace mlxd::cli
