// Compute threads for steps: they spin within a step and park between steps. The calling thread is worker 0.
// Tasks must not throw. Which thread takes which piece is left open, so a task's result must not depend on
// it.
//
// Several threads may share a pool: one at a time has its turn, first come, first served. Each run() takes a
// turn of its own, unless its thread holds one that covers more (take_turn), a whole step say.
//
// Inside a run(), the threads may go through several loops with share() and barrier(), so that a whole step
// costs one fork and one join.
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

  /// Waits until all who came before have had their turns. Turns of one thread nest. No system call if the
  /// pool is free and nobody waits.
  void take_turn();
  /// By the thread that took it.
  void end_turn();
  /// Threads that wait for their turn.
  std::int32_t num_waiting() const;

  /// Calls task(thread_index) once on every thread and returns when all are done. No allocation, no system
  /// call while the workers spin.
  template <typename Task>
  void run(Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    run_erased([](void* t, std::int32_t index) { (*static_cast<Plain*>(t))(index); }, erase(task));
  }

  /// Splits [0, num_items) over the threads: each takes its own contiguous half (third, …) in pieces of
  /// `grain` items, then steals pieces from the others. Calls task(begin, end, thread_index).
  template <typename Task>
  void parallel_for(std::int64_t num_items, std::int64_t grain, Task&& task) {
    run([&](std::int32_t thread) { share(thread, num_items, grain, task); });
  }

  /// Within run(): this thread's part of a parallel_for. Every thread of the run calls it with the same
  /// numbers, in the same order of calls; returns when no piece is left to take, which is not when all are
  /// done.
  template <typename Task>
  void share(std::int32_t thread, std::int64_t num_items, std::int64_t grain, Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    share_erased(
        thread, num_items, grain,
        [](void* t, std::int64_t begin, std::int64_t end, std::int32_t index) {
          (*static_cast<Plain*>(t))(begin, end, index);
        },
        erase(task));
  }

  /// Within run(): returns once every thread has called it. What any of them wrote before is then visible to
  /// all.
  void barrier();

 private:
  struct Impl;
  using RunFunction = void (*)(void*, std::int32_t);
  using RangeFunction = void (*)(void*, std::int64_t, std::int64_t, std::int32_t);
  template <typename Task>
  static void* erase(Task& task) {
    return const_cast<void*>(static_cast<const void*>(&task));
  }
  void run_erased(RunFunction function, void* task);
  void run_in_turn(RunFunction function, void* task);
  void share_erased(std::int32_t thread, std::int64_t num_items, std::int64_t grain, RangeFunction function,
                    void* task);
  std::int32_t num_threads_;
  std::unique_ptr<Impl> impl_;
};

/// Physical cores this process may run on; at least 1.
std::int32_t num_physical_cores();

}  // namespace mlxd
