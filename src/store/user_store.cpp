#include "store/user_store.h"

#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

constexpr const char* kSelectUsers =
    "SELECT id, email, name, password_hash, role, status, created_at, last_login_at FROM users ORDER BY "
    "created_at, rowid";
constexpr const char* kSelectUser =
    "SELECT id, email, name, password_hash, role, status, created_at, last_login_at FROM users WHERE id = ?";

UserStatus status_of(const std::string& text) {
  if (text == "active") return UserStatus::kActive;
  return text == "disabled" ? UserStatus::kDisabled : UserStatus::kPending;
}

// The table's own CHECK lets nothing else in.
UserRole role_of(const std::string& text) {
  if (text == "admin") return UserRole::kAdmin;
  return text == "user" ? UserRole::kUser : UserRole::kViewer;
}

User read_user(const Row& row) {
  return {.id = row.text(0),
          .email = row.text(1),
          .name = row.text(2),
          .password_hash = row.text(3),
          .role = role_of(row.text(4)),
          .status = status_of(row.text(5)),
          .created_at = row.integer(6),
          .last_login_at = row.maybe_integer(7)};
}

bool administers(const User& user) {
  return user.role == UserRole::kAdmin && user.status == UserStatus::kActive;
}

Result<User> find_user(Sql& sql, std::string_view id) {
  auto user = sql.first(kSelectUser, read_user, id);
  if (!user) return not_found("there is no user '" + std::string(id.substr(0, 100)) + "'");
  return std::move(*user);
}

Result<void> check_admin_stays(Sql& sql, const User& before, bool stays) {
  if (!administers(before) || stays) return {};
  const std::int64_t others = sql.number(
      "SELECT COUNT(*) FROM users WHERE role = 'admin' AND status = 'active' AND id <> ?", before.id);
  if (others > 0) return {};
  return Error(ErrorKind::kConflict,
               before.email + " is the last active administrator: make another one first ('mlxd user role')");
}

}  // namespace

std::string_view to_string(UserRole role) {
  switch (role) {
    case UserRole::kAdmin:
      return "admin";
    case UserRole::kUser:
      return "user";
    case UserRole::kViewer:
      return "viewer";
  }
  return "viewer";
}

Result<UserRole> parse_user_role(std::string_view text) {
  for (const UserRole role : {UserRole::kAdmin, UserRole::kUser, UserRole::kViewer})
    if (to_string(role) == text) return role;
  return invalid_argument("role is '" + std::string(text.substr(0, 40)) + "', must be admin, user or viewer",
                          "role");
}

std::string_view to_string(UserStatus status) {
  switch (status) {
    case UserStatus::kPending:
      return "pending";
    case UserStatus::kActive:
      return "active";
    case UserStatus::kDisabled:
      return "disabled";
  }
  return "disabled";
}

Result<std::vector<User>> UserStore::list() {
  return database_.read(
      [](Sql& sql) -> Result<std::vector<User>> { return sql.list(kSelectUsers, read_user); });
}

Result<User> UserStore::create(User user, bool may_be_first) {
  return database_.write([&](Sql& sql) -> Result<User> {
    if (sql.number("SELECT COUNT(*) FROM users") == 0) {
      if (!may_be_first)
        return Error(
            ErrorKind::kForbidden,
            "there is no account yet, and the first one needs the setup token that 'mlxd serve' printed");
      user.role = UserRole::kAdmin;
      user.status = UserStatus::kActive;
    }
    if (sql.number("SELECT COUNT(*) FROM users WHERE email = ?", user.email) > 0)
      return Error(ErrorKind::kConflict, user.email + " has an account already", "email");
    sql.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?)", user.id, user.email, user.name,
                user.password_hash, to_string(user.role), to_string(user.status), user.created_at,
                user.last_login_at);
    return user;
  });
}

Result<User> UserStore::change(std::string_view id, const Changes& changes) {
  return database_.write([&](Sql& sql) -> Result<User> {
    const User before = TRY(find_user(sql, id));
    User user = before;
    if (changes.name) user.name = *changes.name;
    if (changes.password_hash) user.password_hash = *changes.password_hash;
    if (changes.role) user.role = *changes.role;
    if (changes.status) user.status = *changes.status;
    if (changes.last_login_at) user.last_login_at = *changes.last_login_at;
    TRY(check_admin_stays(sql, before, administers(user)));
    sql.execute(
        "UPDATE users SET name = ?, password_hash = ?, role = ?, status = ?, last_login_at = ? WHERE id = ?",
        user.name, user.password_hash, to_string(user.role), to_string(user.status), user.last_login_at, id);
    if (changes.end_sessions_except)
      sql.execute("DELETE FROM sessions WHERE user_id = ? AND id <> ?", id, *changes.end_sessions_except);
    return user;
  });
}

Result<UserStore::Removed> UserStore::remove(std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<Removed> {
    Removed removed;
    removed.user = TRY(find_user(sql, id));
    TRY(check_admin_stays(sql, removed.user, false));
    removed.num_keys = sql.number("SELECT COUNT(*) FROM api_keys WHERE user_id = ?", id);
    removed.num_chats = sql.number("SELECT COUNT(*) FROM chats WHERE user_id = ?", id);
    sql.execute("DELETE FROM users WHERE id = ?", id);
    return removed;
  });
}

Result<std::vector<Session>> UserStore::sessions(std::int64_t now_s) {
  return database_.read([&](Sql& sql) -> Result<std::vector<Session>> {
    return sql.list(
        "SELECT id, user_id, token_hash, created_at, expires_at, address, agent FROM sessions "
        "WHERE expires_at > ? ORDER BY created_at, rowid",
        [](const Row& row) {
          return Session{.id = row.text(0),
                         .user_id = row.text(1),
                         .token_hash = row.text(2),
                         .created_at = row.integer(3),
                         .expires_at = row.integer(4),
                         .address = row.text(5),
                         .agent = row.text(6)};
        },
        now_s);
  });
}

Result<void> UserStore::create_session(const Session& session) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute("DELETE FROM sessions WHERE expires_at <= ?", session.created_at);
    const int changed =
        sql.execute("UPDATE users SET last_login_at = ? WHERE id = ?", session.created_at, session.user_id);
    if (changed == 0) return not_found("the account is gone");
    sql.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", session.id, session.user_id,
                session.token_hash, session.created_at, session.expires_at, session.address, session.agent);
    return {};
  });
}

Result<bool> UserStore::remove_session(std::string_view id) {
  return database_.write(
      [&](Sql& sql) -> Result<bool> { return sql.execute("DELETE FROM sessions WHERE id = ?", id) > 0; });
}

}  // namespace mlxd
