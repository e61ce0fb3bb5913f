// Slows down who guesses passwords: after some failures an account, and an address that asks for accounts,
// must wait longer with each further one. An account never waits long, so that a stranger cannot lock its
// owner out. Bounded: who failed longest ago is forgotten first. Thread-safe if the clock is.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"

namespace mlxd {

class LoginThrottle {
 public:
  explicit LoginThrottle(const Clock& clock = Clock::real(), std::size_t capacity = 4096)
      : clock_(clock), capacity_(capacity) {}

  static constexpr int kFreeAccountFailures = 5;
  static constexpr int kFreeAddressFailures = 20;
  static constexpr std::chrono::seconds kLongestAccountWait{60};
  static constexpr std::chrono::seconds kLongestAddressWait{900};

  /// How long until `account` may be tried from `address`; 0: now.
  std::chrono::seconds wait(std::string_view account, std::string_view address) const;
  void failed(std::string_view account, std::string_view address);
  /// Forgets the account's failures, not the address's: one good account is no licence to guess others'.
  void succeeded(std::string_view account);

 private:
  struct Entry {
    int failures = 0;
    TimePoint free_at;
    TimePoint last;
    std::list<std::string>::iterator place;
  };
  void count(const std::string& name, int free_failures, std::chrono::seconds longest) REQUIRES(mutex_);
  std::chrono::seconds left(const std::string& name) const REQUIRES(mutex_);

  const Clock& clock_;
  const std::size_t capacity_;
  mutable Mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_ GUARDED_BY(mutex_);
  std::list<std::string> by_failure_ GUARDED_BY(mutex_);  // the latest first
};

}  // namespace mlxd
