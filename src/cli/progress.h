// How far a long job is, on standard error: a bar that redraws itself on a terminal, a plain line at each
// quarter elsewhere. Drops the bar when destroyed. One thread at a time.
#pragma once

#include <string>

#include "base/clock.h"
#include "cli/console.h"

namespace mlxd::cli {

class Progress {
 public:
  enum class Form {
    kBar,    // terminal: bar; pipe: a line at each quarter
    kQuiet,  // terminal: bar; pipe: nothing
  };
  /// `console` must outlive this.
  Progress(Console& console, std::string label, Form form);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `fraction` from 0 to 1, going up; `detail` is shown beside it and may be empty.
  void update(double fraction, const std::string& detail = {});
  /// Removes the bar from the terminal; nothing is drawn afterwards.
  void finish();

 private:
  void draw(double fraction, const std::string& detail);

  Console& console_;
  std::string label_;
  Form form_;
  TimePoint last_drawn_{};
  int quarters_told_ = 0;
  bool is_drawn_ = false;
  bool is_finished_ = false;
};

}  // namespace mlxd::cli
