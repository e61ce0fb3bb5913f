// Compute threads for steps: they spin within a step and park between steps. The calling thread is worker 0. One
// owner calls run(); tasks must not throw.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace mlxd {

class ThreadPool {
 public:
  /// `num_threads` ≥ 1, the caller included.
  explicit ThreadPool(std::int32_t num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::int32_t num_threads() const { return num_threads_; }

  /// Calls task(thread_index) once on every thread and returns when all are done. No allocation, no system call
  /// while the workers spin.
  template <typename Task>
  void run(Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    run_erased([](void* t, std::int32_t index) { (*static_cast<Plain*>(t))(index); }, &task);
  }

  /// Splits [0, num_items) over the threads: each takes its own contiguous half (third, …) in pieces of `grain`
  /// items, then steals pieces from the others. Calls task(begin, end, thread_index).
  template <typename Task>
  void parallel_for(std::int64_t num_items, std::int64_t grain, Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    parallel_for_erased(
        num_items, grain,
        [](void* t, std::int64_t begin, std::int64_t end, std::int32_t index) {
          (*static_cast<Plain*>(t))(begin, end, index);
        },
        &task);
  }

 private:
  struct Impl;
  using RunFunction = void (*)(void*, std::int32_t);
  using RangeFunction = void (*)(void*, std::int64_t, std::int64_t, std::int32_t);
  void run_erased(RunFunction function, void* task);
  void parallel_for_erased(std::int64_t num_items, std::int64_t grain, RangeFunction function, void* task);
  std::int32_t num_threads_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
