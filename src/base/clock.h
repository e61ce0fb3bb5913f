// Time as an interface, so that tests own it. Monotonic unless the name says wall.
#pragma once

#include <chrono>
#include <cstdint>

namespace mlxd {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  /// Seconds since 1970-01-01 UTC.
  virtual std::int64_t wall_seconds() const = 0;

  /// The process's real clock; never destroyed.
  static const Clock& real();
};

/// A clock that moves only when told to. Not thread-safe: one test owns it.
class FakeClock : public Clock {
 public:
  TimePoint now() const override { return now_; }
  std::int64_t wall_seconds() const override {
    return std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count() + wall_ahead_s_;
  }
  void advance(Duration by) { now_ += by; }
  /// As somebody sets the date, forward or back: no time passes.
  void jump_wall(std::int64_t seconds) { wall_ahead_s_ += seconds; }

 private:
  TimePoint now_{std::chrono::hours(1)};
  std::int64_t wall_ahead_s_ = 0;
};

}  // namespace mlxd
