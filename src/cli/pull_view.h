// How far a download is, on standard error: on a terminal a bar for each file that is being read and one for
// all, drawn anew in place; elsewhere a line for each file that is there and at each tenth. One thread at a
// time.
#pragma once

#include <set>
#include <string>

#include "catalog/download.h"
#include "cli/console.h"

namespace mlxd::cli {

class PullView {
 public:
  /// `console` must outlive this.
  explicit PullView(Console& console) : console_(console) {}
  ~PullView() { finish(); }
  PullView(const PullView&) = delete;
  PullView& operator=(const PullView&) = delete;

  void show(const DownloadStatus& status);
  /// Takes the bars from the terminal.
  void finish();

 private:
  void draw(const DownloadStatus& status);
  void print(const DownloadStatus& status);
  void erase();

  Console& console_;
  std::size_t drawn_lines_ = 0;
  std::set<std::string> told_files_;
  int told_tenths_ = 0;
  std::string told_waiting_;
};

/// "[######......]  50 %  1.2 GB of 2.4 GB" in at most `columns` characters.
std::string bar_line(const std::string& label, std::uint64_t present, std::uint64_t total,
                     const std::string& detail, std::size_t columns);

}  // namespace mlxd::cli
