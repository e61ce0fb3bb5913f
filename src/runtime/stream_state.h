// What a request's stream and the engine thread share: the events not yet taken. Internal to runtime.
// Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "engine/sequence.h"
#include "generation/generation_event.h"
#include "runtime/queue_place.h"

namespace mlxd {

class EngineInbox;
class StreamWaker;

class StreamState {
 public:
  StreamState(SequenceId id, StreamWaker* waker, std::shared_ptr<EngineInbox> inbox)
      : id_(id), waker_(waker), inbox_(std::move(inbox)) {}

  SequenceId id() const { return id_; }
  StreamWaker* waker() const { return waker_; }  // may be null
  EngineInbox& inbox() const { return *inbox_; }

  /// Engine thread: where the request waits, or that it does not.
  void set_queue_place(std::optional<QueuePlace> place) EXCLUDES(mutex_);
  std::optional<QueuePlace> queue_place() EXCLUDES(mutex_);

  /// Engine thread: adds an event; the one with `finish` or `error` is the last.
  void publish(TokenEvent event) EXCLUDES(mutex_);

  /// See GenerationStream.
  bool take_events(std::vector<TokenEvent>& events) EXCLUDES(mutex_);
  bool wait(std::chrono::milliseconds timeout) EXCLUDES(mutex_);
  /// The last event has been published.
  bool ended() EXCLUDES(mutex_);

 private:
  friend class EngineInbox;  // for abandoned_

  const SequenceId id_;
  StreamWaker* const waker_;
  const std::shared_ptr<EngineInbox> inbox_;
  bool abandoned_ = false;  // its owner is gone; guarded by the inbox's mutex

  Mutex mutex_;
  CondVar arrived_;
  std::vector<TokenEvent> events_ GUARDED_BY(mutex_);
  std::optional<QueuePlace> queue_place_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
  bool someone_waits_ GUARDED_BY(mutex_) = false;
};

}  // namespace mlxd
