// A request to stop that also wakes those who wait meanwhile. Thread-safe; outlives its waiters.
#pragma once

#include <atomic>
#include <chrono>

#include "base/mutex.h"

namespace mlxd {

class StopFlag {
 public:
  void stop() {
    const MutexLock lock(mutex_);
    stopped_ = true;
    wake_.notify_all();
  }
  bool stopped() const { return stopped_; }

  /// Waits so long, or until stopped; returns whether it is stopped.
  bool wait_for(std::chrono::milliseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    const MutexLock lock(mutex_);
    while (!stopped_ && wake_.wait_until(mutex_, deadline)) {
    }
    return stopped_;
  }

 private:
  Mutex mutex_;
  CondVar wake_;
  std::atomic<bool> stopped_{false};
};

}  // namespace mlxd
