// A small pool of threads for work too long for an I/O thread: decoding requests, templates, tokenizing.
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace mlxd {

class TextWorkers {
 public:
  TextWorkers(std::size_t num_threads, std::size_t max_queued);
  /// As stop.
  ~TextWorkers();

  /// False if the queue is full or the pool has stopped; `job` is then untouched.
  bool try_post(std::function<void()>&& job);
  /// Finishes the jobs begun, drops the others (destroying them here) and joins.
  void stop();

 private:
  void work();

  const std::size_t max_queued_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace mlxd
