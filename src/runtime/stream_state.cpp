#include "runtime/stream_state.h"

#include <iterator>

#include "base/clock.h"

namespace mlxd {

void StreamState::publish(TokenEvent event) {
  bool notify = false;
  {
    const MutexLock lock(mutex_);
    queue_place_.reset();
    ended_ = event.finish || event.error;
    events_.push_back(std::move(event));
    notify = someone_waits_;
  }
  if (notify) arrived_.notify_one();
}

void StreamState::set_queue_place(std::optional<QueuePlace> place) {
  const MutexLock lock(mutex_);
  queue_place_ = place;
}

std::optional<QueuePlace> StreamState::queue_place() {
  const MutexLock lock(mutex_);
  return queue_place_;
}

bool StreamState::take_events(std::vector<TokenEvent>& events) {
  const MutexLock lock(mutex_);
  if (events.empty()) {
    std::swap(events, events_);  // the two buffers take turns: no allocation a token
  } else {
    std::move(events_.begin(), events_.end(), std::back_inserter(events));
    events_.clear();
  }
  return !ended_;
}

bool StreamState::wait(std::chrono::milliseconds timeout) {
  const TimePoint deadline = Clock::real().now() + timeout;
  const MutexLock lock(mutex_);
  someone_waits_ = true;
  while (events_.empty() && !ended_) {
    if (!arrived_.wait_until(mutex_, deadline)) break;
  }
  someone_waits_ = false;
  return !events_.empty();
}

bool StreamState::ended() {
  const MutexLock lock(mutex_);
  return ended_;
}

}  // namespace mlxd
