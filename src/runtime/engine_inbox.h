// The way into an engine thread: new requests, cancellations, orders to the engine and the one to stop,
// bounded; and the way its
// state and its wake-ups come out. Internal to runtime. Thread-safe; methods marked so are the engine
// thread's own.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "engine/backend.h"
#include "engine/engine_stats.h"
#include "generation/generation_request.h"
#include "runtime/stream_state.h"

namespace mlxd {

class Engine;

class EngineInbox {
 public:
  struct Submission {
    GenerationRequest request;
    std::shared_ptr<StreamState> stream;
  };
  /// What the engine is to do between steps.
  struct Order {
    std::function<Result<void>(Engine&)> carry_out;
    std::promise<Result<void>> done;
  };
  struct Mail {
    std::vector<Submission> submissions;
    std::vector<SequenceId> cancellations;
    std::vector<Order> orders;
    std::optional<Error> ending;  // of all requests, with this reason
    bool stop = false;
  };

  explicit EngineInbox(std::int32_t max_waiting) : max_waiting_(max_waiting) {}

  /// Errors: kOverloaded, or the reason given to `close`.
  Result<void> submit(Submission submission) EXCLUDES(mutex_);
  /// The stream's owner is gone. Returns when its waker is not being told of anything any more.
  void abandon(StreamState& stream) EXCLUDES(mutex_);
  /// Waits until it is carried out, not on the engine thread. Errors: the reason given to `close`; its own.
  Result<void> order(std::function<Result<void>(Engine&)> carry_out) EXCLUDES(mutex_);
  /// Ends all requests with `reason`, those that wait too; later ones are taken.
  void end_requests(Error reason) EXCLUDES(mutex_);
  /// Refuses further submissions with `reason`.
  void close(Error reason) EXCLUDES(mutex_);
  void stop() EXCLUDES(mutex_);
  EngineStats stats() const EXCLUDES(mutex_);
  BackendMemory memory() const EXCLUDES(mutex_);

  /// Engine thread: moves the mail into `mail` (cleared first). With `wait`, parks until there is some.
  void take(Mail& mail, bool wait) EXCLUDES(mutex_);
  /// Engine thread: the engine's state after a step or a change.
  void publish(const EngineStats& stats) EXCLUDES(mutex_);
  void publish_memory(const BackendMemory& memory) EXCLUDES(mutex_);
  /// Engine thread: tells each waker once which of its streams among `news` have some.
  void wake(std::span<const std::shared_ptr<StreamState>> news) EXCLUDES(mutex_);

 private:
  const std::int32_t max_waiting_;
  mutable Mutex mutex_;
  CondVar mail_came_;
  CondVar wake_ended_;
  Mail mail_ GUARDED_BY(mutex_);
  bool parked_ GUARDED_BY(mutex_) = false;
  std::optional<Error> closed_ GUARDED_BY(mutex_);
  std::int32_t accepted_ GUARDED_BY(mutex_) = 0;  // taken by the engine thread since the last publish
  EngineStats stats_ GUARDED_BY(mutex_);
  BackendMemory memory_ GUARDED_BY(mutex_);
  StreamWaker* waking_ GUARDED_BY(mutex_) = nullptr;  // whose wake() is running
  std::thread::id engine_thread_ GUARDED_BY(mutex_);
  std::vector<std::uint64_t> woken_ids_;  // engine thread
  std::vector<StreamWaker*> told_;        // engine thread
};

}  // namespace mlxd
