// The thread of one loaded model: drains its inbox, runs the engine's step loop and publishes events. Values cross:
// submit, cancel and stop go in; each request's events come out through its stream. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/backend.h"
#include "generation/generation_event.h"
#include "generation/generation_request.h"

namespace mlxd {

/// Told once after each step, on the engine thread, which streams have news. Must be quick and must not throw.
class StreamWaker {
 public:
  virtual ~StreamWaker() = default;
  virtual void wake(std::span<const std::uint64_t> stream_ids) = 0;
};

/// A request in flight. Destroying it cancels the request: its pages are free within a step.
class GenerationStream {
 public:
  GenerationStream();  // of nothing; take_events returns false
  GenerationStream(GenerationStream&&) noexcept;
  GenerationStream& operator=(GenerationStream&&) noexcept;
  ~GenerationStream();

  std::uint64_t id() const;
  /// Moves out what has come since the last call (appends). Returns false once the last event has been taken.
  bool take_events(std::vector<TokenEvent>& events);
  /// Blocks until there is something to take, the stream has ended, or `timeout` passed; true if there is.
  /// For callers with a thread of their own (terminal chat, bench); servers use the waker.
  bool wait(std::chrono::milliseconds timeout);

 private:
  friend class EngineThread;
  struct Shared;
  explicit GenerationStream(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

/// Counters since start and gauges of now; a snapshot.
struct EngineStats {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;      // prefilled
  std::uint64_t generated_tokens = 0;
  std::uint64_t requests_finished = 0;
  std::uint64_t requests_cancelled = 0;
  std::uint64_t requests_failed = 0;
  std::uint64_t preemptions = 0;
  double step_seconds = 0.0;            // time spent in steps
  std::int32_t running = 0;             // sequences decoding or prefilling
  std::int32_t waiting = 0;             // accepted, not yet running
  std::int32_t last_batch_sequences = 0;
  std::int32_t max_batch_sequences = 0; // most sequences ever in one step
  std::int32_t pages_total = 0;
  std::int32_t pages_used = 0;
};

struct EngineOptions {
  std::int32_t num_pages = 0;
  std::int32_t max_running = 64;
  std::int32_t max_waiting = 1024;       // beyond: kOverloaded
  std::int32_t step_token_budget = 512;  // decodes + prefill chunk of a step
};

class EngineThread {
 public:
  /// `load` runs on the engine thread (some devices bind to it); this call returns when it has finished.
  static Result<std::unique_ptr<EngineThread>> start(std::function<Result<std::unique_ptr<Backend>>()> load,
                                                     EngineOptions options);
  ~EngineThread();  // cancels everything, joins

  /// Queues a request. `waker` may be null; else it must outlive the stream. Errors: kOverloaded, kTooLarge (needs
  /// more pages than there are, with both numbers), kUnavailable (stopping).
  Result<GenerationStream> submit(GenerationRequest request, StreamWaker* waker);
  EngineStats stats() const;
  const BackendInfo& backend_info() const;
  BackendMemory backend_memory() const;

 private:
  struct Impl;
  explicit EngineThread(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
