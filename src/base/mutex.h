// A mutex that Clang's thread-safety analysis understands; elsewhere the annotations vanish.
// Rule of the house: at most one lock held at a time, and no callback under a lock.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define MLXD_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define MLXD_THREAD_ANNOTATION(x)
#endif

#define CAPABILITY(x) MLXD_THREAD_ANNOTATION(capability(x))
#define SCOPED_CAPABILITY MLXD_THREAD_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) MLXD_THREAD_ANNOTATION(guarded_by(x))
#define REQUIRES(...) MLXD_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) MLXD_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) MLXD_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define EXCLUDES(...) MLXD_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace mlxd {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  /// Waits with `mutex` held; wakes spuriously, so loop over the condition.
  void wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  /// As `wait`, but returns false once `deadline` has passed.
  template <typename TimePoint>
  bool wait_until(Mutex& mutex, const TimePoint& deadline) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace mlxd
