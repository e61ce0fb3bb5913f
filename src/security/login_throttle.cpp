#include "security/login_throttle.h"

#include <algorithm>

namespace mlxd {
namespace {

// Failures so long ago are forgiven.
constexpr std::chrono::hours kMemory{1};

std::string account_name(std::string_view account) {
  return "account " + std::string(account.substr(0, 320));
}
std::string address_name(std::string_view address) { return "address " + std::string(address.substr(0, 64)); }

}  // namespace

std::chrono::seconds LoginThrottle::left(const std::string& name) const {
  const auto entry = entries_.find(name);
  const TimePoint now = clock_.now();
  if (entry == entries_.end() || entry->second.free_at <= now) return std::chrono::seconds(0);
  return std::chrono::ceil<std::chrono::seconds>(entry->second.free_at - now);
}

std::chrono::seconds LoginThrottle::wait(std::string_view account, std::string_view address) const {
  const MutexLock lock(mutex_);
  return std::max(left(account_name(account)), left(address_name(address)));
}

void LoginThrottle::count(const std::string& name, int free_failures, std::chrono::seconds longest) {
  const TimePoint now = clock_.now();
  auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    if (entries_.size() >= capacity_) {
      entries_.erase(by_failure_.back());
      by_failure_.pop_back();
    }
    by_failure_.push_front(name);
    entry = entries_.emplace(name, Entry{}).first;
    entry->second.place = by_failure_.begin();
  } else {
    by_failure_.splice(by_failure_.begin(), by_failure_, entry->second.place);
    if (now - entry->second.last > kMemory) entry->second.failures = 0;
  }
  entry->second.last = now;
  const int over = ++entry->second.failures - free_failures;
  if (over <= 0) return;
  // 1, 2, 4, … seconds.
  const std::chrono::seconds pause(std::int64_t{1} << std::min(over - 1, 20));
  entry->second.free_at = now + std::min(pause, longest);
}

void LoginThrottle::failed(std::string_view account, std::string_view address) {
  const MutexLock lock(mutex_);
  count(account_name(account), kFreeAccountFailures, kLongestAccountWait);
  count(address_name(address), kFreeAddressFailures, kLongestAddressWait);
}

void LoginThrottle::succeeded(std::string_view account) {
  const MutexLock lock(mutex_);
  const auto entry = entries_.find(account_name(account));
  if (entry == entries_.end()) return;
  by_failure_.erase(entry->second.place);
  entries_.erase(entry);
}

}  // namespace mlxd
