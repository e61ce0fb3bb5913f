// Tokens a second, over the last few seconds, from a counter that is looked at now and then. One owner.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace mlxd {

class TokenRate {
 public:
  void observe(std::uint64_t count, TimePoint now) {
    if (!samples_.empty() && now - samples_.back().at < kApart) {
      latest_ = {now, count};
      return;
    }
    samples_.push_back({now, count});
    latest_ = samples_.back();
    while (samples_.size() > 1 && now - samples_[1].at >= kWindow) samples_.pop_front();
  }

  /// 0 until there are two looks.
  double per_second() const {
    if (samples_.empty()) return 0.0;
    const double seconds = std::chrono::duration<double>(latest_.at - samples_.front().at).count();
    return seconds > 0.0 ? static_cast<double>(latest_.count - samples_.front().count) / seconds : 0.0;
  }

 private:
  static constexpr Duration kApart = std::chrono::milliseconds(250);
  static constexpr Duration kWindow = std::chrono::seconds(3);
  struct Sample {
    TimePoint at;
    std::uint64_t count = 0;
  };
  std::deque<Sample> samples_;
  Sample latest_{};
};

}  // namespace mlxd
