#include "api/manage/account_codec.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cstdio>
#include <limits>

#include "api/field_reader.h"

namespace mlxd::api::manage {

namespace json = boost::json;

namespace {

constexpr std::int64_t kMaxNumber = std::int64_t{1} << 53;  // what every JSON reader keeps exactly

json::value text(std::string_view value) { return json::string(value.data(), value.size()); }

json::value number_or_null(const std::optional<std::int64_t>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::array texts(const std::vector<std::string>& values) {
  json::array array;
  for (const std::string& value : values) array.push_back(text(value));
  return array;
}

std::string_view priority_name(Priority priority) {
  switch (priority) {
    case Priority::kHigh:
      return "high";
    case Priority::kNormal:
      return "normal";
    case Priority::kLow:
      return "low";
  }
  return "normal";
}

Result<void> read_email(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.email = TRY(read_string(value, field));
  return {};
}
Result<void> read_password(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.password = TRY(read_string(value, field));
  return {};
}
Result<void> read_old_password(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.old_password = TRY(read_string(value, field));
  return {};
}
Result<void> read_new_password(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.new_password = TRY(read_string(value, field));
  return {};
}
Result<void> read_setup_token(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.setup_token = TRY(read_string(value, field));
  return {};
}
Result<void> read_cookie(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.cookie = TRY(read_boolean(value, field));
  return {};
}
Result<void> read_name(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.name = TRY(read_string(value, field));
  return {};
}
Result<void> read_role(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.role = TRY(parse_user_role(TRY(read_string(value, field))));
  return {};
}
Result<void> read_status(const json::value& value, std::string_view field, AccountFields& fields) {
  fields.status = TRY(read_string(value, field)) == "active" ? UserStatus::kActive : UserStatus::kDisabled;
  return {};
}

constexpr std::string_view kStatuses[] = {"active", "disabled"};
constexpr std::string_view kRoles[] = {"admin", "user", "viewer"};

constexpr Field<AccountFields> kAccountFields[] = {
    {"email", FieldUse::kHonoured, read_email, {"The account's address.", mlxd::api::text()}},
    {"password", FieldUse::kHonoured, read_password, {"Its password.", mlxd::api::text()}},
    {"old_password", FieldUse::kHonoured, read_old_password, {"The password so far.", mlxd::api::text()}},
    {"new_password",
     FieldUse::kHonoured,
     read_new_password,
     {"The password from now on.", mlxd::api::text()}},
    {"setup_token",
     FieldUse::kHonoured,
     read_setup_token,
     {"What the program printed for its first account.", mlxd::api::text()}},
    {"cookie",
     FieldUse::kHonoured,
     read_cookie,
     {"Whether the session's token comes as a cookie; else in the answer.", boolean().by_default("true")}},
    {"name", FieldUse::kHonoured, read_name, {"What the account is called.", mlxd::api::text()}},
    {"role", FieldUse::kHonoured, read_role, {"What the account may do.", one_of(kRoles)}},
    {"status", FieldUse::kHonoured, read_status, {"Whether it may log in.", one_of(kStatuses)}},
};

/// A field of one of the requests.
struct AccountField {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
};

std::vector<AccountField> fields_of(AccountRequest request) {
  constexpr auto kRequired = FieldUse::kRequired;
  switch (request) {
    case AccountRequest::kRegister:
      return {{"email", kRequired}, {"password", kRequired}, {"name"}, {"setup_token"}};
    case AccountRequest::kLogin:
      return {{"email", kRequired}, {"password", kRequired}, {"cookie"}};
    case AccountRequest::kChangePassword:
      return {{"old_password", kRequired}, {"new_password", kRequired}};
    case AccountRequest::kNewUser:
      return {{"email", kRequired}, {"password", kRequired}, {"name"}, {"role"}};
    case AccountRequest::kChangeUser:
      return {{"name"}, {"role"}, {"status"}};
    case AccountRequest::kResetPassword:
      return {{"new_password", kRequired}};
  }
  return {};
}

std::vector<Field<AccountFields>> table_of(AccountRequest request) {
  std::vector<Field<AccountFields>> table;
  for (const AccountField& field : fields_of(request)) {
    for (Field<AccountFields> row : kAccountFields) {
      if (row.name != field.name) continue;
      row.use = field.use;
      table.push_back(row);
    }
  }
  return table;
}

Result<std::vector<std::string>> read_texts(const json::value& value, std::string_view field) {
  std::vector<std::string> list;
  const json::array& array = *TRY(read_array(value, field));
  if (array.size() > 100)
    return invalid_argument(
        std::string(field) + " has " + std::to_string(array.size()) + " entries, at most 100 are taken",
        std::string(field));
  for (std::size_t i = 0; i < array.size(); ++i)
    list.push_back(TRY(read_string(array[i], std::string(field) + "[" + std::to_string(i) + "]")));
  return list;
}

Result<void> read_key_name(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.name = TRY(read_string(value, field));
  return {};
}
Result<void> read_user(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.user = TRY(read_string(value, field));
  return {};
}
Result<void> read_models(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.models = TRY(read_texts(value, field));
  return {};
}
Result<void> read_endpoints(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.endpoints = TRY(read_texts(value, field));
  for (const std::string& path : fields.key.endpoints)
    if (!path.starts_with('/'))
      return invalid_argument(
          "endpoints has '" + path.substr(0, 100) + "', each must be a path such as /v1/chat/completions",
          "endpoints");
  return {};
}
Result<void> read_cloud(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.cloud = TRY(read_boolean(value, field));
  return {};
}
Result<void> read_admin(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.admin = TRY(read_boolean(value, field));
  return {};
}
Result<void> read_priority(const json::value& value, std::string_view field, KeyFields& fields) {
  const std::string name = TRY(read_string(value, field));
  for (const Priority priority : {Priority::kHigh, Priority::kNormal, Priority::kLow})
    if (priority_name(priority) == name) fields.key.priority = priority;
  return {};
}
Result<void> read_salt(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.cache_salt = TRY(read_string(value, field));
  if (fields.key.cache_salt.size() <= 128) return {};
  return invalid_argument("cache_salt has more than 128 bytes", "cache_salt");
}
Result<void> read_requests(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.requests_per_minute = TRY(read_integer(value, field));
  return {};
}
Result<void> read_tokens(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.tokens_per_minute = TRY(read_integer(value, field));
  return {};
}
Result<void> read_concurrent(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.max_concurrent = TRY(read_integer(value, field));
  return {};
}
Result<void> read_month_tokens(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.tokens_per_month = TRY(read_integer(value, field));
  return {};
}
Result<void> read_expiry(const json::value& value, std::string_view field, KeyFields& fields) {
  fields.key.expires_at = TRY(read_integer(value, field));
  return {};
}

constexpr std::string_view kPriorities[] = {"high", "normal", "low"};
constexpr ValueShape kFewPerMinute = integer(0, 100'000).by_default("0");
constexpr ValueShape kTokens = integer(0, kMaxNumber).by_default("0");

constexpr Field<KeyFields> kKeyFields[] = {
    {"name", FieldUse::kRequired, read_key_name, {"What the key is called.", mlxd::api::text()}},
    {"user",
     FieldUse::kHonoured,
     read_user,
     {"Whose it is: id or address; absent: one's own.", mlxd::api::text()}},
    {"models",
     FieldUse::kHonoured,
     read_models,
     {"Names that it may ask for, with * for any part; none: all.", typed("string[]")}},
    {"endpoints",
     FieldUse::kHonoured,
     read_endpoints,
     {"Paths that it may ask for; none: all that generate.", typed("string[]")}},
    {"cloud",
     FieldUse::kHonoured,
     read_cloud,
     {"Whether it may ask for what leaves this machine.", boolean().by_default("false")}},
    {"admin",
     FieldUse::kHonoured,
     read_admin,
     {"Whether it may manage the server.", boolean().by_default("false")}},
    {"priority",
     FieldUse::kHonoured,
     read_priority,
     {"Who goes first; high is an administrator's to give.", one_of(kPriorities).by_default("\"normal\"")}},
    {"cache_salt",
     FieldUse::kHonoured,
     read_salt,
     {"Cached prefixes are shared only with requests of the same salt.", mlxd::api::text()}},
    {"requests_per_minute", FieldUse::kHonoured, read_requests, {"0: any number.", kFewPerMinute}},
    {"tokens_per_minute", FieldUse::kHonoured, read_tokens, {"0: any number.", kTokens}},
    {"max_concurrent",
     FieldUse::kHonoured,
     read_concurrent,
     {"Requests at a time; 0: any number.", kFewPerMinute}},
    {"tokens_per_month", FieldUse::kHonoured, read_month_tokens, {"0: any number.", kTokens}},
    {"expires_at",
     FieldUse::kHonoured,
     read_expiry,
     {"Seconds since 1970; absent: never.", integer(1, kMaxNumber)}},
};

}  // namespace

json::object encode_user(const User& user) {
  return {{"id", text(user.id)},
          {"email", text(user.email)},
          {"name", text(user.name)},
          {"role", text(to_string(user.role))},
          {"status", text(to_string(user.status))},
          {"created_at", user.created_at},
          {"last_login_at", number_or_null(user.last_login_at)}};
}

json::object encode_session(const Session& session, bool is_current) {
  return {{"id", text(session.id)},           {"created_at", session.created_at},
          {"expires_at", session.expires_at}, {"address", text(session.address)},
          {"agent", text(session.agent)},     {"current", is_current}};
}

json::object encode_key(const ApiKey& key, std::string_view owner_email) {
  return {{"id", text(key.id)},
          {"name", text(key.name)},
          {"user", text(owner_email)},
          {"hint", text(key.hint)},
          {"models", texts(key.models)},
          {"endpoints", texts(key.endpoints)},
          {"cloud", key.cloud},
          {"admin", key.admin},
          {"priority", text(priority_name(key.priority))},
          {"cache_salt", text(key.cache_salt)},
          {"requests_per_minute", key.requests_per_minute},
          {"tokens_per_minute", key.tokens_per_minute},
          {"max_concurrent", key.max_concurrent},
          {"tokens_per_month", key.tokens_per_month},
          {"created_at", key.created_at},
          {"expires_at", number_or_null(key.expires_at)},
          {"last_used_at", number_or_null(key.last_used_at)}};
}

std::string month_text(std::int64_t month) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%04lld-%02lld", static_cast<long long>(month / 12),
                static_cast<long long>(month % 12 + 1));
  return digits.data();
}

json::object encode_usage(const KeyUsage& usage) {
  return {{"month", text(month_text(usage.month))},
          {"requests", usage.requests},
          {"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens}};
}

std::vector<FieldInfo> account_infos(AccountRequest request) {
  return infos_of<AccountFields>(table_of(request));
}

Result<AccountFields> decode_account(std::string_view body, AccountRequest request) {
  AccountFields fields;
  TRY(read_fields<AccountFields>(TRY(parse_request_object(body)), table_of(request), fields));
  return fields;
}

std::vector<FieldInfo> key_infos() { return infos_of<KeyFields>(kKeyFields); }

Result<KeyFields> decode_key(std::string_view body) {
  KeyFields fields;
  TRY(read_fields<KeyFields>(TRY(parse_request_object(body)), kKeyFields, fields));
  if (fields.key.name.empty()) return missing_field("name");
  return fields;
}

}  // namespace mlxd::api::manage
