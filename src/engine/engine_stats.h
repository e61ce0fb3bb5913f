// What an engine has done since its start and what it holds now. A value, copied whole.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace mlxd {

/// Counts of observations by size, as Prometheus' histograms have them, each bucket by itself (not summed
/// up).
template <std::size_t N>
struct Histogram {
  /// Inclusive upper bounds, rising; one more bucket takes what is above the last.
  std::array<double, N> bounds{};
  std::array<std::uint64_t, N + 1> counts{};
  double sum = 0.0;

  void observe(double value) {
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
    ++counts[static_cast<std::size_t>(bucket)];
    sum += value;
  }
};

/// Counters since start and gauges of now; a snapshot.
struct EngineStats {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;         // prefilled
  std::uint64_t recomputed_tokens = 0;     // computed again after a preemption; counted nowhere else
  std::uint64_t cached_prompt_tokens = 0;  // prompt tokens whose K/V were found in the prefix cache
  std::uint64_t generated_tokens = 0;
  std::uint64_t drafted_tokens = 0;   // guessed, and verified in a step
  std::uint64_t accepted_tokens = 0;  // of these, right; generated_tokens counts them, too
  std::uint64_t requests_finished = 0;
  std::uint64_t requests_cancelled = 0;
  std::uint64_t requests_failed = 0;   // those expired included
  std::uint64_t requests_expired = 0;  // not finished by their deadline
  std::uint64_t preemptions = 0;
  std::uint64_t prefix_evictions = 0;  // cached pages given up for others
  double step_seconds = 0.0;           // time spent in steps
  double forward_seconds = 0.0;        // of these, in the backend
  std::int32_t running = 0;            // sequences decoding or prefilling
  std::int32_t waiting = 0;            // accepted, not yet running
  std::int32_t last_batch_sequences = 0;
  std::int32_t max_batch_sequences = 0;  // most sequences ever in one step
  std::int32_t pages_total = 0;          // of K/V, of all layer groups
  std::int32_t pages_used = 0;           // by running sequences
  std::int32_t pages_cached = 0;         // by nobody, kept to be shared
  std::int32_t states_total = 0;         // pages of states of recurrent layers; 0: the model has none
  std::int32_t states_used = 0;
  std::int32_t states_cached = 0;
  std::int32_t capacity_pages = 0;     // as EngineOptions::num_pages
  double expected_wait_seconds = 0.0;  // of a request that comes now; 0 if none waits

  /// Duration of each step.
  Histogram<14> step_seconds_histogram{
      {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0}};
  /// Sequences of each step.
  Histogram<9> batch_sequences_histogram{{1, 2, 4, 8, 16, 32, 64, 128, 256}};
  /// Tokens of each step.
  Histogram<11> batch_tokens_histogram{{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}};
  /// From submission to the first step that computes the request.
  Histogram<14> queue_seconds_histogram{
      {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0}};
};

}  // namespace mlxd
