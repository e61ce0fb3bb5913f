#include "runtime/pool_policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>
#include <utility>

#include "base/check.h"

namespace mlxd {
namespace {

constexpr KeepAlive kDefaultTimeToLive = std::chrono::minutes(5);
constexpr Duration kUsesHalveIn = std::chrono::minutes(10);

// Decimal, as sizes are written in settings; two digits behind the point tell small models apart.
std::string gigabytes(std::size_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text.data();
}

}  // namespace

std::string_view to_string(Eviction eviction) {
  switch (eviction) {
    case Eviction::kLru:
      return "lru";
    case Eviction::kLfu:
      return "lfu";
    case Eviction::kTtl:
      return "ttl";
  }
  return "lru";
}

std::optional<TimePoint> PoolPolicy::Entry::since() const {
  if (state != State::kUnloaded) return std::nullopt;
  std::optional<TimePoint> first = wanted_since;
  if (!waiters.empty() && (!first || waiters.front().since < *first)) first = waiters.front().since;
  return first;
}

PoolPolicy::Entry& PoolPolicy::at(const std::string& name) {
  const auto found = entries_.find(name);
  CHECK(found != entries_.end());
  return found->second;
}

void PoolPolicy::know(const std::string& name, const MemoryNeeds& needs) {
  Entry& entry = entries_[name];
  entry.name = name;
  if (entry.state == State::kUnloaded) entry.needs = needs;
}

bool PoolPolicy::is_cold(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ||
         (found->second.state == State::kUnloaded && !found->second.since().has_value());
}

std::size_t PoolPolicy::protected_bytes_beside(const std::string& name) const {
  std::size_t bytes = 0;
  for (const auto& [other_name, other] : entries_) {
    if (other_name != name && other.state != State::kUnloaded && other.is_protected())
      bytes += other.needs.least_bytes;
  }
  return bytes;
}

std::size_t PoolPolicy::room_for(const std::string& name) const {
  return settings_.budget_bytes - std::min(settings_.budget_bytes, protected_bytes_beside(name));
}

std::size_t PoolPolicy::measured_fixed_bytes(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? 0 : found->second.measured_fixed;
}

void PoolPolicy::note_failure(const std::string& name, const Error& error) {
  Entry& entry = entries_[name];
  entry.name = name;
  entry.failure = error;
}

Result<void> PoolPolicy::adopt(const std::string& name, std::size_t bytes, TimePoint now) {
  if (entries_.contains(name) && entries_[name].state != State::kUnloaded)
    return Error(ErrorKind::kConflict, "two models are named '" + name + "': rename one of their folders",
                 "model");
  know(name, {bytes, bytes, bytes, bytes});
  Entry& entry = entries_[name];
  entry.state = State::kReady;
  entry.quota = bytes;
  entry.ready_at = entry.last_used = now;
  entry.preloaded = true;
  return {};
}

std::size_t PoolPolicy::committed_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [name, entry] : entries_) bytes += entry.quota;
  return bytes + reserved_bytes();
}

std::size_t PoolPolicy::free_bytes() const {
  const std::size_t committed = committed_bytes();
  return settings_.budget_bytes > committed ? settings_.budget_bytes - committed : 0;
}

// What is on its way back to the budget.
std::size_t PoolPolicy::coming_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [name, entry] : entries_) {
    if (entry.state == State::kLeaving)
      bytes += entry.quota;
    else if (entry.resizing_to && *entry.resizing_to < entry.quota)
      bytes += entry.quota - *entry.resizing_to;
  }
  return bytes;
}

std::size_t PoolPolicy::num_waiting() const {
  std::size_t count = 0;
  for (const auto& [name, entry] : entries_) count += entry.waiters.size();
  return count;
}

// Whether the model fits once all that may go has gone.
Result<void> PoolPolicy::check_possible(const Entry& entry) const {
  const std::size_t protected_bytes = protected_bytes_beside(entry.name);
  const std::size_t needed = entry.needs.least_bytes;
  if (needed <= settings_.budget_bytes && protected_bytes <= settings_.budget_bytes - needed) return {};
  std::string message =
      "model '" + entry.name + "' needs " + gigabytes(needed) + " (" + gigabytes(entry.needs.fixed_bytes) +
      " of weights and scratch, " + gigabytes(needed - std::min(needed, entry.needs.fixed_bytes)) +
      " of K/V at the least), the memory for models is " + gigabytes(settings_.budget_bytes);
  if (protected_bytes > 0) message += ", of which " + gigabytes(protected_bytes) + " are held by pinned ones";
  message += ": raise --memory, ask for a shorter --context";
  message += protected_bytes > 0 ? " or unpin a model" : " or use a smaller model";
  return Error(ErrorKind::kOutOfMemory, std::move(message), "model");
}

KeepAlive PoolPolicy::keep_alive_of(const Entry& entry) const {
  if (entry.keep_alive) return *entry.keep_alive;
  if (settings_.keep_alive) return *settings_.keep_alive;
  return settings_.eviction == Eviction::kTtl ? kDefaultTimeToLive : kKeepForever;
}

std::optional<TimePoint> PoolPolicy::idle_until(const Entry& entry) const {
  const KeepAlive keep = keep_alive_of(entry);
  // Longer than any clock runs is for ever, too.
  if (keep.count() < 0 || keep > std::chrono::hours(24 * 365 * 10)) return std::nullopt;
  return entry.last_used + keep;
}

double PoolPolicy::uses_at(const Entry& entry, TimePoint now) const {
  const double elapsed =
      std::chrono::duration<double>(now - entry.last_used) / std::chrono::duration<double>(kUsesHalveIn);
  return entry.uses * std::exp2(-elapsed);
}

void PoolPolicy::use(Entry& entry, TimePoint now) {
  entry.uses = uses_at(entry, now) + 1.0;
  entry.last_used = now;
}

Result<bool> PoolPolicy::acquire(const std::string& name, Ticket ticket, TimePoint now,
                                 const AcquireOptions& options) {
  Entry& entry = at(name);
  if (entry.is_settled_open() && entry.waiters.empty()) {
    if (options.keep_alive) entry.keep_alive = options.keep_alive;
    use(entry, now);
    ++entry.leases;
    return true;
  }
  if (entry.state == State::kUnloaded) {
    if (entry.failure && now < entry.failed_at + settings_.failure_wait) return *entry.failure;
    TRY(check_possible(entry));
  }
  if (const std::size_t waiting = num_waiting(); waiting >= settings_.max_waiting)
    return Error(ErrorKind::kOverloaded, std::to_string(waiting) +
                                             " requests wait for models to be loaded already, " +
                                             std::to_string(settings_.max_waiting) + " may: try again later");
  if (options.keep_alive) entry.keep_alive = options.keep_alive;
  entry.waiters.push_back({ticket, now, options.deadline});
  return false;
}

void PoolPolicy::release(const std::string& name, TimePoint now) {
  Entry& entry = at(name);
  CHECK(entry.leases > 0);
  --entry.leases;
  entry.uses = uses_at(entry, now);
  entry.last_used = now;
}

bool PoolPolicy::withdraw(Ticket ticket) {
  for (auto& [name, entry] : entries_) {
    if (std::erase_if(entry.waiters, [&](const Waiter& waiter) { return waiter.ticket == ticket; }) > 0)
      return true;
  }
  return false;
}

Result<void> PoolPolicy::preload(const std::string& name, TimePoint now) {
  Entry& entry = at(name);
  if (entry.state != State::kUnloaded || entry.wanted_since) return {};
  if (entry.failure && now < entry.failed_at + settings_.failure_wait) return *entry.failure;
  TRY(check_possible(entry));
  entry.wanted_since = now;
  return {};
}

void PoolPolicy::set_pinned(const std::string& name, bool pinned) { at(name).pinned = pinned; }
void PoolPolicy::set_preloaded(const std::string& name, bool preloaded) { at(name).preloaded = preloaded; }

void PoolPolicy::set_keep_alive(const std::string& name, KeepAlive keep_alive, TimePoint now) {
  Entry& entry = at(name);
  entry.keep_alive = keep_alive;
  // It begins now; how often the model is used is as before.
  entry.uses = uses_at(entry, now);
  entry.last_used = now;
}

void PoolPolicy::unload(const std::string& name) {
  Entry& entry = at(name);
  entry.pinned = entry.preloaded = false;
  entry.wanted_since.reset();
  if (entry.state == State::kReady) entry.leave = true;
}

void PoolPolicy::press(const std::string& name) { at(name).pressed = true; }

Result<void> PoolPolicy::set_settings(const PoolSettings& settings, TimePoint now) {
  const std::size_t protected_bytes = protected_bytes_beside({});
  if (settings.budget_bytes < settings_.budget_bytes && settings.budget_bytes < protected_bytes)
    return Error(ErrorKind::kOutOfMemory,
                 "pinned and preloaded models need " + gigabytes(protected_bytes) +
                     ", the memory for models would be " + gigabytes(settings.budget_bytes) +
                     ": unpin or unload a model first",
                 "memory");
  if (settings.budget_bytes != settings_.budget_bytes) budget_changed_at_ = now;
  settings_ = settings;
  return {};
}

void PoolPolicy::follow_budget(std::size_t bytes) {
  settings_.budget_bytes = std::max(bytes, committed_bytes());
}

Result<void> PoolPolicy::reserve(Ticket ticket, std::size_t bytes) {
  const std::size_t protected_bytes = protected_bytes_beside({});
  if (bytes > settings_.budget_bytes || protected_bytes > settings_.budget_bytes - bytes) {
    std::string message =
        "this needs " + gigabytes(bytes) + ", the memory for models is " + gigabytes(settings_.budget_bytes);
    if (protected_bytes > 0)
      message += ", of which " + gigabytes(protected_bytes) + " are held by pinned ones";
    message += protected_bytes > 0 ? ": raise --memory or unpin a model" : ": raise --memory";
    return Error(ErrorKind::kOutOfMemory, std::move(message));
  }
  reservations_.push_back({ticket, bytes, false});
  return {};
}

void PoolPolicy::give_back(Ticket ticket) {
  std::erase_if(reservations_, [&](const Reservation& each) { return each.ticket == ticket; });
}

std::size_t PoolPolicy::reserved_bytes() const {
  std::size_t bytes = 0;
  for (const Reservation& each : reservations_) bytes += each.granted ? each.bytes : 0;
  return bytes;
}

std::vector<PoolPolicy::Answer> PoolPolicy::take_answers() { return std::exchange(answers_, {}); }

Result<std::size_t> PoolPolicy::settle(const std::string& name, const MemoryNeeds& needs) {
  Entry& entry = at(name);
  CHECK(entry.state == State::kLoading);
  entry.needs = needs;
  entry.measured_fixed = needs.fixed_bytes;
  const std::size_t available = entry.quota + free_bytes();
  if (needs.least_bytes > available) {
    entry.misjudged = true;
    return Error(ErrorKind::kOutOfMemory, "model '" + name + "' needs " + gigabytes(needs.least_bytes) +
                                              ", more than the " + gigabytes(entry.quota) +
                                              " that its files let expect; free are " + gigabytes(available));
  }
  const bool others_wait = std::any_of(entries_.begin(), entries_.end(),
                                       [](const auto& other) { return other.second.since().has_value(); });
  std::size_t quota = needs.least_bytes;
  if (!others_wait) {
    const std::size_t spare = available - needs.least_bytes;
    quota = std::max(quota, std::min(needs.usual_bytes, available));
    if (settings_.spend_budget)
      quota = std::max(quota, std::min(needs.least_bytes + spare / 2, needs.most_bytes));
  }
  entry.quota = quota;
  return quota;
}

void PoolPolicy::loaded(const std::string& name, TimePoint now) {
  Entry& entry = at(name);
  CHECK(entry.state == State::kLoading);
  entry.state = State::kReady;
  entry.ready_at = now;
  entry.last_used = now;
  entry.misjudged = entry.retried = false;
  entry.wanted_since.reset();
  entry.failure.reset();
  grant(now);
}

void PoolPolicy::load_failed(const std::string& name, const Error& error, TimePoint now, bool remember) {
  Entry& entry = at(name);
  CHECK(entry.state == State::kLoading);
  entry.state = State::kUnloaded;
  entry.quota = 0;
  // With its real needs known, room can be made for it, once; or it is clear that none ever can.
  Error reason = error;
  if (std::exchange(entry.misjudged, false) && !std::exchange(entry.retried, true)) {
    const auto possible = check_possible(entry);
    if (possible.ok()) return;
    reason = possible.error();
  }
  entry.retried = false;
  entry.wanted_since.reset();
  if (remember) {
    entry.failure = reason;
    entry.failed_at = now;
  }
  fail_waiters(entry, reason);
}

void PoolPolicy::resized(const std::string& name, std::size_t bytes) {
  Entry& entry = at(name);
  entry.resizing_to.reset();
  entry.quota = bytes;
}

void PoolPolicy::unloaded(const std::string& name) {
  Entry& entry = at(name);
  CHECK(entry.state == State::kLeaving);
  entry.state = State::kUnloaded;
  entry.quota = 0;
  entry.closing = entry.leave = entry.pressed = false;
  entry.keep_alive.reset();
}

void PoolPolicy::fail_waiters(Entry& entry, const Error& error) {
  for (const Waiter& waiter : entry.waiters) answers_.push_back({waiter.ticket, error});
  entry.waiters.clear();
}

std::optional<PoolPolicy::View> PoolPolicy::view(const std::string& name, TimePoint now) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  View view{.state = entry.state,
            .needs = entry.needs,
            .quota_bytes = entry.quota,
            .leases = entry.leases,
            .waiting = entry.waiters.size(),
            .wanted = entry.since().has_value(),
            .pinned = entry.pinned,
            .preloaded = entry.preloaded,
            .closing = entry.closing || entry.leave,
            .keep_alive_left = {},
            .failure = entry.failure};
  const auto until = idle_until(entry);
  if (entry.state == State::kReady && entry.leases == 0 && until && !entry.is_protected())
    view.keep_alive_left = std::max(Duration{0}, Duration(*until - now));
  return view;
}

std::vector<std::string> PoolPolicy::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

Result<void> PoolPolicy::check_integrity() const {
  const auto wrong = [](const std::string& name, const std::string& what) {
    return Error(ErrorKind::kInternal, "model '" + name + "' " + what);
  };
  std::set<Ticket> tickets;
  for (const auto& [name, entry] : entries_) {
    const bool is_there = entry.state == State::kReady;
    if (entry.leases < 0) return wrong(name, "has less than no leases");
    if (entry.leases > 0 && !is_there) return wrong(name, "is in use and not ready");
    if (entry.state == State::kUnloaded && entry.quota != 0)
      return wrong(name, "is not loaded and has a quota");
    if (is_there && entry.quota < entry.needs.least_bytes) return wrong(name, "has less than it needs");
    if (entry.resizing_to && !is_there) return wrong(name, "is resized and not ready");
    if (entry.wanted_since && is_there) return wrong(name, "is wanted and ready");
    for (const Waiter& waiter : entry.waiters) {
      if (!tickets.insert(waiter.ticket).second) return wrong(name, "has a ticket twice");
    }
  }
  for (const Answer& answer : answers_) {
    if (tickets.contains(answer.ticket))
      return Error(ErrorKind::kInternal,
                   "ticket " + std::to_string(answer.ticket) + " is answered and waits");
  }
  return {};
}

}  // namespace mlxd
