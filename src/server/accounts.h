// Accounts, sessions and API keys: the rules over their stores, and who holds a token. All that a request
// needs to be let in is in memory, so that it waits for no disk.
//
// While there is no account, a server on a loopback address lets local programs generate; everything else
// needs the setup token, which lies in HOME/setup.token for its owner alone and ends with the first account.
// The owner's token names whoever may read this run's file in the state folder: the command line of the same
// user.
//
// Thread-safe. What changes something writes to the database: not for I/O threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "security/login_throttle.h"
#include "server/caller.h"
#include "server/key_meter.h"
#include "store/database.h"
#include "store/key_store.h"
#include "store/user_store.h"

namespace mlxd {

/// What the settings say about accounts at the moment.
struct AccountPolicy {
  bool registration = true;
  std::int64_t session_seconds = 7 * 24 * 3600;
};

class Accounts {
 public:
  struct Options {
    Database* database = nullptr;
    const Clock* clock = &Clock::real();
    KeyMeter* meter = nullptr;
    bool loopback = true;                         // the server listens to this machine only
    std::filesystem::path setup_token_file = {};  // empty: the token is only in memory
    std::string owner_token = {};                 // empty: nobody is the owner
    std::function<AccountPolicy()> policy = [] { return AccountPolicy{}; };
  };
  /// Errors: of the database; kIo (the setup token's file).
  static Result<std::unique_ptr<Accounts>> open(Options options);

  /// Whose token it is. Errors: kUnauthorized for one that is nobody's while accounts exist.
  Result<Caller> identify(std::string_view bearer, std::string_view cookie) const;
  /// No account yet, on a loopback address.
  bool is_open() const;
  bool has_users() const;
  /// Empty once there is an account.
  std::string setup_token() const;

  struct Login {
    User user;
    Session session;
    std::string token;
    std::string csrf_token;
  };
  struct Draft {
    std::string email;
    std::string name;
    std::string password;
    std::optional<UserRole> role = {};
  };
  /// Makes an account: the first, if `caller` may; else one that waits for approval, or is active at once if
  /// an administrator makes it. Errors: kInvalidArgument, kConflict, kForbidden.
  Result<User> register_user(const Draft& draft, const Caller& caller);

  /// Errors: kUnauthorized (one answer for a wrong address and a wrong password), kForbidden (pending,
  /// disabled), kOverloaded with the seconds to wait.
  Result<Login> login(const std::string& email, const std::string& password, const std::string& address,
                      const std::string& agent, int& retry_after_s);
  Result<void> end_session(const std::string& session_id);
  std::vector<Session> sessions_of(const std::string& user_id) const;
  /// Ends the account's other sessions too. Errors: kForbidden (the old password is wrong), kInvalidArgument.
  Result<void> change_password(const Caller& caller, const std::string& old_password,
                               const std::string& new_password, int& retry_after_s);

  std::vector<User> users() const;
  Result<User> user(const std::string& id_or_email) const;
  /// A disabled account's sessions end, and its keys do not work.
  Result<User> change_user(const std::string& id, std::optional<UserRole> role,
                           std::optional<UserStatus> status, std::optional<std::string> name);
  Result<void> reset_password(const std::string& id, const std::string& password);
  Result<UserStore::Removed> remove_user(const std::string& id);

  struct NewKey {
    ApiKey key;
    std::string token;  // shown this once
  };
  /// `draft` without id, hash, hint and times. Errors: kInvalidArgument, kForbidden (an admin key for no
  /// admin).
  Result<NewKey> create_key(ApiKey draft);
  /// By creation, with their last use.
  Result<std::vector<ApiKey>> keys();
  Result<ApiKey> key(const std::string& id) const;
  Result<void> remove_key(const std::string& id);
  /// Brings what the meter has counted into the database first.
  Result<std::vector<KeyUsage>> usage_of(const std::string& key_id);
  Result<void> save_usage();

 private:
  /// All accounts, as of some write of the database. Constant.
  struct Directory {
    std::uint64_t num_writes = 0;
    std::vector<std::shared_ptr<const User>> users;
    std::map<std::string, std::shared_ptr<const User>, std::less<>> users_by_id;
    std::map<std::string, Session, std::less<>> sessions_by_hash;
    std::vector<std::shared_ptr<const ApiKey>> keys;
    std::map<std::string, std::shared_ptr<const ApiKey>, std::less<>> keys_by_hash;
  };
  using DirectoryPtr = std::shared_ptr<const Directory>;

  explicit Accounts(Options options);
  Result<void> refresh();
  Result<void> prepare_setup();
  DirectoryPtr directory() const;
  std::int64_t now_s() const { return options_.clock->wall_seconds(); }

  const Options options_;
  UserStore user_store_;
  KeyStore key_store_;
  LoginThrottle throttle_;
  mutable Mutex mutex_;
  DirectoryPtr directory_ GUARDED_BY(mutex_);
  std::string setup_token_ GUARDED_BY(mutex_);
};

}  // namespace mlxd
