// The engine of one loaded model: requests in, tokens out, one ragged batch a step. Owns backend, pages,
// scheduler and sequences. No threads and no locks inside: one thread calls it (runtime's EngineThread).
//
// A step is schedule → forward → sample → publish. Between steps, submit and cancel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/backend.h"
#include "engine/engine_stats.h"
#include "engine/page_pool.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "generation/generation_event.h"
#include "generation/generation_request.h"

namespace mlxd {

struct EngineOptions {
  std::int32_t num_pages = 0;
  /// If set, decides the number of pages in place of num_pages, once the backend is loaded.
  std::function<Result<std::int32_t>(const BackendInfo&)> choose_num_pages = {};
  std::int32_t max_running = 64;
  std::int32_t max_waiting = 1024;       // beyond: kOverloaded
  std::int32_t step_token_budget = 512;  // decodes + prefill chunk of a step
};

/// What became of a sequence in a step.
struct SequenceEvent {
  SequenceId id = 0;
  TokenEvent event;
};

/// Whether a pool of `num_pages` can ever hold the request to its end. Errors: kTooLarge with both numbers.
Result<void> check_fits(const GenerationRequest& request, std::int32_t num_pages);

class Engine {
 public:
  /// Allocates the pages. max_running and step_token_budget are cut to what the backend takes in a step.
  /// Errors: kInvalidArgument (an option below 1), kOutOfMemory.
  static Result<std::unique_ptr<Engine>> create(std::unique_ptr<Backend> backend,
                                                const EngineOptions& options,
                                                const Clock& clock = Clock::real());

  /// Queues a request under an id not in use. Errors: kTooLarge (see check_fits), kUnavailable (the device is
  /// lost).
  Result<void> submit(SequenceId id, GenerationRequest request);
  /// Forgets a request and frees its pages; no event of it comes any more. An unknown id is nothing.
  void cancel(SequenceId id);

  /// Nothing to compute.
  bool idle() const { return sequences_.empty(); }
  /// Computes one step; not when idle. Returns what it made, to be moved out of, until the next call. A
  /// backend error ends the sequences of its step with it (all sequences if the device is lost); the engine
  /// goes on.
  std::span<SequenceEvent> step();

  EngineStats stats() const;
  /// Why the device is gone, if it is; nothing runs any more then.
  const std::optional<Error>& device_lost() const { return device_lost_; }
  const Backend& backend() const { return *backend_; }
  std::int32_t num_pages() const { return pool_.num_pages(); }
  /// Whether pages, page tables and lines agree; for tests.
  Result<void> check_integrity() const;

 private:
  Engine(std::unique_ptr<Backend> backend, std::int32_t num_pages, Scheduler::Options options,
         const Clock& clock);

  void schedule();
  Result<void> forward();
  void sample();
  void publish(TimePoint started, TimePoint forward_started, TimePoint forward_ended);

  void add_to_batch(const ScheduledChunk& chunk);
  void accept_sample(Sequence& sequence, const SampledToken& sampled);
  void fail_step(const Error& error);
  void fail(Sequence& sequence, const Error& error);
  void retire(SequenceId id);

  const Clock& clock_;
  std::unique_ptr<Backend> backend_;
  PagePool pool_;
  Scheduler scheduler_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::uint64_t next_arrival_ = 0;
  std::optional<Error> device_lost_;
  EngineStats stats_;

  // The current step.
  std::span<const ScheduledChunk> chunks_;
  StepBatch batch_;
  StepResult result_;
  std::vector<SequenceId> ended_;
  std::vector<SequenceEvent> events_;
};

}  // namespace mlxd
