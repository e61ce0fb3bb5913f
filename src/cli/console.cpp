#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace mlxd::cli {
namespace {

std::string with_style(bool colours, Style style, std::string_view text) {
  if (!colours || style == Style::kPlain) return std::string(text);
  const char* code = "";
  switch (style) {
    case Style::kPlain:
      break;
    case Style::kBold:
      code = "\033[1m";
      break;
    case Style::kDim:
      code = "\033[2m";
      break;
    case Style::kRed:
      code = "\033[31m";
      break;
    case Style::kGreen:
      code = "\033[32m";
      break;
    case Style::kYellow:
      code = "\033[33m";
      break;
  }
  return code + std::string(text) + "\033[0m";
}

bool wants_colours() {
  // https://no-color.org: any non-empty value counts.
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) != "dumb";
}

}  // namespace

Console::Console()
    : in_is_terminal_(isatty(STDIN_FILENO) == 1),
      out_is_terminal_(isatty(STDOUT_FILENO) == 1),
      err_is_terminal_(isatty(STDERR_FILENO) == 1),
      colours_allowed_(wants_colours()) {}

std::size_t Console::columns() const {
  winsize size{};
  for (const int file : {STDOUT_FILENO, STDERR_FILENO})
    if (ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

bool Console::write(std::string_view text) {
  if (write_errno_ != 0) return false;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), out_) != text.size() || std::fflush(out_) != 0)
    write_errno_ = errno != 0 ? errno : EIO;
  return write_errno_ == 0;
}

bool Console::write_line(std::string_view text) { return write(std::string(text) + "\n"); }

void Console::write_error(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), err_);
  std::fflush(err_);
}

void Console::report_error(std::string_view message) {
  write_error(styled_error(Style::kRed, "mlxd:") + " " + std::string(message) + "\n");
}

std::string Console::styled(Style style, std::string_view text) const {
  return with_style(out_is_terminal_ && colours_allowed_, style, text);
}

std::string Console::styled_error(Style style, std::string_view text) const {
  return with_style(err_is_terminal_ && colours_allowed_, style, text);
}

std::string without_control_characters(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n' || byte == '\t') {
      clean += text[i];
    } else if (byte < 0x20 || byte == 0x7F) {
      continue;
    } else if (byte == 0xC2 && i + 1 < text.size() &&
               (static_cast<unsigned char>(text[i + 1]) & 0xE0U) == 0x80U) {
      ++i;  // U+0080 … U+009F: the C1 controls, some of which begin escape sequences as ESC does
    } else {
      clean += text[i];
    }
  }
  return clean;
}

}  // namespace mlxd::cli
