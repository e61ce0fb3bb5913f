// Accounts and their sessions. Passwords and session tokens come here as hashes. Thread rule: as Database,
// which must outlive this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace mlxd {

enum class UserRole { kAdmin, kUser, kViewer };
std::string_view to_string(UserRole role);  // "admin", "user", "viewer"
/// Errors: kInvalidArgument naming the three.
Result<UserRole> parse_user_role(std::string_view text);

enum class UserStatus { kPending, kActive, kDisabled };
std::string_view to_string(UserStatus status);  // "pending", "active", "disabled"

struct User {
  std::string id;
  std::string email;
  std::string name;
  std::string password_hash;
  UserRole role = UserRole::kUser;
  UserStatus status = UserStatus::kPending;
  std::int64_t created_at = 0;  // seconds since 1970, as all times here
  std::optional<std::int64_t> last_login_at = {};
};

struct Session {
  std::string id;
  std::string user_id;
  std::string token_hash;
  std::int64_t created_at = 0;
  std::int64_t expires_at = 0;
  std::string address;  // of who logged in
  std::string agent;    // its User-Agent
};

class UserStore {
 public:
  explicit UserStore(Database& database) : database_(database) {}

  /// By creation.
  Result<std::vector<User>> list();

  /// Stores the account; the first of all becomes an active administrator, whatever `user` says. Errors:
  /// kConflict (the address has an account), kForbidden (it would be the first and `may_be_first` is false).
  Result<User> create(User user, bool may_be_first);

  struct Changes {
    std::optional<std::string> name = {};
    std::optional<std::string> password_hash = {};
    std::optional<UserRole> role = {};
    std::optional<UserStatus> status = {};
    std::optional<std::int64_t> last_login_at = {};
    /// Also ends the account's sessions, all but this one.
    std::optional<std::string> end_sessions_except = {};
  };
  /// Errors: kNotFound; kConflict if no active administrator would be left.
  Result<User> change(std::string_view id, const Changes& changes);

  struct Removed {
    User user;
    std::int64_t num_keys = 0;
    std::int64_t num_chats = 0;
  };
  /// Removes the account with its sessions, keys and chats. Errors: as change.
  Result<Removed> remove(std::string_view id);

  /// Those that have not expired.
  Result<std::vector<Session>> sessions(std::int64_t now_s);
  /// Also forgets those that have expired, and notes the login.
  Result<void> create_session(const Session& session);
  /// False if there was none.
  Result<bool> remove_session(std::string_view id);

 private:
  Database& database_;
};

}  // namespace mlxd
