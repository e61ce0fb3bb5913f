// Where the time of an engine's steps goes, by stage, and the work that each stage cannot do without. Off is
// a null pointer to this: one branch a stage and nothing else. On, a stage costs one reading of the clock on
// each thread; no locks, no allocation.
//
// The engine thread owns it; within a fork() and join() each compute thread writes its own slot. totals() is
// for any thread; between steps it is consistent, during one it may lag by a stage.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mlxd {

/// In the order of a step.
enum class StepStage : std::uint8_t {
  kSchedule,    // which sequences run, with which pages
  kPrepare,     // checks, page copies, embedding rows, rotations, cutting the attention
  kNorm,        // norms, and quantizing the inputs of products
  kQkv,         // q, k, v product, rotation, K/V write
  kAttention,   // over the K/V pages
  kOutput,      // output product, residual
  kGateUp,      // gate and up products, activation, quantizing for the next
  kDown,        // down product, residual
  kVocabulary,  // final norm, product with the vocabulary, each row's largest logit
  kSampling,    // rows that are not plainly greedy
  kPublish,     // results to sequences and streams, until the next step begins
  kWait,        // compute threads that wait for each other or wake up
};
inline constexpr std::size_t kNumStepStages = 12;

/// "schedule", "norm+quantize", …
std::string_view to_string(StepStage stage);

/// Least traffic with memory and arithmetic (a multiply and an add count as two).
struct StageWork {
  double bytes = 0.0;
  double int8_operations = 0.0;
  double fp32_operations = 0.0;

  StageWork& operator+=(const StageWork& other);
};

struct StageTotals {
  double seconds = 0.0;  // of wall time: mean over the threads where they work together
  StageWork work;
};

struct StepTotals {
  std::uint64_t steps = 0;
  std::uint64_t tokens = 0;  // computed
  std::int32_t num_threads = 1;
  std::array<StageTotals, kNumStepStages> stages{};

  const StageTotals& of(StepStage stage) const { return stages[static_cast<std::size_t>(stage)]; }
  double seconds() const;
  StepTotals& operator+=(const StepTotals& other);
  StepTotals& operator-=(const StepTotals& other);
};

class StepProfile {
 public:
  StepProfile() : threads_(1) {}

  /// Compute threads, the engine thread included; before the first step.
  void set_num_threads(std::int32_t num_threads) {
    threads_ = std::vector<Thread>(static_cast<std::size_t>(num_threads));
  }

  /// A step begins; what passed since the last one is its publishing if it `follows` at once.
  void begin_step(bool follows) {
    const std::int64_t now = clock();
    if (follows) add(serial_[index(StepStage::kPublish)], now - threads_[0].last);
    threads_[0].last = now;
  }
  void end_step(std::size_t num_tokens) {
    add(steps_, std::uint64_t{1});
    add(tokens_, std::uint64_t{num_tokens});
  }

  /// Engine thread, outside of fork and join: the time since its last call belongs to `stage`.
  void lap(StepStage stage) { lap_into(serial_, threads_[0], stage); }
  /// The compute threads are about to start …
  void fork(StepStage before) {
    lap(before);
    for (Thread& thread : threads_) thread.last = threads_[0].last;
  }
  /// … and have all finished.
  void join() {
    const std::int64_t now = clock();
    for (Thread& thread : threads_) {
      add(thread.nanoseconds[index(StepStage::kWait)], now - thread.last);
      thread.last = now;
    }
  }
  /// Compute thread: the time since its last call, or since the fork, belongs to `stage`.
  void lap(std::int32_t thread, StepStage stage) {
    Thread& own = threads_[static_cast<std::size_t>(thread)];
    lap_into(own.nanoseconds, own, stage);
  }

  /// Engine thread.
  void add_work(StepStage stage, const StageWork& work) {
    Work& sum = work_[index(stage)];
    add(sum.bytes, work.bytes);
    add(sum.int8_operations, work.int8_operations);
    add(sum.fp32_operations, work.fp32_operations);
  }

  StepTotals totals() const;

 private:
  using Laps = std::array<std::atomic<std::int64_t>, kNumStepStages>;
  // On cache lines of its own (two, for processors that fetch pairs).
  struct alignas(128) Thread {
    std::int64_t last = 0;  // when its last stage ended
    Laps nanoseconds{};
  };
  struct Work {
    std::atomic<double> bytes{0.0}, int8_operations{0.0}, fp32_operations{0.0};
  };

  static constexpr std::size_t index(StepStage stage) { return static_cast<std::size_t>(stage); }
  static std::int64_t clock() {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  // One writer each, so no locked instruction is needed.
  template <typename T>
  static void add(std::atomic<T>& sum, T value) {
    sum.store(sum.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  }
  static void lap_into(Laps& laps, Thread& thread, StepStage stage) {
    const std::int64_t now = clock();
    add(laps[index(stage)], now - thread.last);
    thread.last = now;
  }

  std::vector<Thread> threads_;
  Laps serial_{};  // of the engine thread by itself
  std::array<Work, kNumStepStages> work_{};
  std::atomic<std::uint64_t> steps_{0}, tokens_{0};
};

}  // namespace mlxd
