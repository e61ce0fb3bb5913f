#include "runtime/load_feed.h"

#include <algorithm>
#include <utility>

namespace mlxd {

std::string_view to_string(LoadStep step) {
  switch (step) {
    case LoadStep::kWaiting:
      return "waiting";
    case LoadStep::kReading:
      return "reading";
    case LoadStep::kPreparing:
      return "preparing";
    case LoadStep::kWarmingUp:
      return "warming_up";
    case LoadStep::kReady:
      return "ready";
    case LoadStep::kFailed:
      return "failed";
  }
  return "failed";
}

void LoadFeed::publish(LoadStep step, float fraction, std::string message) {
  {
    const MutexLock lock(mutex_);
    const TimePoint now = Clock::real().now();
    if (events_.empty()) started_ = now;
    if (!events_.empty()) {
      const LoadEvent& last = events_.back();
      if (is_last(last.step)) return;
      if (last.step == step && static_cast<int>(last.fraction * 100) == static_cast<int>(fraction * 100))
        return;
    }
    events_.push_back(
        {step, fraction, std::chrono::duration<double>(now - started_).count(), std::move(message)});
  }
  tell();
}

std::uint64_t LoadFeed::follow(Listener listener) {
  std::uint64_t id = 0;
  {
    const MutexLock lock(mutex_);
    id = next_id_++;
    followers_.push_back({id, std::make_shared<Listener>(std::move(listener)), 0});
  }
  tell();
  const MutexLock lock(mutex_);
  const bool is_there =
      std::any_of(followers_.begin(), followers_.end(), [id](const Follower& each) { return each.id == id; });
  return is_there ? id : 0;
}

void LoadFeed::stop(std::uint64_t follower) {
  const MutexLock lock(mutex_);
  std::erase_if(followers_, [follower](const Follower& each) { return each.id == follower; });
}

LoadEvent LoadFeed::latest() const {
  const MutexLock lock(mutex_);
  return events_.empty() ? LoadEvent{} : events_.back();
}

void LoadFeed::tell() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(telling_, true)) return;  // that thread will see what is new
  }
  for (;;) {
    std::shared_ptr<Listener> listener;
    LoadEvent event;
    {
      const MutexLock lock(mutex_);
      const auto behind = std::find_if(followers_.begin(), followers_.end(),
                                       [&](const Follower& each) { return each.told < events_.size(); });
      if (behind == followers_.end()) {
        telling_ = false;
        return;
      }
      listener = behind->listener;
      event = events_[behind->told++];
      if (is_last(event.step)) followers_.erase(behind);
    }
    (*listener)(event);
  }
}

}  // namespace mlxd
