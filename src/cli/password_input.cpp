#include "cli/password_input.h"

#include <termios.h>
#include <unistd.h>

#include <iostream>

namespace mlxd::cli {
namespace {

// No echo while this lives.
class SilentTerminal {
 public:
  SilentTerminal() : known_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!known_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  ~SilentTerminal() {
    if (known_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;

 private:
  termios before_{};
  bool known_ = false;
};

std::string ask(Console& console, const std::string& prompt) {
  console.write_error(prompt + ": ");
  std::string line;
  {
    const SilentTerminal silent;
    std::getline(std::cin, line);
  }
  console.write_error("\n");
  return line;
}

}  // namespace

Result<std::string> read_secret(Console& console, std::string_view what, bool twice) {
  std::string secret;
  if (console.in_is_terminal()) {
    secret = ask(console, std::string(what));
    if (twice && !secret.empty() && ask(console, std::string(what) + " again") != secret)
      return invalid_argument("the two differ: nothing was changed");
  } else {
    std::getline(std::cin, secret);
  }
  if (!secret.empty() && secret.back() == '\r') secret.pop_back();
  if (secret.empty()) return invalid_argument("there is no " + std::string(what) + " on standard input");
  return secret;
}

}  // namespace mlxd::cli
