#include "backends/cpu/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "base/thread_priority.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace mlxd {
namespace {

using Clock = std::chrono::steady_clock;

// Waiting threads spin this long before they sleep: between steps the next one usually comes sooner, and
// inside a step a partner that takes longer has lost its core to another process. Sleeping then keeps the
// claim on the core that spinning would use up.
constexpr auto kSpin = std::chrono::microseconds(100);
constexpr int kSpinsPerClockRead = 64;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// A number that threads wait on to change. On cache lines of its own (two, for processors that fetch pairs).
class alignas(128) Signal {
 public:
  std::uint32_t value() const { return value_.load(std::memory_order_acquire); }

  /// Publishes what the caller wrote before; no system call unless somebody sleeps.
  void set(std::uint32_t value) {
    // Sequentially consistent on both sides: either the sleeper is seen here or it sees the new value.
    value_.store(value);
    if (num_sleepers_.load() > 0) wake_sleepers();
  }

  void wait_while(std::uint32_t old) {
    const auto sleep_at = Clock::now() + kSpin;
    do {
      for (int i = 0; i < kSpinsPerClockRead; ++i) {
        if (value() != old) return;
        relax();
      }
    } while (Clock::now() < sleep_at);
    num_sleepers_.fetch_add(1);
    while (value_.load() == old) sleep_while(old);
    num_sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
#if defined(__linux__)
  // Not std::atomic's wait, which yields the core a few times before it sleeps: as many system calls more,
  // each of which may last another process's time slice.
  void sleep_while(std::uint32_t old) {
    syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  }
  void wake_sleepers() { syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }
#else
  void sleep_while(std::uint32_t old) { value_.wait(old); }
  void wake_sleepers() { value_.notify_all(); }
#endif

  std::atomic<std::uint32_t> value_{0};
  std::atomic<std::uint32_t> num_sleepers_{0};
};

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
#endif
  return cpus;
}

void pin_to(std::thread& thread, int cpu) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // A refusal only costs speed.
  (void)pthread_setaffinity_np(thread.native_handle(), sizeof(set), &set);
#else
  (void)thread;
  (void)cpu;
#endif
}

// A thread's remaining items of a loop in one word, so that owner and thieves take pieces with one exchange:
// bits 48…63 the loop's number, 24…47 the first item left, 0…23 the end.
constexpr int kItemBits = 24;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kItemBits) - 1;

struct Range {
  std::uint16_t loop;
  std::uint64_t begin;
  std::uint64_t end;
};

/// The turn that this thread has.
struct HeldTurn {
  const ThreadPool* pool = nullptr;
  std::int32_t depth = 0;
};
thread_local HeldTurn held;

std::uint64_t pack(const Range& range) {
  return (std::uint64_t{range.loop} << (2 * kItemBits)) | (range.begin << kItemBits) | range.end;
}

Range unpack(std::uint64_t word) {
  return {static_cast<std::uint16_t>(word >> (2 * kItemBits)), (word >> kItemBits) & kItemMask,
          word & kItemMask};
}

}  // namespace

struct ThreadPool::Impl {
  struct alignas(128) Slot {
    std::atomic<std::uint64_t> range{0};
    std::uint16_t loop = 0;  // number of the loop its thread is in; only that thread touches it
  };
  struct alignas(128) Counter {
    std::atomic<std::uint32_t> value{0};
  };

  std::vector<Slot> slots;
  std::vector<std::thread> workers;
  Signal started;   // number of the last run started
  Signal finished;  // number of the last run all workers have finished
  Counter running;  // workers that have not finished the current run
  Signal phase;     // barriers passed
  Counter arrived;  // at the barrier
  std::atomic<bool> stopping{false};

  Mutex turns;
  CondVar turn_came;
  std::uint64_t next_turn GUARDED_BY(turns) = 0;     // of who comes now
  std::uint64_t current_turn GUARDED_BY(turns) = 0;  // whose it is; next_turn: nobody's
  RunFunction function = nullptr;                    // of the current run; published by `started`
  void* task = nullptr;

  explicit Impl(std::int32_t num_threads) : slots(static_cast<std::size_t>(num_threads)) {}

  void work(std::int32_t index) {
    for (std::uint32_t run = 1;; ++run) {
      started.wait_while(run - 1);
      if (stopping.load(std::memory_order_relaxed)) return;
      function(task, index);
      if (running.value.fetch_sub(1, std::memory_order_acq_rel) == 1) finished.set(run);
    }
  }
};

ThreadPool::ThreadPool(std::int32_t num_threads) : num_threads_(num_threads) {
  CHECK(num_threads >= 1);
  impl_ = std::make_unique<Impl>(num_threads);
  const std::vector<int> cpus = allowed_cpus();
  // The caller stays free: the scheduler moves it off the cores that the workers hold, and threads it starts
  // later would inherit a pin.
  const bool pin = static_cast<std::size_t>(num_threads) <= cpus.size();
  impl_->workers.reserve(static_cast<std::size_t>(num_threads - 1));
  for (std::int32_t i = 1; i < num_threads; ++i) {
    impl_->workers.emplace_back([impl = impl_.get(), i] {
      name_this_thread("mlxd-compute");
      impl->work(i);
    });
    if (pin) pin_to(impl_->workers.back(), cpus[static_cast<std::size_t>(i)]);
  }
}

ThreadPool::~ThreadPool() {
  impl_->stopping.store(true, std::memory_order_relaxed);
  impl_->started.set(impl_->started.value() + 1);
  for (std::thread& worker : impl_->workers) worker.join();
}

void ThreadPool::take_turn() {
  if (held.pool == this) {
    ++held.depth;
    return;
  }
  // A thread that holds one pool's turn needs no other pool.
  CHECK(held.pool == nullptr);
  {
    const MutexLock lock(impl_->turns);
    const std::uint64_t own = impl_->next_turn++;
    while (impl_->current_turn != own) impl_->turn_came.wait(impl_->turns);
  }
  held = {this, 1};
}

void ThreadPool::end_turn() {
  CHECK(held.pool == this);
  if (--held.depth > 0) return;
  held = {};
  bool any_waits = false;
  {
    const MutexLock lock(impl_->turns);
    ++impl_->current_turn;
    any_waits = impl_->current_turn != impl_->next_turn;
  }
  // All who wait, for the next of them is one of several; they are as many as models compute at once.
  if (any_waits) impl_->turn_came.notify_all();
}

std::int32_t ThreadPool::num_waiting() const {
  const MutexLock lock(impl_->turns);
  const std::uint64_t asked = impl_->next_turn - impl_->current_turn;
  return static_cast<std::int32_t>(asked > 0 ? asked - 1 : 0);
}

void ThreadPool::run_erased(RunFunction function, void* task) {
  take_turn();
  run_in_turn(function, task);
  end_turn();
}

void ThreadPool::run_in_turn(RunFunction function, void* task) {
  if (num_threads_ == 1) {
    function(task, 0);
    return;
  }
  Impl& impl = *impl_;
  impl.function = function;
  impl.task = task;
  impl.running.value.store(static_cast<std::uint32_t>(num_threads_ - 1), std::memory_order_relaxed);
  const std::uint32_t run = impl.started.value() + 1;
  impl.started.set(run);
  function(task, 0);
  impl.finished.wait_while(run - 1);
}

void ThreadPool::share_erased(std::int32_t thread, std::int64_t num_items, std::int64_t grain,
                              RangeFunction function, void* task) {
  CHECK(num_items >= 0 && static_cast<std::uint64_t>(num_items) <= kItemMask && grain > 0);
  if (num_threads_ == 1) {
    for (std::int64_t begin = 0; begin < num_items; begin += grain) {
      function(task, begin, std::min(begin + grain, num_items), 0);
    }
    return;
  }
  Impl& impl = *impl_;
  const std::uint16_t loop = ++impl.slots[static_cast<std::size_t>(thread)].loop;
  for (std::int32_t k = 0; k < num_threads_; ++k) {
    const std::int32_t owner = (thread + k) % num_threads_;
    std::atomic<std::uint64_t>& word = impl.slots[static_cast<std::size_t>(owner)].range;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (true) {
      Range range = unpack(seen);
      const auto ahead = static_cast<std::int16_t>(range.loop - loop);
      // The owner is in the next loop already, so nothing of this one is left.
      if (ahead > 0) break;
      if (ahead < 0) {
        // The owner has not come to this loop yet; its share is known all the same.
        range = {loop, static_cast<std::uint64_t>(num_items * owner / num_threads_),
                 static_cast<std::uint64_t>(num_items * (owner + 1) / num_threads_)};
      } else if (range.begin == range.end) {
        break;
      }
      const std::uint64_t size = std::min(static_cast<std::uint64_t>(grain), range.end - range.begin);
      std::uint64_t begin = range.begin;
      if (k == 0) {
        range.begin += size;
      } else {
        // Thieves take from the end, away from where the owner streams.
        range.end -= size;
        begin = range.end;
      }
      // Relaxed: pieces are independent, and results are published by the barrier or the end of the run.
      if (!word.compare_exchange_weak(seen, pack(range), std::memory_order_relaxed)) continue;
      seen = pack(range);
      if (size > 0) {
        function(task, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(begin + size), thread);
        seen = word.load(std::memory_order_relaxed);
      }
    }
  }
}

void ThreadPool::barrier() {
  if (num_threads_ == 1) return;
  Impl& impl = *impl_;
  const std::uint32_t phase = impl.phase.value();
  if (impl.arrived.value.fetch_add(1, std::memory_order_acq_rel) + 1 ==
      static_cast<std::uint32_t>(num_threads_)) {
    impl.arrived.value.store(0, std::memory_order_relaxed);
    impl.phase.set(phase + 1);
    return;
  }
  impl.phase.wait_while(phase);
}

std::int32_t num_physical_cores() {
#if defined(__linux__)
  const std::vector<int> cpus = allowed_cpus();
  std::set<std::pair<int, int>> cores;  // (package, core)
  for (const int cpu : cpus) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::pair<int, int> core{-1, cpu};
    if (std::ifstream package(folder + "physical_package_id"), id(folder + "core_id"); package && id) {
      package >> core.first;
      id >> core.second;
    }
    cores.insert(core);
  }
  if (!cores.empty()) return static_cast<std::int32_t>(cores.size());
#elif defined(__APPLE__)
  // The performance cores; efficiency cores would hold up every barrier.
  std::int32_t count = 0;
  std::size_t size = sizeof(count);
  if (sysctlbyname("hw.perflevel0.physicalcpu", &count, &size, nullptr, 0) == 0 && count > 0) return count;
  if (sysctlbyname("hw.physicalcpu", &count, &size, nullptr, 0) == 0 && count > 0) return count;
#endif
  return std::max(1, static_cast<std::int32_t>(std::thread::hardware_concurrency()));
}

}  // namespace mlxd
