// A bell that signals and threads ring and one thread waits for. While it exists, SIGTERM and SIGINT ring it
// instead of ending the process. At most one exists at a time.
#pragma once

#include <csignal>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/result.h"

namespace mlxd {

class StopSignal {
 public:
  enum class Ring : char {
    kStop = 's',     // a signal, or `ring`
    kDrained = 'd',  // the server has nothing left to do
  };

  /// Errors: kConflict (another exists), kIo.
  static Result<std::unique_ptr<StopSignal>> create();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// From any thread.
  void ring(Ring ring);
  /// The next ring, or nothing once `deadline` has passed; without one, waits for ever.
  std::optional<Ring> wait(std::optional<TimePoint> deadline);

 private:
  StopSignal(int read_end, int write_end);
  int read_end_;
  int write_end_;
  struct sigaction old_terminate_ {};
  struct sigaction old_interrupt_ {};
};

}  // namespace mlxd
