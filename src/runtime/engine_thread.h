// The thread of one loaded model: drains its inbox, runs the engine's step loop and publishes events. Values
// cross: submit, cancel and stop go in; each request's events come out through its stream. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/engine_stats.h"
#include "generation/generation_event.h"
#include "generation/generation_request.h"
#include "runtime/queue_place.h"

namespace mlxd {

class StreamState;

/// Told once after each step, on the engine thread, which streams have news, each as often as it has events.
/// Must be quick and must not throw. May be told of a stream that its owner has since taken everything from.
class StreamWaker {
 public:
  virtual ~StreamWaker() = default;
  virtual void wake(std::span<const std::uint64_t> stream_ids) = 0;
};

/// A request in flight. Destroying it cancels the request: its pages are free within a step, and its waker is
/// not told of it any more (a wake() that is under way is waited for, so hold no lock then that wake()
/// takes). It may outlive the EngineThread, whose end is its last event. One owner.
class GenerationStream {
 public:
  GenerationStream();  // of nothing; take_events returns false
  GenerationStream(GenerationStream&&) noexcept;
  GenerationStream& operator=(GenerationStream&&) noexcept;
  ~GenerationStream();

  std::uint64_t id() const;
  /// Moves out what has come since the last call (appends). Returns false once the last event has been taken,
  /// by this call or an earlier one: nothing more will come.
  bool take_events(std::vector<TokenEvent>& events);
  /// Where the request waits, as of a moment ago; nothing once it runs.
  std::optional<QueuePlace> queue_place() const;
  /// Blocks until there is something to take, the stream has ended, or `timeout` passed; true if there is.
  /// For callers with a thread of their own (terminal chat, bench); servers use the waker.
  bool wait(std::chrono::milliseconds timeout);

 private:
  friend class EngineThread;
  explicit GenerationStream(std::shared_ptr<StreamState> state);
  std::shared_ptr<StreamState> state_;
};

class EngineThread {
 public:
  /// `load` runs on the engine thread (some devices bind to it); this call returns when it has finished.
  /// Errors: those of `load` and of Engine::create; kUnavailable if the system gives no thread.
  static Result<std::unique_ptr<EngineThread>> start(std::function<Result<std::unique_ptr<Backend>>()> load,
                                                     EngineOptions options);
  /// Ends every request with kCancelled, joins. Not on the engine thread itself.
  ~EngineThread();

  /// Queues a request. `waker` may be null; else it must outlive the stream. Errors: kOverloaded (max_waiting
  /// requests wait), kTooLarge (needs more pages than there are, with both numbers), kUnavailable (stopping,
  /// or the device is lost).
  Result<GenerationStream> submit(GenerationRequest request, StreamWaker* waker);
  /// Ends every request there is with `reason` as its last event; new ones are taken.
  void end_requests(Error reason);
  /// See Engine; before the first request.
  Result<void> warm_up();
  /// Changes the K/V memory while running; see Engine::resize. Waits for the step under way.
  Result<void> resize(std::int32_t num_pages);

  /// Brings an adapter into the backend's form, on the caller's thread, beside steps.
  Result<PreparedAdapterPtr> prepare_adapter(const Adapter& adapter) const;
  /// See Engine; they wait for the step under way. An adapter that is in use is not detached (kConflict).
  Result<void> attach_adapter(AdapterId id, PreparedAdapterPtr adapter);
  Result<void> detach_adapter(AdapterId id);

  EngineStats stats() const;  // as of the end of the last step
  const BackendInfo& backend_info() const;
  BackendMemory backend_memory() const;  // as of the last change of pages or adapters

 private:
  struct Impl;
  explicit EngineThread(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
