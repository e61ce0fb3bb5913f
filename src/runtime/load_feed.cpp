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
  std::vector<std::shared_ptr<Follower>> behind;
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
    for (const auto& each : followers_) {
      // Who is telling it something will see what is new.
      if (!std::exchange(each->is_telling, true)) behind.push_back(each);
    }
  }
  for (const auto& each : behind) bring_up_to_date(each);
}

std::uint64_t LoadFeed::follow(Listener listener) {
  const auto follower = std::make_shared<Follower>();
  follower->listener = std::move(listener);
  follower->is_telling = true;
  {
    const MutexLock lock(mutex_);
    follower->id = next_id_++;
    followers_.push_back(follower);
  }
  bring_up_to_date(follower);
  const MutexLock lock(mutex_);
  return std::find(followers_.begin(), followers_.end(), follower) != followers_.end() ? follower->id : 0;
}

void LoadFeed::stop(std::uint64_t follower) {
  const MutexLock lock(mutex_);
  const auto which = std::find_if(followers_.begin(), followers_.end(),
                                  [follower](const auto& each) { return each->id == follower; });
  if (which == followers_.end()) return;
  (*which)->is_stopped = true;
  followers_.erase(which);
}

LoadEvent LoadFeed::latest() const {
  const MutexLock lock(mutex_);
  return events_.empty() ? LoadEvent{} : events_.back();
}

void LoadFeed::bring_up_to_date(const std::shared_ptr<Follower>& follower) {
  for (;;) {
    LoadEvent event;
    {
      const MutexLock lock(mutex_);
      if (follower->is_stopped || follower->told == events_.size()) {
        follower->is_telling = false;
        return;
      }
      event = events_[follower->told++];
      if (is_last(event.step)) std::erase(followers_, follower);
    }
    follower->listener(event);
  }
}

}  // namespace mlxd
