// Accounts, sessions and keys between JSON and the store's types. Hashes never leave. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"
#include "store/key_store.h"
#include "store/user_store.h"

namespace mlxd::api::manage {

boost::json::object encode_user(const User& user);
boost::json::object encode_session(const Session& session, bool is_current);
boost::json::object encode_key(const ApiKey& key, std::string_view owner_email);
boost::json::object encode_usage(const KeyUsage& usage);
/// "2026-11" of year * 12 + month from 0.
std::string month_text(std::int64_t month);

/// What register, login and the users' routes may say; a field that is absent is empty.
struct AccountFields {
  std::string email;
  std::string password;
  std::string old_password;
  std::string new_password;
  std::string setup_token;
  bool cookie = true;
  std::optional<std::string> name = {};
  std::optional<UserRole> role = {};
  std::optional<UserStatus> status = {};
};
enum class AccountRequest { kRegister, kLogin, kChangePassword, kNewUser, kChangeUser, kResetPassword };
std::vector<FieldInfo> account_infos(AccountRequest request);
/// Errors name the field; one that is not the request's is unknown.
Result<AccountFields> decode_account(std::string_view body, AccountRequest request);

/// A new key, and whose: `user` is an id or an address, empty for oneself.
struct KeyFields {
  ApiKey key;
  std::string user;
};
std::vector<FieldInfo> key_infos();
Result<KeyFields> decode_key(std::string_view body);

}  // namespace mlxd::api::manage
