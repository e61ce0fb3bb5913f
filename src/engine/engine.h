// The engine of one loaded model: requests in, tokens out, one ragged batch a step. Owns backend, pages,
// scheduler and sequences. No threads and no locks inside: one thread calls it (runtime's EngineThread).
//
// A step is draft → schedule → forward → sample → publish. Between steps, submit and cancel.
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
#include "engine/drafter.h"
#include "engine/engine_stats.h"
#include "engine/kv_cache.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/speculator.h"
#include "engine/step_profile.h"
#include "generation/generation_event.h"
#include "generation/generation_request.h"

namespace mlxd {

/// Guessing tokens ahead and verifying the guesses as rows of one step. Answers are the same bits with any of
/// these (on backends whose rows do not depend on each other). Nothing is guessed for models with states.
struct SpeculationOptions {
  enum class Method { kOff, kPromptLookup, kDraftModel };
  Method method = Method::kOff;
  /// kDraftModel: makes the small model's backend, on the thread that creates the engine. Its vocabulary must
  /// be the model's.
  std::function<Result<std::unique_ptr<Backend>>()> load_draft_backend = {};
  std::int32_t draft_context_tokens = 1 << 30;  // kDraftModel: longest text that the small model reads
  /// So many drafts for each sequence, whatever they bring; 0: as it pays.
  std::int32_t fixed_drafts = 0;
};

struct EngineOptions {
  /// K/V pages of a layer group that keeps everything; groups with a window get as many as max_running
  /// sequences can use, if that is less, groups of states what state_pages says.
  std::int32_t num_pages = 0;
  /// If set, decides the number of pages in place of num_pages, once the backend is loaded.
  std::function<Result<std::int32_t>(const BackendInfo&, const BackendMemory&)> choose_num_pages = {};
  bool share_prefixes = true;
  std::int32_t max_running = 64;
  std::int32_t max_waiting = 1024;       // beyond: kOverloaded
  std::int32_t step_token_budget = 512;  // decodes + prefill chunk of a step
  /// A step that prefills beside decodes takes at most about so many times one that only decodes.
  double gap_ratio = 3.0;
  /// If set, told where the time of steps goes; it must outlive the engine. The backend is given the same
  /// one.
  StepProfile* profile = nullptr;
  SpeculationOptions speculation = {};
};

/// Pages of each layer group for EngineOptions::num_pages.
std::vector<std::int32_t> pages_by_group(const BackendInfo& info, std::int32_t num_pages,
                                         std::int32_t max_running, std::int32_t step_token_budget);

/// What became of a sequence in a step.
struct SequenceEvent {
  SequenceId id = 0;
  TokenEvent event;
};

/// Whether `num_pages` (as in EngineOptions) can ever hold the request to its end. Errors: kTooLarge with
/// both numbers.
Result<void> check_fits(const GenerationRequest& request, std::int32_t num_pages);

class Engine {
 public:
  /// Allocates the pages. max_running and step_token_budget are cut to what the backend takes in a step.
  /// Errors: kInvalidArgument (an option below 1, a draft model for a model with states), kOutOfMemory.
  static Result<std::unique_ptr<Engine>> create(std::unique_ptr<Backend> backend,
                                                const EngineOptions& options,
                                                const Clock& clock = Clock::real());

  /// Queues a request under an id not in use. Errors: kTooLarge (see check_fits), kUnavailable (the device is
  /// lost, or the adapter is not attached).
  Result<void> submit(SequenceId id, GenerationRequest request);
  /// Forgets a request and frees its pages; no event of it comes any more. An unknown id is nothing.
  void cancel(SequenceId id);

  /// Makes an adapter known, which requests may then name. Errors: those of the backend; kConflict (the id is
  /// in use).
  Result<void> attach_adapter(AdapterId id, PreparedAdapterPtr adapter);
  /// Errors: kConflict if a request here names it.
  Result<void> detach_adapter(AdapterId id);

  /// Changes the K/V memory while running: pages in use move together as needed, sequences that the smaller
  /// memory cannot hold together wait again, those that it can never hold end with kOutOfMemory. Errors:
  /// kInvalidArgument, kOutOfMemory (the system has no more), which change nothing.
  Result<void> resize(std::int32_t num_pages);

  /// Computes one token from nothing, before the first request: it shows that the model computes, and has
  /// the device and its memory ready. Not while there are sequences. Errors: those of the backend; kInternal
  /// if no token has a probability.
  Result<void> warm_up();

  /// Nothing to compute or to tell.
  bool idle() const { return sequences_.empty() && untold_.empty(); }
  /// Computes one step; not when idle. Returns what it made, to be moved out of, until the next call. A
  /// backend error ends the sequences of its step with it (all sequences if the device is lost); the engine
  /// goes on. Sequences past their deadline end with kTimeout.
  std::span<SequenceEvent> step();

  struct QueuePlace {
    SequenceId id = 0;
    std::int32_t position = 0;  // 0: next
    double expected_seconds = 0.0;
  };
  std::int32_t num_waiting() const { return scheduler_.num_waiting(); }
  /// The waiting line, next first, as things stand.
  std::vector<QueuePlace> queue() const;

  EngineStats stats() const;
  /// Why the device is gone, if it is; nothing runs any more then.
  const std::optional<Error>& device_lost() const { return device_lost_; }
  /// Of which other threads may use prepare_adapter.
  const Backend& backend() const { return *backend_; }
  /// Of the model, and of the one that drafts for it.
  BackendMemory memory() const;
  std::int32_t num_pages() const { return num_pages_; }
  /// Whether pages, page tables and lines agree; for tests.
  Result<void> check_integrity() const;

 private:
  Engine(std::unique_ptr<Backend> backend, std::unique_ptr<Drafter> drafter, std::int32_t num_pages,
         KvCache::Options cache, Scheduler::Options options, std::int32_t fixed_drafts, const Clock& clock);

  bool has_adapter(AdapterId id) const;
  void expire();
  void draft();
  void schedule();
  Result<void> copy_pages();
  Result<void> forward();
  void sample();
  std::size_t num_computed_tokens() const;
  void publish(TimePoint started, TimePoint forward_started, TimePoint forward_ended);

  void add_to_batch(const ScheduledChunk& chunk);
  bool accept_scores(Sequence& sequence, std::size_t row, std::size_t count);
  void accept_verified(const ScheduledChunk& chunk, std::size_t row);
  bool accept_sample(Sequence& sequence, const SampledToken& sampled);
  SequenceEvent& add_event(Sequence& sequence);
  void finish(const Sequence& sequence, TokenEvent& event, FinishReason reason);
  void resize_drafter(std::int32_t num_pages);
  void drop_drafter(const Error& error);
  void fail_step(const Error& error);
  void fail_all(const Error& error);
  void fail(Sequence& sequence, const Error& error);
  void retire(SequenceId id);
  Result<void> shrink_group(std::size_t group, std::int32_t num_pages);
  double expected_wait_seconds(std::int32_t position) const;

  void end_stage(StepStage stage) {
    if (profile_ != nullptr) profile_->lap(stage);
  }

  const Clock& clock_;
  StepProfile* profile_ = nullptr;
  std::unique_ptr<Backend> backend_;
  KvCache cache_;
  Scheduler scheduler_;
  Speculator speculator_;
  Scheduler::Options limits_;
  std::int32_t num_pages_ = 0;
  std::vector<AdapterId> adapters_;  // attached
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::uint64_t next_arrival_ = 0;
  std::optional<Error> device_lost_;
  EngineStats stats_;
  double running_seconds_ = 0.0;  // moving average over finished requests, from start to end
  std::optional<TimePoint> next_deadline_;
  std::vector<SequenceEvent> untold_;  // events that came between steps

  // The current step.
  bool follows_ = false;  // on another without a pause
  std::vector<Sequence*> decoding_;
  std::span<const ScheduledChunk> chunks_;
  StepBatch batch_;
  StepResult result_;
  std::vector<SequenceId> ended_;
  std::vector<SequenceEvent> events_;
};

}  // namespace mlxd
