// What the pool's policy does next. See pool_policy.h for the order.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "runtime/pool_policy.h"

namespace mlxd {
namespace {

constexpr std::size_t kSlabBytes = std::size_t{64} << 20U;  // least that K/V grow by

}  // namespace

void PoolPolicy::wake(TimePoint when) {
  if (!wake_at_ || when < *wake_at_) wake_at_ = when;
}

std::optional<PoolPolicy::Chore> PoolPolicy::next_chore(TimePoint now) {
  wake_at_.reset();
  expire(now);
  grant(now);
  if (auto chore = depart(now)) return chore;
  const std::size_t committed = committed_bytes();
  const bool is_over = committed > settings_.budget_bytes;
  if (is_over) {
    if (auto chore = make_room(committed - settings_.budget_bytes, budget_changed_at_, now, true))
      return chore;
  }
  if (auto chore = load(now)) return chore;
  const bool any_waits = std::any_of(entries_.begin(), entries_.end(),
                                     [](const auto& entry) { return entry.second.since().has_value(); });
  if (is_over || any_waits) return std::nullopt;
  reopen();
  grant(now);
  if (auto chore = hold(now)) return chore;
  return grow(now);
}

// Waiters whose time is over.
void PoolPolicy::expire(TimePoint now) {
  for (auto& [name, entry] : entries_) {
    std::erase_if(entry.waiters, [&](const Waiter& waiter) {
      if (!waiter.deadline) return false;
      if (now < *waiter.deadline) {
        wake(*waiter.deadline);
        return false;
      }
      answers_.push_back({waiter.ticket, Error(ErrorKind::kTimeout,
                                               "model '" + name +
                                                   "' was not loaded by the request's time limit: try again "
                                                   "or give it more time")});
      return true;
    });
  }
}

void PoolPolicy::grant(TimePoint now) {
  for (auto& [name, entry] : entries_) {
    if (!entry.is_settled_open()) continue;
    for (const Waiter& waiter : entry.waiters) {
      use(entry, now);
      ++entry.leases;
      answers_.push_back({waiter.ticket, std::nullopt});
    }
    entry.waiters.clear();
  }
}

// Models that were told to go, and those whose time is over.
std::optional<PoolPolicy::Chore> PoolPolicy::depart(TimePoint now) {
  for (auto& [name, entry] : entries_) {
    if (entry.state != State::kReady || entry.leases > 0 || entry.resizing_to) continue;
    if (entry.leave) return begin_unload(entry);
    const auto until = idle_until(entry);
    if (!until || entry.is_protected()) continue;
    if (now >= *until) return begin_unload(entry);
    wake(*until);
  }
  return std::nullopt;
}

PoolPolicy::Chore PoolPolicy::begin_unload(Entry& entry) {
  CHECK(entry.leases == 0 && entry.state == State::kReady);
  entry.state = State::kLeaving;
  return {Chore::Kind::kUnload, entry.name, 0};
}

bool PoolPolicy::is_evictable(const Entry& entry, TimePoint now) {
  if (entry.leases > 0 || entry.resizing_to || entry.state != State::kReady || entry.is_protected())
    return false;
  return entry.closing || now >= entry.last_used + settings_.settle;
}

PoolPolicy::Entries PoolPolicy::victims(TimePoint now) {
  Entries order;
  for (auto& [name, entry] : entries_) {
    if (entry.state == State::kReady) order.push_back(&entry);
  }
  std::stable_sort(order.begin(), order.end(), [&](const Entry* a, const Entry* b) {
    if (settings_.eviction == Eviction::kLfu) {
      const double uses_a = uses_at(*a, now), uses_b = uses_at(*b, now);
      if (uses_a != uses_b) return uses_a < uses_b;
    } else if (settings_.eviction == Eviction::kTtl) {
      const auto end_a = idle_until(*a), end_b = idle_until(*b);
      if (end_a != end_b) return end_a && (!end_b || *end_a < *end_b);
    }
    return a->last_used < b->last_used;
  });
  return order;
}

// Takes from models what one conversation does not need, idle ones first.
std::optional<PoolPolicy::Chore> PoolPolicy::shrink(std::size_t bytes, const Entries& order) {
  for (const bool idle : {true, false}) {
    for (Entry* const entry : order) {
      if ((entry->leases == 0) != idle || entry->resizing_to || entry->excess() == 0) continue;
      entry->resizing_to = entry->quota - std::min(bytes, entry->excess());
      return Chore{Chore::Kind::kResize, entry->name, *entry->resizing_to};
    }
  }
  return std::nullopt;
}

// One step towards `bytes` more room, for one who waits since `since`. Without a chore it is a matter of
// waiting. `at_once`: what can be had without waiting is taken, even if it is not enough.
std::optional<PoolPolicy::Chore> PoolPolicy::make_room(std::size_t bytes, TimePoint since, TimePoint now,
                                                       bool at_once) {
  const std::size_t coming = coming_bytes();
  if (coming >= bytes) return std::nullopt;
  std::size_t missing = bytes - coming;
  const Entries order = victims(now);
  std::size_t excess = 0;  // of all, victims included
  for (const Entry* const entry : order) excess += entry->resizing_to ? 0 : entry->excess();
  if (excess >= missing) return shrink(missing, order);

  // Idle models, as many as it takes together with what the others can spare.
  Entries going;
  std::size_t gain = excess;
  for (Entry* const entry : order) {
    if (gain >= missing) break;
    if (!is_evictable(*entry, now)) continue;
    going.push_back(entry);
    gain += entry->quota - entry->excess();
  }
  if (gain >= missing) {
    // Those that turn out not to be needed stay: a large one may do alone.
    for (auto entry = going.begin(); entry != going.end() && going.size() > 1;) {
      const std::size_t least = (*entry)->quota - (*entry)->excess();
      if (gain - least >= missing) {
        gain -= least;
        entry = going.erase(entry);
      } else {
        ++entry;
      }
    }
    return begin_unload(*going.front());
  }

  if (at_once && excess > 0) return shrink(missing, order);
  // Models in use, those first that take no requests any more.
  Entries used;
  for (Entry* const entry : order) {
    if (!entry->is_protected() && std::find(going.begin(), going.end(), entry) == going.end())
      used.push_back(entry);
  }
  std::stable_partition(used.begin(), used.end(), [](const Entry* entry) { return entry->closing; });
  for (Entry* const entry : used) {
    if (gain >= missing) break;
    gain += entry->quota - entry->excess();
    // Busy with a change of its own, or about to go; its end brings us back here.
    if (entry->closing || entry->resizing_to || entry->leave) continue;
    const TimePoint turn = std::max(since, entry->ready_at) + settings_.swap_wait;
    const TimePoint settled = entry->last_used + settings_.settle;
    const TimePoint until = entry->leases == 0 ? std::min(turn, settled) : turn;
    if (now < until) {
      wake(until);
      continue;
    }
    entry->closing = true;
    if (entry->leases == 0) wake(now);  // it may go at once
  }
  return std::nullopt;
}

PoolPolicy::Chore PoolPolicy::begin_load(Entry& entry) {
  entry.state = State::kLoading;
  entry.quota = entry.needs.least_bytes;
  return {Chore::Kind::kLoad, entry.name, entry.quota};
}

std::optional<PoolPolicy::Chore> PoolPolicy::load(TimePoint now) {
  Entries waiting;
  for (auto& [name, entry] : entries_) {
    if (entry.state == State::kLoading) return std::nullopt;  // one at a time
    if (entry.since()) waiting.push_back(&entry);
  }
  std::stable_sort(waiting.begin(), waiting.end(),
                   [](const Entry* a, const Entry* b) { return *a->since() < *b->since(); });
  for (Entry* const entry : waiting) {
    if (const auto possible = check_possible(*entry); !possible.ok()) {
      // Others have been pinned since it was asked for.
      entry->wanted_since.reset();
      entry->failure = possible.error();
      entry->failed_at = now;
      fail_waiters(*entry, possible.error());
      continue;
    }
    const std::size_t needed = entry->needs.least_bytes;
    if (needed <= free_bytes()) {
      reopen();
      return begin_load(*entry);
    }
    if (auto chore = make_room(needed - free_bytes(), *entry->since(), now, false)) return chore;
    // What is free is being gathered for this one once others give way for it; until then those behind it
    // may have what fits.
    const bool gathers = coming_bytes() > 0 || std::any_of(entries_.begin(), entries_.end(),
                                                           [](const auto& e) { return e.second.closing; });
    if (gathers) return std::nullopt;
  }
  return std::nullopt;
}

// Nobody waits for their going any more.
void PoolPolicy::reopen() {
  for (auto& [name, entry] : entries_) entry.closing = false;
}

// Memory for the first reservation that waits, from what is free and what models have that nobody uses.
std::optional<PoolPolicy::Chore> PoolPolicy::hold(TimePoint now) {
  for (Reservation& each : reservations_) {
    if (each.granted) continue;
    if (each.bytes <= free_bytes()) {
      each.granted = true;
      answers_.push_back({each.ticket, std::nullopt});
      continue;
    }
    const std::size_t found = free_bytes() + coming_bytes();
    if (found >= each.bytes) return std::nullopt;
    const std::size_t missing = each.bytes - found;
    Entries idle = victims(now);
    std::erase_if(idle, [](const Entry* entry) { return entry->leases > 0 || entry->resizing_to; });
    std::size_t gain = 0;
    for (const Entry* const entry : idle) gain += entry->excess();
    if (gain >= missing) return shrink(missing, idle);
    Entry* first = nullptr;
    for (Entry* const entry : idle) {
      if (entry->is_protected()) continue;
      if (!is_evictable(*entry, now)) {
        wake(entry->last_used + settings_.settle);
        continue;
      }
      if (first == nullptr) first = entry;
      gain += entry->quota - entry->excess();
    }
    // None goes for too little.
    if (first != nullptr && gain >= missing) return begin_unload(*first);
    return std::nullopt;
  }
  return std::nullopt;
}

// K/V for those who are short of it, from what is free and what idle models can spare.
std::optional<PoolPolicy::Chore> PoolPolicy::grow(TimePoint now) {
  for (auto& [name, entry] : entries_) {
    if (!entry.pressed || entry.resizing_to) continue;
    if (entry.state != State::kReady || entry.quota >= entry.needs.most_bytes) {
      entry.pressed = false;
      continue;
    }
    const std::size_t wanted =
        std::min(std::max(kSlabBytes, entry.quota / 4), entry.needs.most_bytes - entry.quota);
    if (wanted > free_bytes()) {
      Entries idle;
      for (Entry* const other : victims(now)) {
        if (other->leases == 0 && other != &entry) idle.push_back(other);
      }
      if (auto chore = shrink(wanted - free_bytes(), idle)) return chore;
      if (coming_bytes() > 0) continue;
    }
    entry.pressed = false;
    const std::size_t slab = std::min(wanted, free_bytes());
    if (slab == 0) continue;
    entry.quota += slab;
    entry.resizing_to = entry.quota;
    return Chore{Chore::Kind::kResize, name, entry.quota};
  }
  return std::nullopt;
}

}  // namespace mlxd
