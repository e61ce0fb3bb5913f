// What happens while a model is loaded, from the first wish for it to the end, for any number of listeners:
// one who comes late is told everything from the beginning. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace mlxd {

enum class LoadStep {
  kWaiting,    // for room, or for another load
  kReading,    // weights are read and brought into the backend's form
  kPreparing,  // K/V and tokenizer
  kWarmingUp,  // the first token
  kReady,
  kFailed,  // with the reason
};
/// "waiting", "reading", "preparing", "warming_up", "ready", "failed".
std::string_view to_string(LoadStep step);
inline bool is_last(LoadStep step) { return step == LoadStep::kReady || step == LoadStep::kFailed; }

struct LoadEvent {
  LoadStep step = LoadStep::kWaiting;
  float fraction = 0.0F;         // of kReading
  double elapsed_seconds = 0.0;  // since the first event
  std::string message;           // of kFailed
};

class LoadFeed {
 public:
  using Listener = std::function<void(const LoadEvent&)>;

  /// Tells all listeners, each on this thread, or on the one that is telling it something. Of kReading only
  /// whole percents are news; after the last step nothing is.
  void publish(LoadStep step, float fraction = 0.0F, std::string message = {});
  /// Calls `listener` with all there was before it returns, and then with what comes, in order and never
  /// twice at a time; after the last step it is let go. Returns a number to stop by, 0 if there is nothing
  /// more to come. `listener` must be quick and must not call the feed.
  std::uint64_t follow(Listener listener);
  void stop(std::uint64_t follower);
  LoadEvent latest() const;

 private:
  // Guarded by mutex_, but for the listener, which belongs to the thread that set is_telling.
  struct Follower {
    std::uint64_t id = 0;
    Listener listener;
    std::size_t told = 0;  // events
    bool is_telling = false;
    bool is_stopped = false;
  };
  /// Tells it what is new until nothing is. is_telling was set by this thread.
  void bring_up_to_date(const std::shared_ptr<Follower>& follower);

  mutable Mutex mutex_;
  std::vector<LoadEvent> events_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Follower>> followers_ GUARDED_BY(mutex_);
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  TimePoint started_ GUARDED_BY(mutex_){};
};

}  // namespace mlxd
