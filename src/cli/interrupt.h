// Ctrl-C as a flag for a while: construct to catch SIGINT, destroy to give back what was there. At most one
// at a time, on the main thread; `raised` may be read anywhere.
#pragma once

#include <csignal>

namespace mlxd::cli {

class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool raised() const;

 private:
  struct sigaction before_ {};
};

}  // namespace mlxd::cli
