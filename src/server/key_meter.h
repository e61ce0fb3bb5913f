// What each API key uses, against its limits: requests and tokens of the last minute (an exact window, not a
// bucket), of the calendar month in UTC, and requests at once. A minute is one of time that passes, whatever
// the date is set to; a month has its own count by its date, which is found as it was if the date is set to
// another month and back. Counts in memory; what the store does not have yet is taken from time to time.
// Thread-safe if the clock is.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "store/key_store.h"

namespace mlxd {

class KeyMeter;

/// A request of a key under way; its place under `max_concurrent` is free when this goes. The meter must
/// outlive it.
class KeyUse {
 public:
  KeyUse(KeyMeter& meter, std::string key_id) : meter_(meter), key_id_(std::move(key_id)) {}
  ~KeyUse();
  KeyUse(const KeyUse&) = delete;
  KeyUse& operator=(const KeyUse&) = delete;
  /// Adds what the request has used; also when it was cut.
  void note(std::int64_t prompt_tokens, std::int64_t completion_tokens) const;

 private:
  KeyMeter& meter_;
  const std::string key_id_;
};

/// Year * 12 + month from 0, in UTC.
std::int64_t month_of(std::int64_t wall_seconds);

class KeyMeter {
 public:
  explicit KeyMeter(const Clock& clock) : clock_(clock) {}

  struct Refusal {
    Error error{ErrorKind::kOverloaded, {}};
    int retry_after_s = 0;
  };
  /// A place for one request, or nullptr and why not. Counts the request if it is let in.
  std::shared_ptr<KeyUse> admit(const ApiKey& key, Refusal& refusal);

  /// What the store knows, of all months; before the first request.
  void load(const std::vector<KeyUsage>& usage);
  /// What was used since this was last called; put it back if the store could not take it.
  std::vector<KeyUsage> take_unsaved();
  void put_back(const std::vector<KeyUsage>& unsaved);
  bool has_unsaved() const;
  void forget(const std::string& key_id);

 private:
  friend class KeyUse;
  struct State {
    std::deque<TimePoint> requests;                         // of the last minute
    std::deque<std::pair<TimePoint, std::int64_t>> tokens;  // of the last minute
    std::int64_t minute_tokens = 0;
    std::int64_t running = 0;
    std::int64_t month = 0;
    std::map<std::int64_t, std::int64_t> month_tokens;  // by month
    KeyUsage unsaved;
  };
  void drop_old(State& state, TimePoint now) const;
  void start_month(State& state, const std::string& key_id) REQUIRES(mutex_);
  void release(const std::string& key_id);
  void note(const std::string& key_id, std::int64_t prompt_tokens, std::int64_t completion_tokens);

  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, State, std::less<>> states_ GUARDED_BY(mutex_);
  std::vector<KeyUsage> finished_ GUARDED_BY(mutex_);  // unsaved, of months that are over
};

}  // namespace mlxd
