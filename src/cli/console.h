// Standard output and error as this program uses them: what is a terminal, whether colours are wanted, and
// writes whose failure is remembered instead of lost. One per process, used from the main thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace mlxd::cli {

enum class Style { kPlain, kBold, kDim, kRed, kGreen, kYellow };

class Console {
 public:
  /// Asks the system about both streams and reads NO_COLOR and TERM.
  Console();
  /// For tests: writes to `out` and `err`, neither a terminal. Both must outlive this.
  Console(std::FILE* out, std::FILE* err) : out_(out), err_(err) {}

  bool out_is_terminal() const { return out_is_terminal_; }
  bool err_is_terminal() const { return err_is_terminal_; }
  bool in_is_terminal() const { return in_is_terminal_; }
  /// Columns of the terminal, 80 where unknown.
  std::size_t columns() const;

  /// Writes to standard output without buffering beyond this call. False once a write has failed (reader
  /// gone, disk full): stop producing.
  bool write(std::string_view text);
  bool write_line(std::string_view text);
  /// Writes to standard error.
  void write_error(std::string_view text);
  /// "mlxd: MESSAGE" on standard error.
  void report_error(std::string_view message);

  /// `text` in a style if standard output (or error) shows colours, else as it is.
  std::string styled(Style style, std::string_view text) const;
  std::string styled_error(Style style, std::string_view text) const;

  /// Whether every write to standard output has succeeded; `write_errno` says why not.
  bool out_ok() const { return write_errno_ == 0; }
  int write_errno() const { return write_errno_; }

 private:
  std::FILE* out_ = stdout;
  std::FILE* err_ = stderr;
  bool in_is_terminal_ = false;
  bool out_is_terminal_ = false;
  bool err_is_terminal_ = false;
  bool colours_allowed_ = false;
  int write_errno_ = 0;
};

/// `text` with control characters other than newline and tab removed, so that a model's answer cannot move
/// the cursor, retitle the window or rewrite the screen. UTF-8 in, UTF-8 out.
std::string without_control_characters(std::string_view text);

}  // namespace mlxd::cli
