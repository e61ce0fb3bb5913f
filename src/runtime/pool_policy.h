// What the model pool decides: who is loaded, who leaves, who waits, and how much memory each may take of one
// budget. A pure state machine over names, bytes and times: it touches no model, no thread and no clock. Its
// owner (ModelPool) carries out one chore after another and tells what became of it.
//
// A model's quota counts against the budget from the moment its load begins until it is gone. A load that
// does not fit is made room for in this order: quotas shrink to what one conversation needs, idle models go
// (in the order that the eviction setting says), and at last a model in use takes no new requests and goes
// when those it has are answered. That last step waits until the one who asks has waited `swap_wait`, and the
// one in use has been there that long: so two models under steady traffic take turns and neither starves.
// Pinned and preloaded models go only when told to; one in use never goes.
//
// Memory may also be reserved for what is no model (a job). A reservation goes behind every model that waits
// and pushes out only idle ones.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "runtime/memory_needs.h"

namespace mlxd {

enum class Eviction {
  kLru,  // first the one not used for the longest time
  kLfu,  // first the one used least often (uses count half as much every ten minutes)
  kTtl,  // first the one whose time to live ends first
};
/// "lru", "lfu" or "ttl".
std::string_view to_string(Eviction eviction);

/// How long a model stays that nobody uses. Negative: until its memory is needed.
using KeepAlive = Duration;
inline constexpr KeepAlive kKeepForever{-1};

struct PoolSettings {
  std::size_t budget_bytes = SIZE_MAX;
  /// K/V may take a good part of what is free of the budget from the start, and not only when they need it.
  bool spend_budget = false;
  Eviction eviction = Eviction::kLru;
  /// Where a request says nothing; absent: for ever, and five minutes with kTtl.
  std::optional<KeepAlive> keep_alive = {};
  /// The longest that a model in use keeps another one out by new requests.
  Duration swap_wait = std::chrono::seconds(5);
  std::size_t max_waiting = 1024;  // requests for models that are not there yet
  /// How long a failed load is answered from memory.
  Duration failure_wait = std::chrono::seconds(5);
  /// A model is idle once it has not been used for so long: a client's next request often follows at once.
  Duration settle = std::chrono::milliseconds(100);
};

class PoolPolicy {
 public:
  using Ticket = std::uint64_t;
  enum class State { kUnloaded, kLoading, kReady, kLeaving };

  struct Chore {
    enum class Kind { kLoad, kResize, kUnload };
    Kind kind = Kind::kLoad;
    std::string name;
    std::size_t bytes = 0;  // quota to load or resize to
  };
  struct Answer {
    Ticket ticket = 0;
    std::optional<Error> error;  // absent: it has its lease
  };
  struct AcquireOptions {
    std::optional<KeepAlive> keep_alive = {};
    std::optional<TimePoint> deadline = {};
  };

  explicit PoolPolicy(const PoolSettings& settings) : settings_(settings) {}

  /// What a model needs, by a look at its files. Models must be known before they are asked for.
  void know(const std::string& name, const MemoryNeeds& needs);
  /// Whether a look is due: it is not loaded, nor about to be.
  bool is_cold(const std::string& name) const;
  /// What a model may have at the most: the budget without what protected others need.
  std::size_t room_for(const std::string& name) const;
  /// Of its last load; 0: there was none.
  std::size_t measured_fixed_bytes(const std::string& name) const;
  /// A look at its files failed.
  void note_failure(const std::string& name, const Error& error);
  /// A model that was loaded elsewhere. Errors: kConflict (the name is taken).
  Result<void> adopt(const std::string& name, std::size_t bytes, TimePoint now);

  /// True: the lease is given, at once. False: an Answer will come. Errors: kOutOfMemory (it can never fit
  /// beside what is protected, with the numbers), kOverloaded (too many wait), that of a load that failed
  /// just now.
  Result<bool> acquire(const std::string& name, Ticket ticket, TimePoint now, const AcquireOptions& options);
  void release(const std::string& name, TimePoint now);
  /// Takes a waiting ticket out; false: it does not wait (any more).
  bool withdraw(Ticket ticket);
  /// Loads without a request. Errors: as acquire.
  Result<void> preload(const std::string& name, TimePoint now);
  void set_pinned(const std::string& name, bool pinned);
  void set_preloaded(const std::string& name, bool preloaded);
  void set_keep_alive(const std::string& name, KeepAlive keep_alive, TimePoint now);
  /// The model goes as soon as nobody uses it, protected or not; requests that come meanwhile load it again.
  void unload(const std::string& name);
  /// A model in use could do with more K/V.
  void press(const std::string& name);
  /// Errors: kOutOfMemory if a smaller budget cannot hold the protected models; nothing has changed then.
  Result<void> set_settings(const PoolSettings& settings, TimePoint now);
  const PoolSettings& settings() const { return settings_; }
  /// For a budget that follows the machine: never below what is in use.
  void follow_budget(std::size_t bytes);

  /// `bytes` of the budget for what is no model; an Answer says when they are there. Errors: kOutOfMemory
  /// (they can never be, beside what is protected, with the numbers).
  Result<void> reserve(Ticket ticket, std::size_t bytes);
  /// Gives a reservation back, or up.
  void give_back(Ticket ticket);
  /// What reservations have.
  std::size_t reserved_bytes() const;

  /// The next thing to do, if there is one now; `wake_at` then says when there may be, if ever without news.
  std::optional<Chore> next_chore(TimePoint now);
  std::optional<TimePoint> wake_at() const { return wake_at_; }
  /// Outcomes of waiting tickets since the last call.
  std::vector<Answer> take_answers();

  /// While loading, once weights and scratch are known: the quota, reserved. Errors: kOutOfMemory.
  Result<std::size_t> settle(const std::string& name, const MemoryNeeds& needs);
  void loaded(const std::string& name, TimePoint now);
  /// `remember`: later requests are answered with the error for a while.
  void load_failed(const std::string& name, const Error& error, TimePoint now, bool remember = true);
  /// `bytes`: the quota it has now, whether or not that is what was asked for.
  void resized(const std::string& name, std::size_t bytes);
  void unloaded(const std::string& name);

  struct View {
    State state = State::kUnloaded;
    MemoryNeeds needs;
    std::size_t quota_bytes = 0;
    std::int32_t leases = 0;
    std::size_t waiting = 0;
    bool wanted = false;  // waits for its load
    bool pinned = false;
    bool preloaded = false;
    bool closing = false;                     // takes no new requests until it has gone
    std::optional<Duration> keep_alive_left;  // absent: not idle, or for ever
    std::optional<Error> failure;
  };
  /// Nothing if the model is not known.
  std::optional<View> view(const std::string& name, TimePoint now) const;
  std::vector<std::string> names() const;
  std::size_t committed_bytes() const;
  std::size_t num_waiting() const;
  /// Whether counts, states and bytes agree; for tests.
  Result<void> check_integrity() const;

 private:
  struct Waiter {
    Ticket ticket = 0;
    TimePoint since;
    std::optional<TimePoint> deadline;
  };
  struct Entry {
    std::string name;
    State state = State::kUnloaded;
    MemoryNeeds needs;
    std::size_t measured_fixed = 0;
    std::size_t quota = 0;
    std::optional<std::size_t> resizing_to;
    std::int32_t leases = 0;
    bool pinned = false;
    bool preloaded = false;
    bool closing = false;
    bool leave = false;      // told to go
    bool pressed = false;    // wants more K/V
    bool misjudged = false;  // needs more than was known when its load began
    bool retried = false;
    TimePoint ready_at{};
    TimePoint last_used{};
    double uses = 0.0;  // as of last_used
    std::optional<KeepAlive> keep_alive;
    std::optional<TimePoint> wanted_since;  // by preload
    std::deque<Waiter> waiters;
    std::optional<Error> failure;
    TimePoint failed_at{};

    bool is_protected() const { return (pinned || preloaded) && !leave; }
    bool is_settled_open() const { return state == State::kReady && !closing && !leave; }
    std::size_t excess() const { return quota > needs.least_bytes ? quota - needs.least_bytes : 0; }
    std::optional<TimePoint> since() const;  // it waits for its load; absent: it does not
  };
  using Entries = std::vector<Entry*>;
  struct Reservation {
    Ticket ticket = 0;
    std::size_t bytes = 0;
    bool granted = false;
  };

  Entry& at(const std::string& name);
  std::size_t free_bytes() const;
  std::size_t coming_bytes() const;
  std::size_t protected_bytes_beside(const std::string& name) const;
  Result<void> check_possible(const Entry& entry) const;
  KeepAlive keep_alive_of(const Entry& entry) const;
  std::optional<TimePoint> idle_until(const Entry& entry) const;
  double uses_at(const Entry& entry, TimePoint now) const;
  void use(Entry& entry, TimePoint now);
  void wake(TimePoint when);
  bool is_evictable(const Entry& entry, TimePoint now);
  /// Ready models, first to go first.
  Entries victims(TimePoint now);

  void expire(TimePoint now);
  void grant(TimePoint now);
  void fail_waiters(Entry& entry, const Error& error);
  std::optional<Chore> depart(TimePoint now);
  std::optional<Chore> make_room(std::size_t bytes, TimePoint since, TimePoint now, bool at_once);
  std::optional<Chore> shrink(std::size_t bytes, const Entries& order);
  std::optional<Chore> load(TimePoint now);
  std::optional<Chore> hold(TimePoint now);
  std::optional<Chore> grow(TimePoint now);
  Chore begin_unload(Entry& entry);
  Chore begin_load(Entry& entry);
  void reopen();

  PoolSettings settings_;
  TimePoint budget_changed_at_{};
  std::map<std::string, Entry> entries_;
  std::vector<Reservation> reservations_;  // in order of arrival
  std::vector<Answer> answers_;
  std::optional<TimePoint> wake_at_;
};

}  // namespace mlxd
