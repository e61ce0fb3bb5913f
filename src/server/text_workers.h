// A small pool of threads for work too long for an I/O thread: decoding requests, templates, tokenizing. Jobs
// begin in order of arrival, but heavy ones leave one thread free for the others, so that a client's huge
// request is waited for by no one else. Thread-safe.
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
  enum class Weight {
    kLight,
    kHeavy,  // may take seconds
  };

  TextWorkers(std::size_t num_threads, std::size_t max_queued);
  /// As stop.
  ~TextWorkers();

  /// False if the queue is full or the pool has stopped; `job` is then untouched.
  bool try_post(std::function<void()>&& job, Weight weight = Weight::kLight);
  /// Finishes the jobs begun, drops the others (destroying them here) and joins.
  void stop();

 private:
  struct Job {
    std::function<void()> function;
    Weight weight = Weight::kLight;
  };

  void work();
  /// Takes the first job that may begin now, waiting for it. False once stopped.
  bool take(Job& job) EXCLUDES(mutex_);

  const std::size_t max_queued_;
  const std::size_t max_heavy_;  // heavy jobs at a time
  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  std::size_t running_heavy_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace mlxd
